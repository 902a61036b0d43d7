//! Metrics in Prometheus' text format. No key, partner, org or address is a label.
//!
//! Requests have the names of OpenTelemetry's stable conventions, the process those of Prometheus' own clients, and
//! the rest begins with `molecule_`.

mod authentications;
mod connections;
mod database;
mod exchanges;
mod http;
mod instances;
mod leaks;
mod limits;
mod lists;
mod process;
mod provisioning;
mod rate_limits;
mod rotations;
mod shared_limits;
mod webhooks;

use std::path::Path;

use prometheus::{
    Encoder as _, IntCounter, IntGauge, Opts, Registry, TextEncoder, core::Collector,
};

pub use self::{
    authentications::{AuthenticationMetrics, Outcome},
    connections::ConnectionMetrics,
    database::DatabaseMetrics,
    exchanges::ExchangeMetrics,
    http::{HttpMetrics, LastResponse, ResponseLabels},
    instances::InstanceMetrics,
    leaks::LeakMetrics,
    limits::LimitMetrics,
    lists::ListMetrics,
    provisioning::ProvisioningMetrics,
    rate_limits::RateLimitMetrics,
    rotations::RotationMetrics,
    shared_limits::SharedLimitMetrics,
    webhooks::WebhookMetrics,
};

use self::process::ProcessMetrics;

/// Upper bounds of histograms of short durations, in seconds. The last one is that of polls that are held.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

pub struct Metrics {
    registry: Registry,
    pub http: HttpMetrics,
    pub authentications: AuthenticationMetrics,
    pub exchanges: ExchangeMetrics,
    pub rate_limits: RateLimitMetrics,
    pub webhooks: WebhookMetrics,
    pub provisioning: ProvisioningMetrics,
    pub limits: LimitMetrics,
    pub shared_limits: SharedLimitMetrics,
    pub connections: ConnectionMetrics,
    pub database: DatabaseMetrics,
    pub lists: ListMetrics,
    pub instances: InstanceMetrics,
    pub rotations: RotationMetrics,
    pub leaks: LeakMetrics,
    process: ProcessMetrics,
    pub ready: IntGauge,
}

impl Metrics {
    /// The metrics of a server whose files are in this folder.
    pub fn new(data_dir: &Path) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let build = Opts::new(
            "molecule_build_info",
            "The version of the program, always 1",
        )
        .const_label("version", env!("CARGO_PKG_VERSION"));
        register(&registry, IntGauge::with_opts(build))?.set(1);
        let ready = IntGauge::new(
            "molecule_ready",
            "Whether the database answers and takes changes: 1, else 0",
        );
        Ok(Self {
            http: HttpMetrics::new(&registry)?,
            authentications: AuthenticationMetrics::new(&registry)?,
            exchanges: ExchangeMetrics::new(&registry)?,
            rate_limits: RateLimitMetrics::new(&registry)?,
            webhooks: WebhookMetrics::new(&registry)?,
            provisioning: ProvisioningMetrics::new(&registry)?,
            limits: LimitMetrics::new(&registry)?,
            shared_limits: SharedLimitMetrics::new(&registry)?,
            connections: ConnectionMetrics::new(&registry)?,
            database: DatabaseMetrics::new(&registry)?,
            lists: ListMetrics::new(&registry)?,
            instances: InstanceMetrics::new(&registry)?,
            rotations: RotationMetrics::new(&registry)?,
            leaks: LeakMetrics::new(&registry)?,
            process: ProcessMetrics::new(&registry, data_dir)?,
            ready: register(&registry, ready)?,
            registry,
        })
    }

    pub fn text(&self) -> prometheus::Result<(String, Vec<u8>)> {
        self.process.measure();
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok((encoder.format_type().to_owned(), text))
    }
}

/// Has a metric be part of the text.
fn register<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Sets a counter to what was counted elsewhere since the process began.
fn set(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
