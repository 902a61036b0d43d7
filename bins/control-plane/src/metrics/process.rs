//! Metrics of the process, by the names that Prometheus' own clients have, and of the disk that it fills.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{Counter, Gauge, IntGauge, Registry};
use rustix::{
    fs::statvfs,
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::{gauge, register};

pub struct ProcessMetrics {
    data_dir: PathBuf,
    cpu: Counter,
    resident: IntGauge,
    virtual_size: IntGauge,
    threads: IntGauge,
    open_fds: IntGauge,
    disk_free: Gauge,
    disk_size: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &Registry, data_dir: &Path) -> prometheus::Result<Self> {
        let whole = |name: &str, help: &str| register(registry, IntGauge::new(name, help));
        let real = |name: &str, help: &str| register(registry, Gauge::new(name, help));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        real(
            "process_start_time_seconds",
            "When the process began, in seconds since 1970",
        )?
        .set(since_1970.map_or(0.0, |since| since.as_secs_f64()));
        // The program raises it to the hard limit when it starts.
        let max_fds = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        whole(
            "process_max_fds",
            "How many descriptors the process may have",
        )?
        .set(i64::try_from(max_fds).unwrap_or(i64::MAX));
        Ok(Self {
            data_dir: data_dir.to_owned(),
            cpu: register(
                registry,
                Counter::new(
                    "process_cpu_seconds_total",
                    "Processor time that the process has used",
                ),
            )?,
            resident: whole("process_resident_memory_bytes", "Memory in use")?,
            virtual_size: whole("process_virtual_memory_bytes", "Address space in use")?,
            threads: whole("process_threads", "Threads of the process")?,
            open_fds: whole(
                "process_open_fds",
                "Open descriptors of the process; 0 where the system does not tell",
            )?,
            disk_free: real(
                "molecule_data_disk_free_bytes",
                "Room that is left on the disk of the data folder",
            )?,
            disk_size: real(
                "molecule_data_disk_size_bytes",
                "Size of the disk of the data folder",
            )?,
        })
    }

    /// Sets the metrics to what is so now.
    pub(super) fn measure(&self) {
        if let Ok(stat) = fs::read_to_string("/proc/self/stat")
            && let Some(usage) = Usage::of(&stat)
        {
            let cpu = ticks(usage.ticks) - self.cpu.get();
            self.cpu.inc_by(cpu.max(0.0));
            self.threads.set(usage.threads);
            self.virtual_size.set(usage.virtual_bytes);
            self.resident
                .set(usage.resident_pages.saturating_mul(gauge(page_size())));
        }
        // The program hides them from other processes of its user, and so from itself unless it is root.
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            self.open_fds.set(gauge(open.count()));
        }
        if let Ok(disk) = statvfs(&self.data_dir) {
            self.disk_free.set(bytes(disk.f_bavail, disk.f_frsize));
            self.disk_size.set(bytes(disk.f_blocks, disk.f_frsize));
        }
    }
}

/// What the system tells of a process.
struct Usage {
    ticks: u64,
    threads: i64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl Usage {
    /// Reads `/proc/self/stat` (proc(5)). The name of the program may hold anything, so fields are counted from its
    /// end.
    fn of(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
        let ticks = |number| field(number)?.parse::<u64>().ok();
        let whole = |number| field(number)?.parse::<i64>().ok();
        Some(Self {
            ticks: ticks(14)?.checked_add(ticks(15)?)?,
            threads: whole(20)?,
            virtual_bytes: whole(23)?,
            resident_pages: whole(24)?,
        })
    }
}

#[expect(
    clippy::as_conversions,
    reason = "a processor has no more ticks than a float can tell apart for millions of years"
)]
fn ticks(count: u64) -> f64 {
    count as f64 / clock_ticks_per_second() as f64
}

#[expect(clippy::as_conversions, reason = "metrics are floats")]
fn bytes(blocks: u64, block: u64) -> f64 {
    blocks as f64 * block as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 500 0 0 0 30 12 0 0 20 0 9 0 1234 4096000 250 1844";
        let usage = Usage::of(stat).unwrap();
        assert_eq!((usage.ticks, usage.threads), (42, 9));
        assert_eq!(
            (usage.virtual_bytes, usage.resident_pages),
            (4_096_000, 250)
        );
        assert!(Usage::of("7 (a) S 1").is_none());
    }
}
