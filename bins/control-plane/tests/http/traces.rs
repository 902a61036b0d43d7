//! Traces: spans at a collector, and the trace context of requests and messages.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use crate::{
    kit::{ALL_SCOPES, Receiver, Store, eventually},
    webhooks::{ON_THIS_MACHINE, endpoint, path},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// The head of a request, in lower case, and its body.
type Request = (String, Vec<u8>);

struct Collector {
    endpoint: String,
    received: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&received);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let head = head.to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap();
                let length = length.split("\r\n").next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push((head, body));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Self { endpoint, received }
    }

    /// The first request whose body has all of these bytes.
    fn request_with(&self, parts: &[&[u8]]) -> Request {
        eventually("a span arrives", || {
            let received = self.received.lock().unwrap();
            let has = |body: &[u8], part: &[u8]| body.windows(part.len()).any(|it| it == part);
            let mut received = received.iter();
            let found = received.find(|(_, body)| parts.iter().all(|part| has(body, part)));
            found.cloned()
        })
    }
}

#[test]
fn a_request_is_a_span_of_its_callers_trace() {
    let collector = Collector::start();
    let store = Store::sqlite();
    let server = store.start_with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc"),
        ("OTEL_SERVICE_NAME", "cp-of-the-test"),
        ("RUST_LOG", "debug"),
    ]);
    let key = server.key(&["orgs:list"]);
    let call = |header: &str, path: &str| {
        let headers = [("traceparent", header), ("x-request-id", "build-17")];
        key.send("GET", path, &headers, b"").expect(200);
    };
    // Its caller does not want it.
    call(&traceparent("00"), "/cp/orgs");
    call(&traceparent("01"), "/cp/whoami");
    let (head, body) = collector.request_with(&[
        &bytes(TRACE),
        &bytes(PARENT),
        b"GET /cp/whoami",
        b"cp-of-the-test",
        b"build-17",
    ]);
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    assert!(head.contains("authorization: bearer abc"), "{head}");
    let text = String::from_utf8_lossy(&body);
    assert!(!text.contains("GET /cp/orgs"), "{text}");
    assert!(!text.contains(key.token()), "{text}");

    let log = server.log();
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["request_id"] == "build-17" && line["route"] == "/cp/whoami");
    assert_eq!(line.expect("a line of the request")["trace_id"], TRACE);
}

#[test]
fn a_message_carries_the_context_of_its_span() {
    let (collector, receiver) = (Collector::start(), Receiver::start());
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.push(("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint));
    let store = Store::sqlite();
    let server = store.start_with(&settings);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), &["org.ready"]);
    let test = format!("{}/test", path(&created));
    key.post(&test, Value::Null).expect(200);
    let message = receiver.wait(1).remove(0);
    let header = message.header("traceparent");
    let parts: Vec<&str> = header.split('-').collect();
    assert_eq!((parts[0], parts[3]), ("00", "01"), "{header}");
    collector.request_with(&[&bytes(parts[1]), &bytes(parts[2]), b"webhook"]);
}

#[test]
fn without_a_collector_no_trace_begins_and_a_callers_is_logged() {
    let receiver = Receiver::start();
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.push(("RUST_LOG", "debug"));
    let store = Store::sqlite();
    let server = store.start_with(&settings);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), &["org.ready"]);
    let test = format!("{}/test", path(&created));
    let headers = [("traceparent", &*traceparent("00"))];
    key.send("POST", &test, &headers, b"").expect(200);
    let message = receiver.wait(1).remove(0);
    let mut headers = message.headers.iter();
    assert!(
        headers.all(|(name, _)| name != "traceparent"),
        "{message:#?}"
    );
    assert!(server.log().contains(&format!("\"trace_id\":\"{TRACE}\"")));
}

#[test]
fn a_collector_that_is_gone_or_not_understood_holds_up_nothing() {
    let gone = "http://127.0.0.1:9";
    for settings in [
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", gone)][..],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", gone),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ],
    ] {
        let store = Store::sqlite();
        let server = store.start_with(settings);
        server.admin().get("/cp/whoami").expect(200);
        eventually("a warning", || {
            let log = server.log();
            (log.contains("exporting traces failed") || log.contains("no traces are exported"))
                .then_some(())
        });
    }
}
