//! The threads of the databases of this process, so that its end can wait for them.

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

fn running() -> MutexGuard<'static, usize> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a thread for as long as it runs.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = running();
        *running = running.saturating_sub(1);
        ENDED.notify_all();
    }
}

/// Starts a thread that the end of the process waits for.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    *running() += 1;
    let counted = Running;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            work();
            drop(counted);
        })?;
    Ok(())
}

/// Waits until every database of this process is closed, once its last handle has been dropped; whether
/// that was in time.
#[must_use]
pub fn wait_until_closed(timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    let mut left = running();
    while *left > 0 {
        let Some(time) = deadline.checked_duration_since(Instant::now()) else {
            return false;
        };
        let waited = ENDED.wait_timeout(left, time);
        left = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    true
}
