//! Metrics of the instances that serve one database.

use prometheus::{Gauge, IntGauge, Registry};

pub struct InstanceMetrics {
    live: IntGauge,
    clock_skew: Gauge,
}

impl InstanceMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let live = IntGauge::new(
            "molecule_instances_live",
            "Instances that serve this database, as this one last saw",
        )?;
        let clock_skew = Gauge::new(
            "molecule_clock_skew_seconds",
            "How far this machine's clock is ahead of the database server's",
        )?;
        registry.register(Box::new(live.clone()))?;
        registry.register(Box::new(clock_skew.clone()))?;
        Ok(Self { live, clock_skew })
    }

    pub fn set(&self, live: u32, clock_skew: time::Duration) {
        self.live.set(live.into());
        self.clock_skew.set(clock_skew.as_seconds_f64());
    }
}
