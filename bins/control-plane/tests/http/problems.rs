//! Whatever is wrong with a request is told in a problem document, and changes nothing.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Response, Store};

on_both_engines![
    bodies_that_can_not_be_read_are_refused,
    another_method_is_answered_with_those_there_are,
    refusals_come_in_the_order_of_the_contract,
    requests_of_odd_form_get_problem_documents,
];

const JSON: (&str, &str) = ("content-type", "application/json");

fn org() -> Value {
    json!({"name": "Acme", "slug": "acme-corp", "plan": "standard"})
}

#[track_caller]
fn nothing_was_created(key: &Caller) {
    assert_eq!(key.all("/cp/orgs"), [Value::Null; 0]);
}

fn bodies_that_can_not_be_read_are_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let send = |headers: &[(&str, &str)], body: &[u8]| {
        let response = key.send("POST", "/cp/orgs", headers, body);
        response.event();
        response
    };
    let whole = org().to_string();
    for body in [
        "",
        "{",
        "nonsense",
        "{\"name\": }",
        "{'name': 'a'}",
        &format!("{whole} x"),
        &whole[1..],
        "{\"name\": \"\u{1}\"}",
        "{\"name\": \"\\ud800\"}",
    ] {
        send(&[JSON], body.as_bytes()).problem(400, "invalid-request");
    }
    send(&[JSON], b"{\"name\": \"\xff\"}").problem(400, "invalid-request");
    send(&[JSON], "[".repeat(60_000).as_bytes()).problem(400, "invalid-request");
    for body in ["[]", "null", "7", "\"text\"", "true", "[{}]"] {
        assert_eq!(send(&[JSON], body.as_bytes()).pointers(), [""], "{body}");
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/merge-patch+json",
        "application/jsonx",
        "application/json; charset=latin1",
        "nonsense",
        "multipart/form-data",
    ] {
        let response = send(&[("content-type", kind)], whole.as_bytes());
        response.problem(415, "unsupported-media-type");
    }
    let zipped = [JSON, ("content-encoding", "gzip")];
    send(&zipped, whole.as_bytes()).problem(415, "unsupported-media-type");
    for size in [65 * 1024, 64 * 1024 + 1, 10 * 1024 * 1024] {
        let body = format!("{whole}{}", " ".repeat(size - whole.len()));
        send(&[JSON], body.as_bytes()).problem(413, "payload-too-large");
    }
    nothing_was_created(&key);
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        let body = whole.replace("acme-corp", &format!("acme-{}", kind.len()));
        send(&[("content-type", kind)], body.as_bytes()).expect(201);
    }
    let body = format!("{whole}{}", " ".repeat(64 * 1024 - whole.len()));
    send(&[JSON], body.as_bytes()).expect(201);
}

fn another_method_is_answered_with_those_there_are(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = "org_01HXKM4000000000000000000A";
    for (path, allowed) in [
        ("/cp/orgs", "GET POST"),
        (&format!("/cp/orgs/{id}"), "DELETE GET"),
        (&format!("/cp/orgs/{id}/status"), "GET"),
        (&format!("/cp/orgs/{id}/workspaces"), "GET POST"),
        ("/cp/whoami", "GET"),
        ("/cp/admin/partner-keys", "GET POST"),
        (&key.path(), "DELETE GET PATCH"),
        (&format!("/cp/admin/orgs/{id}/suspend"), "POST"),
        ("/cp/admin/partners", "GET POST"),
    ] {
        for method in ["PUT", "OPTIONS", "TRACE", "BREW"] {
            let response = key.send(method, path, &[], b"");
            response.problem(405, "method-not-allowed");
            let actual: Vec<_> = response.header("allow").split(", ").collect();
            for method in allowed.split(' ') {
                assert!(actual.contains(&method), "{response:#?}");
            }
            assert!(!actual.contains(&method), "{response:#?}");
            response.event();
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let response = server.anon().send("POST", path, &[], b"");
        response.problem(405, "method-not-allowed");
        assert!(response.header("allow").contains("GET"));
    }
}

fn refusals_come_in_the_order_of_the_contract(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let text = [("content-type", "text/plain")];
    let big = "x".repeat(70_000);
    let missing = "/cp/orgs/org_01HXKM4000000000000000000A/workspaces";
    // Authentication before all that follows, and the route before the body.
    server
        .anon()
        .send("BREW", "/cp/nothing", &text, big.as_bytes())
        .problem(401, "missing-credentials");
    key.send("POST", "/cp/nothing", &text, big.as_bytes())
        .problem(404, "not-found");
    key.send("PUT", "/cp/orgs", &text, big.as_bytes())
        .problem(405, "method-not-allowed");
    // The scope before the body.
    key.send("POST", "/cp/orgs", &text, big.as_bytes())
        .problem(403, "insufficient-scope");
    key.send("POST", "/cp/orgs", &[JSON], b"{")
        .problem(403, "insufficient-scope");
    // The body before the resource: its type, its size, its form, its values.
    let builder = server.key(&["workspaces:create"]);
    let send = |headers: &[(&str, &str)], body: &[u8]| builder.send("POST", missing, headers, body);
    send(&text, big.as_bytes()).problem(415, "unsupported-media-type");
    send(&[JSON], big.as_bytes()).problem(413, "payload-too-large");
    send(&[JSON], b"{").problem(400, "invalid-request");
    assert_eq!(send(&[JSON], b"{}").pointers(), ["/name"]);
    send(&[JSON], br#"{"name": "a"}"#).problem(404, "not-found");
}

#[track_caller]
fn is_problem(response: &str, statuses: &[&str]) {
    let status = response.split(' ').nth(1).unwrap_or_default();
    assert!(statuses.contains(&status), "{response}");
    let lower = response.to_ascii_lowercase();
    assert!(
        lower.contains("content-type: application/problem+json"),
        "{response}"
    );
    assert!(lower.contains("x-request-id: "), "{response}");
}

fn requests_of_odd_form_get_problem_documents(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let head = format!(
        "Host: cp\r\nConnection: close\r\nAuthorization: Bearer {}\r\n",
        key.token()
    );
    let raw = |first: &str, rest: &str| server.raw(format!("{first} HTTP/1.1\r\n{head}{rest}"));
    let long = format!("/cp/orgs/{}", "x".repeat(5000));
    let rows: &[(&str, &[&str])] = &[
        ("/cp/orgs/%FF", &["404"]),
        ("/cp/orgs/%00", &["404"]),
        ("/cp/orgs/..%2f..%2fetc", &["404"]),
        ("/cp/orgs/%2e%2e/%2e%2e", &["404"]),
        ("//cp//orgs", &["404"]),
        ("/cp/orgs?status=%FF", &["400"]),
        ("/cp/orgs?status=%zz", &["400"]),
        (&long, &["404"]),
        ("/cp/orgs;a=b", &["404"]),
    ];
    for (path, statuses) in rows {
        is_problem(&raw(&format!("GET {path}"), "\r\n"), statuses);
    }
    // A body in pieces counts by what comes, not by what is said.
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, "x".repeat(40_000));
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    is_problem(&raw("POST /cp/orgs", &chunked), &["413"]);
    let broken = "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    // This one is no HTTP any more; the connection may just end.
    let response = raw("POST /cp/orgs", broken);
    assert!(
        response.is_empty() || response.starts_with("HTTP/1.1 400"),
        "{response}"
    );
    let response = raw("GET /cp/whoami", "\r\n");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(key.all("/cp/orgs"), [Value::Null; 0]);
    // Nothing of the response to one caller is kept for another.
    let response: Response = key.get("/cp/whoami");
    assert_eq!(response.header_if_any("cache-control"), Some("no-store"));
}
