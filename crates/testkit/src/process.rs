//! Processes, and what they cost as Linux tells it in `/proc`.

use std::{fs, io, process::Child, time::Duration};

/// How many ticks of processor time a second has, on every Linux of today.
const TICKS_PER_SECOND: u64 = 100;

/// Kills a process and waits until it has ended. One that has ended by itself is fine too.
///
/// # Errors
/// When the system can't tell how it ended.
pub fn kill(child: &mut Child) -> io::Result<()> {
    let _ = child.kill();
    child.wait().map(drop)
}

/// The resident memory of a process in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryUse {
    /// What it has now.
    pub now: u64,
    /// The most that it has had.
    pub peak: u64,
}

impl MemoryUse {
    /// That of a process.
    ///
    /// # Errors
    /// When there is no such process, or no `/proc`.
    pub fn of(process: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let bytes = |name: &str| {
            let mut lines = status.lines();
            let kibibytes =
                lines.find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            let kibibytes = kibibytes.and_then(|number| number.parse::<u64>().ok());
            let found = kibibytes.and_then(|number| number.checked_mul(1024));
            found.ok_or_else(|| io::Error::other(format!("no {name} in /proc/{process}/status")))
        };
        Ok(Self {
            now: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }
}

/// Bytes in whole MiB, rounded up.
#[must_use]
pub const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// How much processor time a process has used so far.
///
/// # Errors
/// When there is no such process, or no `/proc`.
pub fn processor_time(process: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program, in brackets, may have spaces in it.
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}
