//! Traces: each request is a span, and so is each message to a webhook endpoint or the provisioner.
//!
//! The trace context goes in and out by W3C's header `traceparent`. Spans are exported by OTLP over HTTP, in protobuf,
//! once a standard variable names a collector: `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
//! `docs/decisions/README.md` says why this is not OpenTelemetry's own crates.

mod context;
mod exporter;
mod otlp;
mod sampler;
mod scope;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use actix_web::http::header::HeaderMap;

pub use self::{context::TraceContext, exporter::Exporter, scope::Scope};
use self::{exporter::Queue, otlp::Kind, sampler::Sampler};

/// The header of the trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Begins spans, and has them exported. A clone is another handle to the same; without a collector it only reads the
/// trace context of requests.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Sampled>>);

struct Sampled {
    sampler: Sampler,
    queue: Queue,
}

/// A span that has begun.
pub struct Span {
    context: TraceContext,
    parent: Option<TraceContext>,
    kind: Kind,
    began: u64,
    queue: Option<Queue>,
}

/// What is known of a span at its end.
pub struct Ended {
    pub name: String,
    pub texts: Vec<(&'static str, String)>,
    pub numbers: Vec<(&'static str, u64)>,
    pub failed: bool,
}

impl Tracer {
    /// The span of a request, and what log lines are to name of its trace.
    pub fn server(&self, headers: &HeaderMap) -> (Option<Span>, Option<TraceContext>) {
        let parent = headers.get(TRACEPARENT);
        let parent = parent.and_then(|value| TraceContext::parse(value.as_bytes()));
        let span = self.span(parent, Kind::Server);
        let context = span.as_ref().map(|span| span.context).or(parent);
        (span, context)
    }

    /// The span of a message that the server sends by itself; a trace of its own.
    pub fn client(&self) -> Option<Span> {
        self.span(None, Kind::Client)
    }

    fn span(&self, parent: Option<TraceContext>, kind: Kind) -> Option<Span> {
        let Sampled { sampler, queue } = &**self.0.as_ref()?;
        let context = sampler.decide(parent)?;
        Some(Span {
            context,
            parent,
            kind,
            began: now(),
            queue: context.sampled.then(|| queue.clone()),
        })
    }
}

impl Span {
    /// The value of `traceparent` for what is done within this span.
    pub fn traceparent(&self) -> String {
        self.context.to_string()
    }

    /// Has the span exported, if it is sampled.
    pub fn end(self, ended: impl FnOnce() -> Ended) {
        if let Some(queue) = self.queue {
            queue.push(otlp::Span {
                context: self.context,
                parent: self.parent,
                kind: self.kind,
                began: self.began,
                ended: now(),
                what: ended(),
            });
        }
    }
}

/// In nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
