//! Metrics in Prometheus' text format. No key, partner, org or address is a label.

mod connections;
mod instances;
mod limits;
mod lists;
mod provisioning;
mod shared_limits;
mod webhooks;

use std::{cell::RefCell, time::Duration};

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

pub use self::{
    connections::ConnectionMetrics, instances::InstanceMetrics, limits::LimitMetrics,
    lists::ListMetrics, provisioning::ProvisioningMetrics, shared_limits::SharedLimitMetrics,
    webhooks::WebhookMetrics,
};

/// Upper bounds of the histogram of durations, in seconds.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    rate_limited: IntCounterVec,
    pub webhooks: WebhookMetrics,
    pub provisioning: ProvisioningMetrics,
    pub limits: LimitMetrics,
    pub shared_limits: SharedLimitMetrics,
    pub connections: ConnectionMetrics,
    pub lists: ListMetrics,
    pub instances: InstanceMetrics,
    pub unknown_credentials: IntCounter,
    /// Audit events that storage failed to take after their calls were answered.
    pub lost_events: IntGauge,
    pub ready: IntGauge,
}

/// The labels of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLabels {
    pub method: &'static str,
    pub route: &'static str,
    pub status: u16,
}

/// The counters of an endpoint's last response. Most responses have the same labels as the one before, and
/// looking counters up by labels takes longer than counting.
#[derive(Default)]
pub struct LastResponse(RefCell<Option<Counters>>);

struct Counters {
    of: ResponseLabels,
    requests: IntCounter,
    durations: Histogram,
}

impl Metrics {
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("molecule_http_requests_total", "Requests answered"),
            &["method", "route", "status"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new("molecule_http_request_duration_seconds", "Time to answer")
                .buckets(BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        let rate_limited = IntCounterVec::new(
            Opts::new("molecule_rate_limited_total", "Requests refused by a limit"),
            &["limit"],
        )?;
        let unknown_credentials = IntCounter::new(
            "molecule_unknown_credentials_total",
            "Requests without a credential that is known",
        )?;
        let lost_events = IntGauge::new(
            "molecule_audit_events_lost",
            "Audit events that were lost after their calls had been answered",
        )?;
        let ready = IntGauge::new(
            "molecule_ready",
            "Whether the database answers and takes changes: 1, else 0",
        )?;
        let webhooks = WebhookMetrics::new(&registry)?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(rate_limited.clone()))?;
        registry.register(Box::new(unknown_credentials.clone()))?;
        registry.register(Box::new(lost_events.clone()))?;
        registry.register(Box::new(ready.clone()))?;
        let provisioning = ProvisioningMetrics::new(&registry)?;
        let limits = LimitMetrics::new(&registry)?;
        let shared_limits = SharedLimitMetrics::new(&registry)?;
        let connections = ConnectionMetrics::new(&registry)?;
        let lists = ListMetrics::new(&registry)?;
        let instances = InstanceMetrics::new(&registry)?;
        Ok(Self {
            registry,
            requests,
            durations,
            rate_limited,
            webhooks,
            provisioning,
            limits,
            shared_limits,
            connections,
            lists,
            instances,
            unknown_credentials,
            lost_events,
            ready,
        })
    }

    /// Counts one response, by the counters in `last` when the labels are the same.
    pub fn count_response(&self, last: &LastResponse, answer: ResponseLabels, took: Duration) {
        let mut last = last.0.borrow_mut();
        let counters = match last.as_mut() {
            Some(counters) if counters.of == answer => counters,
            _ => last.insert(self.counters(answer)),
        };
        counters.requests.inc();
        counters.durations.observe(took.as_secs_f64());
    }

    fn counters(&self, of: ResponseLabels) -> Counters {
        let ResponseLabels {
            method,
            route,
            status,
        } = of;
        Counters {
            of,
            requests: self
                .requests
                .with_label_values(&[method, route, &status.to_string()]),
            durations: self.durations.with_label_values(&[method, route]),
        }
    }

    pub fn rate_limited(&self, limit: &str) {
        self.rate_limited.with_label_values(&[limit]).inc();
    }

    pub fn text(&self) -> prometheus::Result<(String, Vec<u8>)> {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok((encoder.format_type().to_owned(), text))
    }
}
