//! Waiting for what happens by itself.

use std::{
    thread,
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until there is a response.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(TIMEOUT, what, ask)
}

/// Asks until there is a response, for so long at the most.
#[track_caller]
pub fn within<T>(timeout: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < timeout, "not within {timeout:?}: {what}");
        thread::sleep(PAUSE);
    }
}
