//! Metrics of lists and their shares of the readers.

use prometheus::{IntCounter, IntGauge, Registry};
use storage::ListStats;

use super::{gauge, register, set};

pub struct ListMetrics {
    running: IntGauge,
    waiting: IntGauge,
    refused: IntCounter,
    cut: IntCounter,
    abandoned: IntCounter,
}

impl ListMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let number = |name: &str, help: &str| register(registry, IntGauge::new(name, help));
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        Ok(Self {
            running: number("molecule_lists_running", "Lists that are being read")?,
            waiting: number("molecule_lists_waiting", "Lists that wait for their turn")?,
            refused: counter(
                "molecule_lists_refused_total",
                "Lists refused because too many of the same key were waiting",
            )?,
            cut: counter(
                "molecule_list_pages_cut_total",
                "Pages that ended because their budget was used up",
            )?,
            abandoned: counter(
                "molecule_lists_abandoned_total",
                "Lists given up because the client had hung up",
            )?,
        })
    }

    pub fn set(&self, stats: ListStats) {
        self.running.set(gauge(stats.running));
        self.waiting.set(gauge(stats.waiting));
        for (counter, count) in [
            (&self.refused, stats.refused),
            (&self.cut, stats.cut),
            (&self.abandoned, stats.abandoned),
        ] {
            set(counter, count);
        }
    }
}
