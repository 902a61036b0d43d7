//! What another process costs, as Linux tells it in `/proc`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// How many ticks of processor time a second has; Linux has had this number for ever.
const TICKS: u64 = 100;

/// How much memory a process has in use, now and at the most so far, in MiB.
pub(crate) fn memory(pid: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mebibytes = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
            .and_then(|kibibytes| kibibytes.parse::<u64>().ok())
            .map(|kibibytes| kibibytes.div_ceil(1024))
            .with_context(|| format!("no {name} in /proc/{pid}/status"))
    };
    Ok((mebibytes("VmRSS:")?, mebibytes("VmHWM:")?))
}

/// How much processor time a process has used so far.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in brackets, may have spaces in it.
    let (_, rest) = stat.rsplit_once(')').context("no name in /proc")?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}
