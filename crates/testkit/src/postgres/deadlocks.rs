//! Deadlocks fail the tests in which they happen.
//!
//! The program runs a transaction again after a deadlock, so callers only wait, for a second or more. A
//! test would pass all the same; but PostgreSQL logs each deadlock, and the log is read here.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// What PostgreSQL logs, before whoever loses is told.
const MESSAGE: &str = "deadlock detected";
/// How many lines behind that say who waited for whom, and in which statements.
const LINES: usize = 8;
/// How often the log of the shared server is read.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How a test program ends that has met one; the harness itself uses this code for failed tests.
const EXIT_CODE: i32 = 101;

/// How many deadlocks a log tells of.
pub(super) fn count(log: &Path) -> usize {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).matches(MESSAGE).count()
}

/// The first deadlock that a log tells of.
pub(super) fn in_log(log: &Path) -> Option<String> {
    let text = std::fs::read(log).ok()?;
    found(&String::from_utf8_lossy(&text))
}

fn found(text: &str) -> Option<String> {
    let lines: Vec<_> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains(MESSAGE))?;
    let report: Vec<_> = lines.into_iter().skip(first).take(LINES).collect();
    Some(report.join("\n"))
}

/// Ends this process as a failed one as soon as the log tells of a deadlock.
///
/// The server that tests share is never dropped, and no code of ours runs behind the last test.
pub(super) fn watch(log: PathBuf) {
    let watcher = move || {
        let mut read = 0;
        loop {
            thread::sleep(POLL_INTERVAL);
            if grew(&log, &mut read)
                && let Some(report) = in_log(&log)
            {
                eprintln!("a test has caused a deadlock in PostgreSQL:\n{report}");
                std::process::exit(EXIT_CODE);
            }
        }
    };
    thread::Builder::new()
        .name("postgres-deadlocks".to_owned())
        .spawn(watcher)
        .unwrap();
}

/// Whether more than so many bytes are in a file; then there are as many as that.
fn grew(log: &Path, read: &mut u64) -> bool {
    let length = std::fs::metadata(log).map_or(0, |file| file.len());
    length > std::mem::replace(read, length)
}
