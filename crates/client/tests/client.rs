//! What the client does by itself, against a server that answers by a script.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "test code outside of test functions"
)]

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt as _;
use molecule_client::{Client, Error, ErrorCode, KeyId, NewOrg, OrgFilters, RetryPolicy, Secret};

/// A server that gives its answers in their order, the last one again and again.
struct Scripted {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Status, headers, body.
type Answer = (u16, &'static str, String);

impl Scripted {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = String::new();
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let line = line.unwrap_or_default();
                    if line.is_empty() {
                        break;
                    }
                    head.push_str(&line.to_lowercase());
                    head.push('\n');
                }
                seen.lock().unwrap().push(head);
                let (status, headers, body) = if answers.len() > 1 {
                    answers.pop_front().unwrap()
                } else {
                    answers[0].clone()
                };
                if status == 0 {
                    // The connection ends without an answer.
                    continue;
                }
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        Self { address, requests }
    }

    fn client(&self) -> Client {
        Client::builder(&format!("http://{}", self.address))
            .key(Secret::new("mol_pk_x"))
            .retry(RetryPolicy::within(Duration::from_secs(5)))
            .build()
            .unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

const JSON: &str = "content-type: application/json\r\n";
const PROBLEM: &str = "content-type: application/problem+json\r\n";

fn problem(status: u16, code: &str) -> String {
    format!(
        r#"{{"type":"t","title":"t","status":{status},"detail":"d","code":"{code}","request_id":"req_1","errors":[{{"pointer":"/slug","detail":"no"}}],"newer":1}}"#
    )
}

fn id() -> KeyId {
    "pak_01J9ZK60AB1CD2EF3GH4JK5MN6".parse().unwrap()
}

#[tokio::test]
async fn pages_are_fetched_as_they_are_needed_and_empty_ones_are_passed_over() {
    let page = |data: &str, cursor: &str| {
        format!(
            r#"{{"data":[{data}],"has_more":{},"next_cursor":{cursor}}}"#,
            cursor != "null"
        )
    };
    let workspace = r#"{"id":"ws_01J9ZK7M0N1P2Q3R4S5T6V7W8X","org_id":"org_01J9ZK6V3QG8W0T5N4R2M7XACD","name":"QA","slug":"qa","created_at":"2026-04-23T08:00:04Z","newer":{}}"#;
    let server = Scripted::new([
        (200, JSON, page("", "\"a b\"")),
        (200, JSON, page(workspace, "\"c\"")),
        (200, JSON, page(workspace, "null")),
    ]);
    let org = "org_01J9ZK6V3QG8W0T5N4R2M7XACD".parse().unwrap();
    let mut items = server.client().workspaces(org);
    assert_eq!(items.try_next().await.unwrap().unwrap().slug, "qa");
    let lines: Vec<_> = server
        .requests()
        .iter()
        .map(|head| head.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("limit=100&cursor=a+b"), "{lines:?}");
    assert!(items.try_next().await.unwrap().is_some());
    assert!(items.try_next().await.unwrap().is_none());
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn filters_are_escaped_and_repeated() {
    let server = Scripted::new([(
        200,
        JSON,
        r#"{"data":[],"has_more":false,"next_cursor":null}"#.to_owned(),
    )]);
    let filters = OrgFilters {
        external_id: Some("a&b=c/é".to_owned()),
        label: vec!["a:1".to_owned(), "b:2".to_owned()],
        ..OrgFilters::default()
    };
    assert!(
        server
            .client()
            .orgs(&filters)
            .try_next()
            .await
            .unwrap()
            .is_none()
    );
    let head = &server.requests()[0];
    let expect = "get /cp/orgs?external_id=a%26b%3dc%2f%c3%a9&label=a%3a1&label=b%3a2&limit=100 ";
    assert!(head.starts_with(expect), "{head}");
    assert!(head.contains("authorization: bearer mol_pk_x\n"), "{head}");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let server = Scripted::new([
        (0, "", String::new()),
        (
            503,
            "content-type: text/html\r\nretry-after: 1\r\n",
            "<h1>Busy</h1>".to_owned(),
        ),
        (409, PROBLEM, problem(409, "idempotency-in-progress")),
        (409, PROBLEM, problem(409, "slug-taken")),
    ]);
    let begun = Instant::now();
    let error = server
        .client()
        .create_org(&NewOrg::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::SlugTaken));
    assert_eq!(error.problem().unwrap().errors[0].pointer, "/slug");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let keys: Vec<_> = server
        .requests()
        .iter()
        .map(|head| {
            head.lines()
                .find(|line| line.starts_with("idempotency-key"))
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_key_that_has_revoked_itself_is_revoked() {
    let server = Scripted::new([
        (0, "", String::new()),
        (401, PROBLEM, problem(401, "key-revoked")),
    ]);
    server.client().revoke_key(id()).await.unwrap();
    let server = Scripted::new([(401, PROBLEM, problem(401, "key-revoked"))]);
    let error = server.client().revoke_key(id()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::KeyRevoked));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_page_is_called_one() {
    let elsewhere = "location: http://127.0.0.1:1/\r\ncontent-type: text/html\r\n";
    let server = Scripted::new([(302, elsewhere, String::new())]);
    let error = server.client().whoami().await.unwrap_err();
    assert!(
        matches!(error, Error::NotTheApi { status: 302, .. }),
        "{error}"
    );
    let server = Scripted::new([(
        200,
        "content-type: text/html\r\n",
        "<p>Sign in</p>".to_owned(),
    )]);
    let error = server.client().whoami().await.unwrap_err();
    assert!(error.to_string().contains("\"Sign in\""), "{error}");
}

#[tokio::test]
async fn an_unknown_code_is_kept() {
    let server = Scripted::new([(418, PROBLEM, problem(418, "teapot"))]);
    let error = server.client().whoami().await.unwrap_err();
    assert_eq!(error.code(), None);
    assert_eq!(error.problem().unwrap().code.as_str(), "teapot");
}
