//! The exporter: spans wait in a bounded queue and leave in batches. It never holds up a request: what the queue has
//! no room for is dropped and counted.

use std::{
    env,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use http_body_util::Full;
use hyper::{Request, body::Bytes, header::CONTENT_TYPE};
use ids::{PartnerId, TypedId as _, Ulid};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use webhooks::{AddressPolicy, EndpointUrl};

use super::{Sampled, Sampler, Tracer, otlp};
use crate::{provisioner::system_roots, webhooks::HttpSender};

/// How many spans may wait.
const QUEUE: usize = 4096;
/// How many leave at once.
const BATCH: usize = 512;
/// How long a span waits for others.
const INTERVAL: Duration = Duration::from_secs(1);
/// For the collector to take a batch, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For the last batches, when the server ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The sending end of the queue.
#[derive(Clone)]
pub struct Queue {
    spans: mpsc::WeakSender<otlp::Span>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    pub fn push(&self, span: otlp::Span) {
        let queue = self.spans.upgrade();
        let is_queued = queue.is_some_and(|queue| queue.try_send(span).is_ok());
        if !is_queued {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The exporter of a server, until it is stopped.
pub struct Exporter {
    /// Keeps the queue open.
    spans: mpsc::Sender<otlp::Span>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts to export, if a variable names a collector.
    pub fn start() -> (Tracer, Option<Self>) {
        match Settings::of_environment() {
            Ok(None) => (Tracer::default(), None),
            Ok(Some((settings, sampler))) => {
                tracing::info!(collector = %settings.url.as_str(), "traces are exported");
                let (spans, waiting) = mpsc::channel(QUEUE);
                let dropped = Arc::new(AtomicU64::new(0));
                let queue = Queue {
                    spans: spans.downgrade(),
                    dropped: Arc::clone(&dropped),
                };
                let task = tokio::spawn(export(settings, waiting, dropped));
                let tracer = Tracer(Some(Arc::new(Sampled { sampler, queue })));
                (tracer, Some(Self { spans, task }))
            }
            // The variables may be there for all programs of the machine.
            Err(error) => {
                tracing::warn!("no traces are exported: {error:#}");
                (Tracer::default(), None)
            }
        }
    }

    /// Exports what waits, and ends.
    pub async fn stop(self) {
        drop(self.spans);
        if timeout(FLUSH_TIMEOUT, self.task).await.is_err() {
            tracing::warn!("timeout: the collector did not take the last spans");
        }
    }
}

/// Where spans go.
struct Settings {
    url: EndpointUrl,
    headers: Vec<(String, String)>,
    resource: Vec<(String, String)>,
    timeout: Duration,
    sender: HttpSender,
}

/// A variable that says something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// A variable of exporters: that of traces outweighs that of all signals.
fn of_traces(name: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
        .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

impl Settings {
    fn of_environment() -> anyhow::Result<Option<(Self, Sampler)>> {
        let own = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let shared = variable("OTEL_EXPORTER_OTLP_ENDPOINT")
            .map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let Some(url) = own.or(shared) else {
            return Ok(None);
        };
        let is =
            |name, value: &str| variable(name).is_some_and(|it| it.eq_ignore_ascii_case(value));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let protocol = of_traces("PROTOCOL").unwrap_or_else(|| "http/protobuf".to_owned());
        if protocol != "http/protobuf" {
            bail!("the protocol {protocol} is not supported, http/protobuf is");
        }
        let sampler = Sampler::new(
            variable("OTEL_TRACES_SAMPLER").as_deref(),
            variable("OTEL_TRACES_SAMPLER_ARG").as_deref(),
        );
        let sampler = sampler.context("OTEL_TRACES_SAMPLER or its argument is unknown")?;
        let url = EndpointUrl::new(url, AddressPolicy::Anywhere).context("the collector's URL")?;
        let timeout = match of_traces("TIMEOUT") {
            Some(text) => {
                Duration::from_millis(text.parse().context("OTEL_EXPORTER_OTLP_TIMEOUT")?)
            }
            None => TIMEOUT,
        };
        let authority = of_traces("CERTIFICATE").map(PathBuf::from);
        let roots = system_roots(authority.as_deref())?;
        let settings = Self {
            url,
            headers: pairs(&of_traces("HEADERS").unwrap_or_default()),
            resource: resource(),
            timeout,
            sender: HttpSender::trusting(AddressPolicy::Anywhere, roots)?,
        };
        Ok(Some((settings, sampler)))
    }
}

/// The attributes of this process.
fn resource() -> Vec<(String, String)> {
    let mut all = pairs(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        all.retain(|(known, _)| known != "service.name");
        all.push(("service.name".to_owned(), name));
    }
    for (name, value) in [
        ("service.name", "molecule-cp"),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ] {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    all
}

/// `key=value,key=value`, percent-encoded (W3C Baggage).
fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let decoded = percent_encoding::percent_decode_str(part.trim());
        decoded.decode_utf8_lossy().into_owned()
    };
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

async fn export(
    settings: Settings,
    mut waiting: mpsc::Receiver<otlp::Span>,
    dropped: Arc<AtomicU64>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut failing = false;
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        // Most wait for a moment, so that few requests carry many.
        let leaves = Instant::now() + INTERVAL;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(leaves, waiting.recv_many(&mut batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let sent = send(&settings, otlp::export(&settings.resource, &batch)).await;
        let lost = dropped.swap(0, Ordering::Relaxed);
        if let Err(error) = &sent {
            // Once for each outage: a collector may be gone for long.
            if !failing {
                tracing::warn!(spans = batch.len(), "exporting traces failed: {error}");
            }
        }
        if lost > 0 {
            tracing::warn!(
                spans = lost,
                "spans were dropped: the collector is too slow"
            );
        }
        failing = sent.is_err();
        batch.clear();
    }
}

/// Sends a batch, which is lost when it fails: the requests that it is about have been answered.
async fn send(settings: &Settings, body: Vec<u8>) -> Result<(), String> {
    let mut request = Request::new(Full::from(Bytes::from(body)));
    *request.method_mut() = hyper::Method::POST;
    let headers = request.headers_mut();
    for (name, value) in &settings.headers {
        if let (Ok(name), Ok(value)) = (
            name.parse::<hyper::header::HeaderName>(),
            value.parse::<hyper::header::HeaderValue>(),
        ) {
            headers.insert(name, value);
        }
    }
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/x-protobuf"),
    );
    // Look-ups are shared by partner, and this is none.
    let nobody = PartnerId::from_ulid(Ulid(0));
    let sending = settings.sender.ask((nobody, &settings.url), request);
    match timeout(settings.timeout, sending).await {
        Ok(Ok((200..=299, _))) => Ok(()),
        Ok(Ok((status, body))) => Err(format!("the collector answered {status}: {body}")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err("timeout: the collector did not answer".to_owned()),
    }
}
