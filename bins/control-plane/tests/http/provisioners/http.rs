//! Orgs that are made by a service of the operator's.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use testkit::ports;
use time::OffsetDateTime;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use webhooks::{Received, WebhookSecret};

use super::{create, failure, read, step};
use crate::kit::{ALL_SCOPES, Server, Store, eventually, tls};

on_both_engines![
    a_service_is_asked_by_a_signed_message,
    a_service_that_is_busy_is_asked_again,
    the_detail_of_a_refusal_is_the_reason,
    a_deletion_waits_for_the_answer_of_a_service,
    a_server_that_is_asked_to_end_waits_for_the_answer_of_a_service,
    what_a_service_answers_is_handed_back,
];

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The status that means: take the message, and wait for another one before it is answered.
const HOLD: u16 = 0;

/// What was asked: the message's id, and its body.
type Asked = (String, Value);

/// A service of the operator's. It answers with one status until it is given another.
struct Service {
    address: String,
    status: Arc<AtomicU16>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The body of what it answers when all is well.
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Service {
    fn start(status: u16) -> Self {
        Self::accepting(status, |stream| stream)
    }

    /// A service that speaks TLS.
    fn start_with_tls(status: u16, config: Arc<ServerConfig>) -> Self {
        Self::accepting(status, move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            StreamOwned::new(connection, stream)
        })
    }

    fn accepting<S: Read + Write>(
        status: u16,
        accept: impl Fn(TcpStream) -> S + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Self {
            address: listener.local_addr().unwrap().to_string(),
            status: Arc::new(AtomicU16::new(status)),
            asked: Arc::default(),
            answer: Arc::default(),
        };
        let (status, asked) = (Arc::clone(&service.status), Arc::clone(&service.asked));
        let answer = Arc::clone(&service.answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (status, asked) = (Arc::clone(&status), Arc::clone(&asked));
                let answer = Arc::clone(&answer);
                let accept = accept.clone();
                thread::spawn(move || {
                    response(accept(stream.unwrap()), (&status, &answer), &asked)
                });
            }
        });
        service
    }

    fn set(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it was asked so often.
    #[track_caller]
    fn was_asked(&self, times: usize) -> Vec<Asked> {
        eventually("the service is asked", || {
            let asked = self.asked();
            (asked.len() >= times).then_some(asked)
        })
    }

    #[track_caller]
    fn server(&self, store: &Store, settings: &[(&str, &str)]) -> Server {
        let url = format!("http://{}/orgs?by=cp", self.address);
        let mut all = vec![
            ("MOLECULE_CP_PROVISIONER", "http"),
            ("MOLECULE_CP_PROVISIONER_URL", &url),
            ("MOLECULE_CP_PROVISIONER_SECRET", SECRET),
        ];
        all.extend_from_slice(settings);
        store.start_with(&all)
    }
}

/// Takes one message, and panics, which is a response to nobody, when it is not what it must be.
fn response(
    stream: impl Read + Write,
    (status, answer): (&AtomicU16, &Mutex<Vec<u8>>),
    asked: &Mutex<Vec<Asked>>,
) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // Whoever does not trust this service ends the handshake.
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    assert_eq!(lines[0], "POST /orgs?by=cp HTTP/1.1");
    let header = |name: &str| {
        let found = lines.iter().find_map(|line| {
            let (other, value) = line.split_once(": ")?;
            other.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_else(|| panic!("no {name} in {lines:?}"))
    };
    let mut body = vec![0; header("content-length").parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    assert_eq!(header("content-type"), "application/json");
    let received = Received {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body: &body,
    };
    let secret = WebhookSecret::parse(SECRET).unwrap();
    received.verify(&secret, OffsetDateTime::now_utc()).unwrap();
    let message = (
        received.id.to_owned(),
        serde_json::from_slice(&body).unwrap(),
    );
    asked.lock().unwrap().push(message);
    let status = loop {
        match status.load(Ordering::SeqCst) {
            HOLD => thread::sleep(Duration::from_millis(10)),
            status => break status,
        }
    };
    let body = if status < 300 {
        answer.lock().unwrap().clone()
    } else {
        br#"{"title": "x", "detail": "the region is full"}"#.to_vec()
    };
    let length = body.len();
    // Whoever asked may be gone.
    let mut stream = reader.into_inner();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let _ = stream.write_all(&body);
}

fn a_service_is_asked_by_a_signed_message(store: Store) {
    let service = Service::start(204);
    let server = service.server(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(id, "deleted");
    let asked = service.asked();
    assert_eq!(asked.len(), 2, "{asked:#?}");
    let ulid = id.trim_start_matches("org_");
    for ((message, body), verb) in asked.iter().zip(["provision", "deprovision"]) {
        assert_eq!(*message, format!("msg_{ulid}_{verb}"));
        assert_eq!(body["type"], format!("org.{verb}"));
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
        assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
    }
    let mut actual = asked[0].1["data"].clone();
    assert_eq!(actual["status"], "provisioning");
    for member in ["status", "ready_at"] {
        actual[member] = org[member].clone();
    }
    assert_eq!(actual, org, "it is the org's resource");
}

fn a_service_that_is_busy_is_asked_again(store: Store) {
    let service = Service::start(503);
    let server = service.server(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    assert_eq!(failure(&key, &id, "provisioner-busy"), "the region is full");
    service.set(429);
    let asked = service.was_asked(3);
    service.set(200);
    key.wait(&id, "ready");
    assert!(
        asked.iter().all(|(id, _)| *id == asked[0].0),
        "one id for one step"
    );
    assert_eq!(read(&key, &id)["failure"], Value::Null);
}

fn the_detail_of_a_refusal_is_the_reason(store: Store) {
    let service = Service::start(422);
    let server = service.server(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    key.wait(&id, "failed");
    let failure = json!({"code": "provisioner-failed", "message": "the region is full"});
    assert_eq!(read(&key, &id)["failure"], failure);
    assert_eq!(step(&key, &id, "provision")["attempts"], 1);
    service.set(200);
    let retry = format!("/cp/admin/orgs/{id}/retry");
    server.admin().post(&retry, Value::Null).expect(200);
    key.wait(&id, "ready");
}

/// The service can't be told to stop, and must not be asked for both at once.
fn a_deletion_waits_for_the_answer_of_a_service(store: Store) {
    let service = Service::start(HOLD);
    let server = service.server(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    service.was_asked(1);
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    thread::sleep(Duration::from_secs(5));
    assert_eq!(service.asked().len(), 1, "it was asked beside its work");
    service.set(200);
    key.wait(&id, "deleted");
    let kinds: Vec<_> = service
        .asked()
        .into_iter()
        .map(|(_, body)| body["type"].clone())
        .collect();
    assert_eq!(kinds, ["org.provision", "org.deprovision"]);
}

/// Else the next server would ask for the same beside it.
fn a_server_that_is_asked_to_end_waits_for_the_answer_of_a_service(store: Store) {
    let service = Service::start(HOLD);
    let server = service.server(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    service.was_asked(1);
    let status = Arc::clone(&service.status);
    let answers = thread::spawn(move || {
        // Longer than work may go on that can be stopped.
        thread::sleep(Duration::from_secs(3));
        status.store(200, Ordering::SeqCst);
    });
    let (status, log) = server.terminate(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{log}");
    answers.join().unwrap();
    let server = service.server(&store, &[]);
    server.with_token(key.token()).wait(&id, "ready");
    assert_eq!(service.asked().len(), 1, "it was asked once more");
}

#[test]
fn a_service_that_hangs_or_is_not_there_is_asked_again() {
    let store = Store::sqlite();
    let service = Service::start(HOLD);
    let server = service.server(&store, &[("MOLECULE_CP_PROVISIONER_TIMEOUT", "1")]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    failure(&key, &id, "provisioner-timeout");
    service.set(200);
    key.wait(&id, "ready");
    drop(server);
    let url = format!("http://127.0.0.1:{}/", ports::free());
    let server = service.server(&store, &[("MOLECULE_CP_PROVISIONER_URL", &url)]);
    let key = server.with_token(key.token());
    let id = create(&key, "acme-two");
    let message = failure(&key, &id, "provisioner-unreachable");
    assert!(message.contains("can't be reached"), "{message}");
}

#[test]
fn a_service_with_tls_is_trusted_by_the_file_or_by_the_system() {
    let service = Service::start_with_tls(200, tls::localhost());
    let (_, port) = service.address.rsplit_once(':').unwrap();
    let url = format!("https://localhost:{port}/orgs?by=cp");
    let store = Store::sqlite();
    let file = store.folder().join("authority.pem");
    fs::write(&file, tls::authority_pem()).unwrap();
    let (file, none) = (file.to_str().unwrap(), "/dev/null");
    // `SSL_CERT_FILE` is where the system's certificates are, for the program as for OpenSSL.
    let start = |system: &str, ca_file: &str| {
        let settings = [
            ("MOLECULE_CP_PROVISIONER_URL", &*url),
            ("MOLECULE_CP_PROVISIONER_CA_FILE", ca_file),
            ("SSL_CERT_FILE", system),
            ("SSL_CERT_DIR", none),
        ];
        service.server(&store, &settings)
    };
    let server = start(none, "");
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-unknown");
    let message = failure(&key, &id, "provisioner-unreachable");
    assert!(message.contains("certificate"), "{message}");
    assert!(service.asked().is_empty(), "it was sent a message");
    drop(server);
    for (system, ca_file, slug) in [(none, file, "acme-file"), (file, "", "acme-system")] {
        let server = start(system, ca_file);
        server.with_token(key.token()).org(slug);
    }
}

#[test]
fn the_secret_of_a_service_is_in_no_log_and_not_shown() {
    let store = Store::sqlite();
    let service = Service::start(200);
    let url = format!("http://{}/orgs?by=cp", service.address);
    let settings = [
        ("MOLECULE_CP_PROVISIONER", "http"),
        ("MOLECULE_CP_PROVISIONER_URL", &*url),
        ("MOLECULE_CP_PROVISIONER_SECRET", SECRET),
    ];
    let shown = store.run(&["config"], &settings);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("provisioner_secret") && !shown.contains(SECRET),
        "{shown}"
    );
    let server = service.server(&store, &[("RUST_LOG", "debug")]);
    server.key(ALL_SCOPES).org("acme-corp");
    assert!(!server.log().contains(SECRET.trim_start_matches("whsec_")));
}

fn what_a_service_answers_is_handed_back(store: Store) {
    let service = Service::start(200);
    let hand_back = |body: &[u8]| *service.answer.lock().unwrap() = body.to_vec();
    hand_back(br#"{"outputs": {"host": "db-1"}, "secrets": {"password": "hunter2"}}"#);
    let server = service.server(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    assert_eq!(org["outputs"], json!({"host": "db-1"}));
    assert_eq!(org["secret_names"], json!(["password"]));
    let secrets = key.get(&format!("/cp/orgs/{id}/secrets")).expect(200);
    assert_eq!(secrets["secrets"], json!({"password": "hunter2"}));
    // What a deletion answers hands back nothing.
    hand_back(b"gone");
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(id, "deleted");

    let mut long = br#"{"secrets": {"password": "hunter2"}}"#.to_vec();
    long.resize(65 * 1024, b' ');
    for (body, reason) in [
        (&b"OK"[..], "it is not JSON: line 1, column 1"),
        (
            br#"{"secrets": {"password": "hunter2""#,
            "its JSON is cut off",
        ),
        (b"{\"outputs\": {\"a\": \"\xff\"}}", "it is not UTF-8 text"),
        (&long, "it is longer than 64 KiB"),
    ] {
        hand_back(body);
        let id = create(&key, "acme-corp");
        let message = failure(&key, &id, "provisioner-output-invalid");
        assert_eq!(
            message,
            format!("the answer of the provisioner can't be used: {reason}")
        );
        key.wait(&id, "failed");
        key.delete(&format!("/cp/orgs/{id}")).expect(202);
        key.wait(&id, "deleted");
    }
}
