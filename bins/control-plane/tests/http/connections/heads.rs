//! HEAD, and heads that are no request.

use crate::{
    connections::{creation, events_of, head},
    kit::{ALL_SCOPES, Response, Store, Wire},
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
        let response = wire.response_to_head();
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let whole = wire.response();
        assert_eq!(whole.status, 200, "{path}: {whole:?}");
        assert!(!whole.body.is_empty(), "{path}");
        let kind = |response: &Response| response.header("content-type").to_owned();
        assert_eq!(kind(&response), kind(&whole), "{path}");
        if path.starts_with("/cp/") && response.header_if_any("ratelimit").is_some() {
            assert!(response.header_if_any("audit-event-id").is_some(), "{path}");
        }
    }
    let response = key.send("HEAD", "/cp/orgs/org_00000000000000000000000000", &[], b"");
    assert_eq!(response.status, 404);
    let response = key.send("HEAD", &format!("/cp/orgs/{id}/renew"), &[], b"");
    assert_eq!((response.status, response.header("allow")), (405, "POST"));
    let response = key.send("PUT", "/cp/orgs", &[], b"");
    assert_eq!(response.header("allow"), "POST, GET, DELETE, HEAD");
    let response = server.anon().send("POST", "/healthz", &[], b"");
    assert_eq!(
        (response.status, response.header("allow")),
        (405, "GET, HEAD")
    );
    let methods = events_of(&server, &key);
    let heads = methods.iter().filter(|event| event["method"] == "HEAD");
    assert_eq!(heads.count(), 10);
}

#[test]
fn a_malformed_request_gets_a_problem_and_changes_no_earlier_response() {
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
        let response = wire.response();
        response.problem(status, "invalid-request");
        assert_eq!(response.header("connection"), "close");
        wire.expect_end();
        let mut wire = Wire::new(&server);
        wire.send(creation(&key, &format!("acme-{n}")) + garbage);
        let response = wire.response();
        assert_eq!(response.status, 201, "{response:?}");
        wire.response().problem(status, "invalid-request");
        wire.expect_end();
    }
    // A head that breaks off, and empty lines before one.
    let mut wire = Wire::new(&server);
    wire.send("GET / HTTP/1.1\r\nHost: a").half_close();
    wire.response().problem(400, "invalid-request");
    wire.expect_end();
    let mut wire = Wire::new(&server);
    wire.send("\r\n\r\n\r\nGET /healthz HTTP/1.1\nHost: a\n\n");
    assert_eq!(wire.response().status, 200);
    let metrics = server.anon().get("/metrics").body;
    let counted = r#"http_server_request_duration_seconds_count{http_request_method="_OTHER",http_response_status_code="431",http_route="unrouted"} 4"#;
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
    let response = wire.response();
    assert_eq!(response.status, 200, "{response:?}");
    wire.expect_end();
}
