//! Metrics of lists and their shares of the readers.

use prometheus::{IntCounter, IntGauge, Registry};
use storage::ListStats;

pub struct ListMetrics {
    running: IntGauge,
    waiting: IntGauge,
    refused: IntCounter,
    cut: IntCounter,
    abandoned: IntCounter,
}

impl ListMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            running: gauge("molecule_lists_running", "Lists that are being read")?,
            waiting: gauge("molecule_lists_waiting", "Lists that wait for their turn")?,
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
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.running.set(gauge(stats.running));
        self.waiting.set(gauge(stats.waiting));
        for (counter, count) in [
            (&self.refused, stats.refused),
            (&self.cut, stats.cut),
            (&self.abandoned, stats.abandoned),
        ] {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
