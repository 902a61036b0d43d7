//! The sender against receivers on this machine, with and without TLS.

use std::{net::SocketAddr, sync::Arc};

use ids::{PartnerId, TypedId as _, Ulid};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::*;

const AUTHORITY: &[u8] = include_bytes!("certificates/authority.der");
const LOCALHOST: &[u8] = include_bytes!("certificates/localhost.der");
const KEY: &[u8] = include_bytes!("certificates/localhost.key.der");

/// Whoever the authority of these tests vouches for is trusted.
fn sender(reach: AddressPolicy) -> HttpSender {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(AUTHORITY)).unwrap();
    HttpSender::trusting(reach, roots).unwrap()
}

fn posting(url: &str) -> OutgoingMessage {
    OutgoingMessage {
        partner_id: PartnerId::from_ulid(Ulid::from(1)),
        url: EndpointUrl::new(url, AddressPolicy::Anywhere).unwrap(),
        id: "whd_1".to_owned(),
        timestamp: "1614265330".to_owned(),
        signature: "v1,abc".to_owned(),
        body: "{\"a\":\"b\"}".to_owned(),
    }
}

/// Reads one message, answers it so, and gives the message.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"}") {
        let mut some = [0; 1024];
        let count = stream.read(&mut some).await.unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&some[..count]);
    }
    // A sender that has seen enough may be gone.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    String::from_utf8(got).unwrap()
}

/// A receiver of one message.
async fn receiver(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, answer).await
    });
    (address, got)
}

/// The same with TLS, as `localhost`; the message is empty when there was none.
async fn tls_receiver() -> (SocketAddr, JoinHandle<String>) {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY));
    let chain = vec![CertificateDer::from(LOCALHOST)];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        match acceptor.accept(stream).await {
            Ok(stream) => serve(stream, "HTTP/1.1 204 No Content\r\n\r\n").await,
            Err(_) => String::new(),
        }
    });
    (address, got)
}

#[track_caller]
fn unanswered(reception: SendOutcome, words: &str) {
    match reception {
        SendOutcome::NoResponse(error) => assert!(error.contains(words), "{error}"),
        SendOutcome::Response { .. } => panic!("{reception:?}"),
    }
}

#[tokio::test]
async fn a_message_is_posted_with_its_headers_to_the_path_of_the_url() {
    let answer = "HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nthank";
    let (address, got) = receiver(answer).await;
    let url = format!("http://{address}/a/b?c=%20d");
    let reception = sender(AddressPolicy::Anywhere).send(posting(&url)).await;
    let expect = SendOutcome::Response {
        status_code: 202,
        body: "thank".to_owned(),
    };
    assert_eq!(reception, expect);
    let got = got.await.unwrap();
    let mut lines = got.lines();
    assert_eq!(lines.next(), Some("POST /a/b?c=%20d HTTP/1.1"));
    for line in [
        &format!("host: {address}"),
        "content-type: application/json",
        "content-length: 9",
        "webhook-id: whd_1",
        "webhook-timestamp: 1614265330",
        "webhook-signature: v1,abc",
    ] {
        assert!(got.contains(line), "{line} is not in\n{got}");
    }
    assert!(got.ends_with("\r\n\r\n{\"a\":\"b\"}"));
}

#[tokio::test]
async fn over_tls_the_host_must_be_vouched_for() {
    let sender_of_tests = sender(AddressPolicy::Anywhere);
    let (address, got) = tls_receiver().await;
    let url = format!("https://localhost:{}/x", address.port());
    let reception = sender_of_tests.send(posting(&url)).await;
    let expect = SendOutcome::Response {
        status_code: 204,
        body: String::new(),
    };
    assert_eq!(reception, expect);
    assert!(got.await.unwrap().starts_with("POST /x HTTP/1.1"));

    // The certificate is of another name.
    let (address, got) = tls_receiver().await;
    let url = format!("https://127.0.0.1:{}/x", address.port());
    unanswered(sender_of_tests.send(posting(&url)).await, "certificate");
    assert_eq!(got.await.unwrap(), "", "nothing was sent");

    // The authority is not one of the public ones.
    let (address, got) = tls_receiver().await;
    let url = format!("https://localhost:{}/x", address.port());
    let public = HttpSender::new(AddressPolicy::Anywhere).unwrap();
    unanswered(public.send(posting(&url)).await, "certificate");
    assert_eq!(got.await.unwrap(), "");
}

#[tokio::test]
async fn only_the_beginning_of_a_long_answer_is_read() {
    // Longer than it says, and never at its end.
    let answer = Box::leak(
        format!(
            "HTTP/1.1 500 Oh\r\ncontent-length: 100000000\r\n\r\n{}",
            "x".repeat(100_000)
        )
        .into_boxed_str(),
    );
    let (address, _got) = receiver(answer).await;
    let url = format!("http://{address}/");
    match sender(AddressPolicy::Anywhere).send(posting(&url)).await {
        SendOutcome::Response { status_code, body } => {
            assert_eq!((status_code, body.len()), (500, EXCERPT.bytes));
        }
        reception @ SendOutcome::NoResponse(_) => panic!("{reception:?}"),
    }
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    let (address, _got) = receiver("SSH-2.0-OpenSSH_9.6\r\n").await;
    let url = format!("http://{address}/");
    let reception = sender(AddressPolicy::Anywhere).send(posting(&url)).await;
    unanswered(reception, "the connection broke");
    let head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(100_000));
    let (address, _got) = receiver(Box::leak(head.into_boxed_str())).await;
    let url = format!("http://{address}/");
    let reception = sender(AddressPolicy::Anywhere).send(posting(&url)).await;
    unanswered(reception, "the connection broke");
}

/// A receiver could go on so for ever: the status that counts never comes.
#[tokio::test]
async fn a_receiver_that_sends_interim_answers_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let receiver = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        while stream.write_all(interim).await.is_ok() {}
    });
    let reception = sender(AddressPolicy::Anywhere).send(posting(&url)).await;
    unanswered(reception, "the receiver sends too much");
    receiver.await.unwrap();
}

#[tokio::test]
async fn within_the_public_reach_nothing_on_this_machine_is_called() {
    let (address, got) = tls_receiver().await;
    let port = address.port();
    for (url, words) in [
        (format!("https://127.0.0.1:{port}/"), "a loopback address"),
        (format!("https://localhost:{port}/"), "the server itself"),
        (format!("http://127.0.0.1:{port}/"), "https://"),
    ] {
        unanswered(
            sender(AddressPolicy::Public).send(posting(&url)).await,
            words,
        );
    }
    assert!(!got.is_finished(), "nobody has connected");
}
