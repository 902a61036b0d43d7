//! Requests at the bounds of what is taken, and far beyond: each has its documented answer, soon.

use std::time::{Duration, Instant};

use crate::kit::{ALL_SCOPES, Caller, Server, Store};

on_both_engines![
    long_queries_and_paths_are_refused_in_order,
    odd_paths_are_nowhere,
    odd_methods_are_refused,
    errors_are_listed_up_to_a_bound,
    a_query_that_is_not_utf8_is_refused,
    an_escaped_path_is_nowhere,
];

/// The status of a raw response; what parses as HTTP gets a problem document with an id.
#[track_caller]
fn status(response: &str) -> u16 {
    let status = response.split(' ').nth(1).unwrap_or_default();
    let status = status.parse().unwrap_or_else(|_| panic!("{response:?}"));
    if status >= 400 {
        let lower = response.to_ascii_lowercase();
        for header in ["content-type: application/problem+json", "x-request-id: "] {
            assert!(lower.contains(header), "{header} in {response}");
        }
    }
    status
}

fn raw(server: &Server, key: &Caller, first: &str, rest: &str) -> String {
    let token = key.token();
    server.raw(format!(
        "{first}\r\nHost: cp\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{rest}\r\n"
    ))
}

fn long_queries_and_paths_are_refused_in_order(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let (x, many) = ("x".repeat(9000), "limit=5&".repeat(100));
    let other: String = (0..100).map(|n| format!("p{n}=1&")).collect();
    for query in [
        format!("slug={x}"),
        format!("cursor={x}"),
        format!("{x}=1"),
        many.clone(),
        other,
        "label=a".to_owned(),
        format!("label=a:{}", "x".repeat(256)),
    ] {
        let response = key.get(&format!("/cp/orgs?{query}"));
        assert!(
            [400, 200].contains(&response.status),
            "{} {query:.40}: {}",
            response.status,
            response.body
        );
        if query.starts_with("slug=") || query.starts_with("label=a:") {
            // A value that no org can have may be refused or find nothing.
            continue;
        }
        let code = response.json()["code"].clone();
        assert!(
            code == "invalid-request" || code == "invalid-cursor",
            "{query:.40}: {response:#?}"
        );
        response.event();
    }
    let segment = "y".repeat(300);
    for path in [
        format!("/cp/orgs/{segment}"),
        format!("/cp/orgs/{segment}/status"),
        format!("/cp/{segment}"),
        format!("/cp/admin/partner-keys/{segment}"),
        format!("/cp{}", "/a".repeat(500)),
    ] {
        let response = key.get(&path);
        response.problem(404, "not-found");
        response.event();
    }
    for header in [
        "user-agent",
        "x-request-id",
        "x-forwarded-for",
        "x-anything",
    ] {
        let response = key.send("GET", "/cp/whoami", &[(header, &*x)], b"");
        response.expect(200);
        let id = response.header("x-request-id");
        assert!(id.starts_with("req_"), "{id}");
        let shown = server.events(&format!("key_id={}", key.id()));
        let event = shown.last().unwrap();
        let agent = event["user_agent"].as_str().unwrap_or_default();
        assert!(agent.len() <= 1000, "{}", agent.len());
    }
    // So much that no server takes it; whatever is said, it is no fault of the server's.
    let huge = format!("X-Huge: {}\r\n", "x".repeat(300_000));
    let response = raw(&server, &key, "GET /cp/whoami HTTP/1.1", &huge);
    assert!(
        response.is_empty() || response.starts_with("HTTP/1.1 4"),
        "{response}"
    );
    let token = "x".repeat(9000);
    server
        .with_token(&token)
        .get("/cp/whoami")
        .problem(401, "invalid-key");
    key.get("/cp/whoami").expect(200);
}

fn odd_paths_are_nowhere(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    for path in [
        "/cp/orgs/%00".to_owned(),
        format!("/cp/orgs/{id}%00"),
        "/cp/orgs/%2e%2e".to_owned(),
        "/cp/orgs/%2e%2e%2fwhoami".to_owned(),
        "/cp/orgs/../whoami".to_owned(),
        "/cp//orgs".to_owned(),
        "/cp/orgs/".to_owned(),
        format!("/cp/orgs/{id}/"),
        format!("/cp/orgs//{id}"),
        format!("/cp/orgs/{id}/Status"),
        format!("/cp/orgs/{}", id.to_lowercase()),
        format!("/cp/orgs/{id}%20"),
        format!("/cp/orgs/{id}%0d%0aX-A:%20b"),
        "/cp/orgs%3Flimit=5".to_owned(),
        "/cp/".to_owned(),
        "/cp".to_owned(),
    ] {
        let response = raw(&server, &key, &format!("GET {path} HTTP/1.1"), "");
        assert_eq!(status(&response), 404, "{path}: {response}");
        assert!(
            response.contains("audit-event-id: evt_"),
            "{path}: {response}"
        );
        assert!(!response.contains("\r\nX-A"), "{path}: {response}");
    }
    // Outside of /cp nobody is asked who they are.
    for path in ["/CP/orgs", "//cp/orgs", "/./cp/orgs", "/%00", "/"] {
        let response = raw(&server, &key, &format!("GET {path} HTTP/1.1"), "");
        assert_eq!(status(&response), 404, "{path}: {response}");
    }
    let response = raw(&server, &key, "GET /cp/whoami HTTP/1.0", "");
    assert!(response.starts_with("HTTP/1.") && status(&response) == 200);
    assert!(!response.to_ascii_lowercase().contains("transfer-encoding"));
    let bare = format!(
        "GET /cp/orgs/{id} HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n",
        key.token()
    );
    let response = server.raw(bare);
    assert_eq!(status(&response), 200, "{response}");
}

fn errors_are_listed_up_to_a_bound(store: Store) {
    let server = store.start();
    let (admin, key) = (server.admin(), server.key(ALL_SCOPES));
    let controls = "\\u0001".repeat(40);
    let unknown: Vec<String> = (0..5000).map(|n| format!("\"{n}\": 1")).collect();
    let unreadable: Vec<String> = (0..200).map(|n| format!("\"{controls}{n}\": 1")).collect();
    let items = vec!["0"; 20_000].join(",");
    for (caller, path, body) in [
        (&key, "/cp/orgs", format!("{{{}}}", unknown.join(","))),
        (&key, "/cp/orgs", format!("{{{}}}", unreadable.join(","))),
        (
            &key,
            "/cp/orgs",
            format!("{{\"labels\": {{{}}}}}", unknown.join(",")),
        ),
        (
            &admin,
            "/cp/admin/partner-keys",
            format!("{{\"scopes\": [{items}]}}"),
        ),
    ] {
        assert!(body.len() <= 64 * 1024, "{}", body.len());
        let headers = [("content-type", "application/json")];
        let response = caller.send("POST", path, &headers, body.as_bytes());
        let errors = response.problem(422, "validation-failed")["errors"].clone();
        let errors = errors.as_array().unwrap().len();
        assert!((1..=50).contains(&errors), "{errors}");
        assert!(response.body.len() <= 64 * 1024, "{}", response.body.len());
    }
}

fn a_query_that_is_not_utf8_is_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for query in [
        "slug=%ff",
        "label=a:%C3",
        "label=a:%00",
        "%ff=1",
        "external_id=%ED%A0%80",
    ] {
        let path = format!("/cp/orgs?{query}");
        for response in [key.get(&path), key.delete(&path)] {
            response.problem(400, "invalid-request");
            response.event();
        }
    }
    key.get("/cp/orgs?external_id=%C3%A9").expect(200);
}

fn an_escaped_path_is_nowhere(store: Store) {
    let server = store.start();
    let (admin, key) = (server.admin(), server.key(ALL_SCOPES));
    for path in [
        "/cp/%61dmin/partner-keys",
        "/cp/admin%2Fpartner-keys",
        "/cp/admin/partner%2dkeys",
        "/cp/wh%6fami",
    ] {
        for caller in [&admin, &key] {
            let response = raw(&server, caller, &format!("GET {path} HTTP/1.1"), "");
            assert_eq!(status(&response), 404, "{path}: {response}");
            assert!(
                response.contains("audit-event-id: evt_"),
                "{path}: {response}"
            );
        }
    }
    for path in [
        "/%63p/whoami",
        "/health%7a",
        "/%72eadyz",
        "/problems/not%2dfound",
    ] {
        let response = raw(&server, &key, &format!("GET {path} HTTP/1.1"), "");
        assert_eq!(status(&response), 404, "{path}: {response}");
    }
    let org = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    let escaped = org.replace("org_", "org%5F");
    for path in [
        format!("/cp/orgs/{escaped}"),
        format!("/cp/admin/orgs/{escaped}"),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let response = raw(&server, &key, &format!("{method} {path} HTTP/1.1"), "");
            assert_eq!(status(&response), 404, "{method} {path}: {response}");
        }
    }
}

fn odd_methods_are_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for method in ["BREW", "TRACE", "OPTIONS", "CONNECTED", "get", "PROPFIND"] {
        let response = raw(&server, &key, &format!("{method} /cp/orgs HTTP/1.1"), "");
        assert_eq!(status(&response), 405, "{method}: {response}");
        assert!(
            response.contains("allow: ") && response.contains("audit-event-id: evt_"),
            "{method}: {response}"
        );
        let anon = format!("{method} /cp/orgs HTTP/1.1\r\nHost: cp\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&server.raw(anon)), 401, "{method}");
    }
    let long = "M".repeat(300);
    let response = raw(&server, &key, &format!("{long} /cp/orgs HTTP/1.1"), "");
    assert!(
        response.is_empty() || response.starts_with("HTTP/1.1 4"),
        "{response}"
    );
    key.get("/cp/whoami").expect(200);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Store::sqlite();
    let server = server.start();
    let key = server.key(ALL_SCOPES);
    let began = Instant::now();
    let rest = "Content-Length: 100\r\n";
    let response = raw(&server, &key, "POST /cp/orgs HTTP/1.1", rest);
    assert!(began.elapsed() < Duration::from_secs(20), "{response}");
    assert_eq!(status(&response), 400, "{response}");
    assert!(response.contains("invalid-request"), "{response}");
    assert!(response.contains("audit-event-id: evt_"), "{response}");
}
