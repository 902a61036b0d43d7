//! Numbers for the operator, in Prometheus' text format. No key, partner, org or address is a label.

mod connections;
mod limits;
mod lists;
mod provisioning;
mod webhooks;

use std::{cell::RefCell, time::Duration};

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

pub use self::{
    connections::ConnectionMetrics, limits::LimitMetrics, lists::ListMetrics,
    provisioning::ProvisioningMetrics, webhooks::WebhookMetrics,
};

/// Upper bounds of the histogram of durations, in seconds.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The numbers of one process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    rate_limited: IntCounterVec,
    /// How messages are delivered.
    pub webhooks: WebhookMetrics,
    /// How orgs are made and taken away.
    pub provisioning: ProvisioningMetrics,
    /// What limits and shares have done.
    pub limits: LimitMetrics,
    /// Connections of clients.
    pub connections: ConnectionMetrics,
    /// How lists share the readers of the database.
    pub lists: ListMetrics,
    /// Calls that no known credential made.
    pub unknown_credentials: IntCounter,
    /// Audit events of answered calls that storage did not take.
    pub lost_events: IntGauge,
    /// 1 while calls can be served, as `/readyz` tells, else 0.
    pub ready: IntGauge,
}

/// What is counted of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub method: &'static str,
    pub route: &'static str,
    pub status: u16,
}

/// Where the last answer of one endpoint was counted: most are like the one before, and to find their
/// numbers by their labels takes longer than to count.
#[derive(Default)]
pub struct LastAnswer(RefCell<Option<Numbers>>);

struct Numbers {
    of: Answered,
    requests: IntCounter,
    durations: Histogram,
}

impl Metrics {
    /// All numbers at zero.
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
        let connections = ConnectionMetrics::new(&registry)?;
        let lists = ListMetrics::new(&registry)?;
        Ok(Self {
            registry,
            requests,
            durations,
            rate_limited,
            webhooks,
            provisioning,
            limits,
            connections,
            lists,
            unknown_credentials,
            lost_events,
            ready,
        })
    }

    /// Counts one answer, by the numbers that `last` keeps when they are the same as the last time.
    pub fn answered(&self, last: &LastAnswer, answer: Answered, took: Duration) {
        let mut last = last.0.borrow_mut();
        let numbers = match last.as_mut() {
            Some(numbers) if numbers.of == answer => numbers,
            _ => last.insert(self.numbers(answer)),
        };
        numbers.requests.inc();
        numbers.durations.observe(took.as_secs_f64());
    }

    fn numbers(&self, of: Answered) -> Numbers {
        let Answered {
            method,
            route,
            status,
        } = of;
        Numbers {
            of,
            requests: self
                .requests
                .with_label_values(&[method, route, &status.to_string()]),
            durations: self.durations.with_label_values(&[method, route]),
        }
    }

    /// Counts one refusal by a limit.
    pub fn rate_limited(&self, limit: &str) {
        self.rate_limited.with_label_values(&[limit]).inc();
    }

    /// The numbers as Prometheus reads them.
    pub fn text(&self) -> prometheus::Result<(String, Vec<u8>)> {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok((encoder.format_type().to_owned(), text))
    }
}
