//! Metrics of requests, by OpenTelemetry's conventions for HTTP servers.

use std::{cell::RefCell, time::Duration};

use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};

use super::{BUCKETS, register};

pub struct HttpMetrics {
    durations: HistogramVec,
}

/// The labels of a response, each of a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLabels {
    pub method: &'static str,
    pub route: &'static str,
    pub status: u16,
}

/// The histogram of an endpoint's last response. Most responses have the same labels as the one before, and
/// looking a histogram up by labels takes longer than counting.
#[derive(Default)]
pub struct LastResponse(RefCell<Option<(ResponseLabels, Histogram)>>);

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "http_server_request_duration_seconds",
                "Time to answer a request; of a poll that is held, with the time for which it is held",
            )
            .buckets(BUCKETS.to_vec()),
            &[
                "http_request_method",
                "http_route",
                "http_response_status_code",
            ],
        );
        Ok(Self {
            durations: register(registry, durations)?,
        })
    }

    /// Counts one response, by the histogram in `last` when the labels are the same.
    pub fn answered(&self, last: &LastResponse, labels: ResponseLabels, took: Duration) {
        let mut last = last.0.borrow_mut();
        let (_, durations) = match last.as_mut() {
            Some(known) if known.0 == labels => known,
            _ => last.insert((labels, self.durations(labels))),
        };
        durations.observe(took.as_secs_f64());
    }

    fn durations(&self, labels: ResponseLabels) -> Histogram {
        let method = match labels.method {
            // The conventions' name for what is none of the known ones.
            "OTHER" => "_OTHER",
            known => known,
        };
        let status = labels.status.to_string();
        self.durations
            .with_label_values(&[method, labels.route, &status])
    }
}
