//! Numbers of connections.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// The numbers of one process; clones count on the same ones.
#[derive(Clone)]
pub struct ConnectionMetrics {
    /// Connections that are open.
    pub open: IntGauge,
    refused: IntCounterVec,
    closed: IntCounterVec,
}

impl ConnectionMetrics {
    /// All numbers at zero.
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

    /// Counts a connection that was refused at this bound.
    pub fn refused(&self, bound: &str) {
        self.refused.with_label_values(&[bound]).inc();
    }

    /// Counts a connection that was closed for this reason.
    pub fn closed(&self, reason: &str) {
        self.closed.with_label_values(&[reason]).inc();
    }
}
