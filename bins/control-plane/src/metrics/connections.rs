//! Metrics of connections.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// Clones share their counters.
#[derive(Clone)]
pub struct ConnectionMetrics {
    pub open: IntGauge,
    refused: IntCounterVec,
    closed: IntCounterVec,
}

impl ConnectionMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let open = IntGauge::new("molecule_http_connections", "Connections that are open")?;
        let refused = IntCounterVec::new(
            Opts::new(
                "molecule_http_connections_refused_total",
                "Connections that were refused, by the bound that was reached: address or total",
            ),
            &["bound"],
        )?;
        let closed = IntCounterVec::new(
            Opts::new(
                "molecule_http_connections_closed_total",
                "Connections that the server closed before their client did, by the reason",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(closed.clone()))?;
        Ok(Self {
            open,
            refused,
            closed,
        })
    }

    pub fn refused(&self, bound: &str) {
        self.refused.with_label_values(&[bound]).inc();
    }

    pub fn closed(&self, reason: &str) {
        self.closed.with_label_values(&[reason]).inc();
    }
}
