//! Metrics of keys that are being rotated.

use prometheus::{IntGauge, Registry};

pub struct RotationMetrics {
    running: IntGauge,
}

impl RotationMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let running = IntGauge::new(
            "molecule_key_rotations_running",
            "Partner keys of which two secrets work, for a rotation of them is not over",
        )?;
        registry.register(Box::new(running.clone()))?;
        Ok(Self { running })
    }

    pub fn set(&self, running: usize) {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
    }
}
