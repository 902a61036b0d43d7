//! HEAD, and heads that are no request.

use crate::{
    connections::{creation, events_of, head},
    kit::{ALL_SCOPES, Store, Wire},
};

#[test]
fn head_is_answered_wherever_get_is_and_without_a_body() {
    let store = Store::sqlite();
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/cp/openapi.json",
        "/cp/docs",
        "/problems/not-found",
        "/cp/whoami",
        "/cp/orgs",
        &format!("/cp/orgs/{id}"),
        &format!("/cp/orgs/{id}/status"),
        "/cp/audit-events",
        "/cp/webhook-endpoints",
        "/cp/admin/partner-keys",
        &key.path(),
    ] {
        let mut wire = Wire::new(&server);
        // Both at once: the first one's answer must not be taken for the other's.
        wire.send(head(&key, &format!("HEAD {path}")) + "\r\n");
        wire.send(head(&key, &format!("GET {path}")) + "\r\n");
        let answer = wire.answer_to_head();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let whole = wire.answer();
        assert_eq!(whole.status, 200, "{path}: {whole:?}");
        assert!(!whole.body.is_empty(), "{path}");
        let kind =
            |answer: &crate::kit::RawAnswer| answer.header("content-type").map(str::to_owned);
        assert_eq!(kind(&answer), kind(&whole), "{path}");
        if path.starts_with("/cp/") && answer.header("ratelimit").is_some() {
            assert!(answer.header("audit-event-id").is_some(), "{path}");
        }
    }
    let answer = key.send("HEAD", "/cp/orgs/org_00000000000000000000000000", &[], b"");
    assert_eq!(answer.status, 404);
    let answer = key.send("HEAD", &format!("/cp/orgs/{id}/renew"), &[], b"");
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    let answer = key.send("PUT", "/cp/orgs", &[], b"");
    assert_eq!(answer.header("allow"), "POST, GET, DELETE, HEAD");
    let answer = server.anon().send("POST", "/healthz", &[], b"");
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
    let methods = events_of(&server, &key);
    let heads = methods.iter().filter(|event| event["method"] == "HEAD");
    assert_eq!(heads.count(), 10);
}

#[test]
fn what_is_no_request_gets_a_problem_and_spoils_no_answer_before_it() {
    let store = Store::sqlite();
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let huge = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(200_000));
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "A: b\r\n".repeat(200)
    );
    for (n, (garbage, status)) in [
        ("\0\u{1}\u{2}\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\n\r\n", 400),
        ("{\"name\": 1}\n\n", 400),
        (&*huge, 431),
        (&*many, 431),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wire = Wire::new(&server);
        wire.send(garbage);
        let answer = wire.answer();
        answer.problem(status, "invalid-request");
        assert_eq!(answer.header("connection"), Some("close"));
        wire.expect_end();
        let mut wire = Wire::new(&server);
        wire.send(creation(&key, &format!("acme-{n}")) + garbage);
        let answer = wire.answer();
        assert_eq!(answer.status, 201, "{answer:?}");
        wire.answer().problem(status, "invalid-request");
        wire.expect_end();
    }
    // A head that breaks off, and empty lines before one.
    let mut wire = Wire::new(&server);
    wire.send("GET / HTTP/1.1\r\nHost: a").half_close();
    wire.answer().problem(400, "invalid-request");
    wire.expect_end();
    let mut wire = Wire::new(&server);
    wire.send("\r\n\r\n\r\nGET /healthz HTTP/1.1\nHost: a\n\n");
    assert_eq!(wire.answer().status, 200);
    let metrics = server.anon().get("/metrics").body;
    let counted = r#"molecule_http_requests_total{method="OTHER",route="unrouted",status="431"} 4"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn an_upgrade_is_not_taken_and_the_request_is_answered() {
    let store = Store::sqlite();
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let mut wire = Wire::new(&server);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    wire.send(head(&key, "GET /cp/whoami") + upgrade);
    let answer = wire.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    wire.expect_end();
}
