//! Keys that are held to networks, and which address it is that counts.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Response, Server, Store, tokens};

on_both_engines![
    a_key_is_held_to_its_networks,
    a_narrowing_holds_at_once,
    networks_are_checked_one_by_one,
    a_forged_header_does_not_help,
    behind_a_trusted_proxy_the_last_untrusted_hop_counts,
    a_hop_that_can_not_be_read_is_an_unknown_client,
    an_unknown_client_is_limited_by_its_peer,
];

#[test]
fn a_key_is_held_to_its_networks_on_ipv6_too() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let store = Store::sqlite();
    let server = store.start_with(&[("MOLECULE_CP_LISTEN", "[::1]:0")]);
    assert!(server.address().starts_with("[::1]:"));
    for (networks, allowed) in [
        (json!(["::1/128"]), true),
        (json!(["2001:db8::/32", "::/0"]), true),
        (json!(["2001:db8::/32"]), false),
        (json!(["127.0.0.0/8", "0.0.0.0/0"]), false),
    ] {
        let key = held(&server, networks);
        check(&server, &key.get("/cp/orgs"), allowed, "::1");
    }
}

fn held(server: &Server, networks: Value) -> Caller {
    server.issue(json!({"scopes": ALL_SCOPES, "allowed_cidrs": networks}))
}

/// Sees that a response is as it must be, and that its event has the address.
#[track_caller]
fn check(server: &Server, response: &Response, allowed: bool, address: impl Into<Value>) {
    if allowed {
        response.expect(200);
    } else {
        response.problem(403, "ip-not-allowed");
        assert_eq!(response.header_if_any("www-authenticate"), None);
        response.header("ratelimit");
    }
    let events = server
        .admin()
        .get("/cp/admin/audit-events?limit=100")
        .expect(200);
    let events = events["data"].as_array().unwrap();
    let event = events.iter().find(|event| event["id"] == response.event());
    let event = event.unwrap();
    assert_eq!(event["ip"], address.into(), "{event:#}");
    let outcome = if allowed { "success" } else { "denied" };
    assert_eq!(event["outcome"], outcome, "{event:#}");
}

fn a_key_is_held_to_its_networks(store: Store) {
    let server = store.start();
    for (networks, allowed) in [
        (json!(["127.0.0.1"]), true),
        (json!(["127.0.0.1/32"]), true),
        (json!(["10.0.0.0/8", "127.0.0.0/8"]), true),
        (json!(["0.0.0.0/0"]), true),
        (json!(["::ffff:127.0.0.0/104"]), true),
        (json!(["127.0.0.2/32"]), false),
        (json!(["10.0.0.0/8", "2001:db8::/32"]), false),
        (json!(["::1/128", "::/0"]), false),
    ] {
        let key = held(&server, networks);
        for path in ["/cp/orgs", "/cp/whoami", "/cp/admin/partner-keys"] {
            check(&server, &key.get(path), allowed, "127.0.0.1");
        }
    }
    let key = held(&server, json!(["10.0.0.0/8"]));
    // The route before the address, the address before all that follows.
    key.get("/cp/nothing").problem(404, "not-found");
    key.call("PUT", "/cp/orgs", Value::Null)
        .problem(405, "method-not-allowed");
    key.post("/cp/orgs", json!({}))
        .problem(403, "ip-not-allowed");
    key.get("/cp/admin/partners").problem(403, "ip-not-allowed");
    key.delete(&key.path()).problem(403, "ip-not-allowed");
    assert_eq!(key.resource()["allowed_cidrs"], json!(["10.0.0.0/8"]));
}

fn a_narrowing_holds_at_once(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let change = |networks: Value| {
        let changed = server
            .admin()
            .patch(&key.path(), json!({"allowed_cidrs": networks}))
            .expect(200);
        assert_eq!(changed["allowed_cidrs"], networks);
    };
    for _ in 0..3 {
        key.get("/cp/orgs").expect(200);
        change(json!(["10.0.0.0/8"]));
        key.get("/cp/orgs").problem(403, "ip-not-allowed");
        change(json!(["127.0.0.0/8"]));
        key.get("/cp/orgs").expect(200);
        change(json!(["2001:db8::/32"]));
        key.get("/cp/orgs").problem(403, "ip-not-allowed");
        change(Value::Null);
    }
    key.get("/cp/orgs").expect(200);
}

fn networks_are_checked_one_by_one(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let admin = server.admin();
    let many = |count: usize| -> Value { (0..count).map(|n| format!("10.0.{n}.0/24")).collect() };
    for (networks, pointer) in [
        (json!([]), "/allowed_cidrs"),
        (json!("10.0.0.0/8"), "/allowed_cidrs"),
        (json!({}), "/allowed_cidrs"),
        (json!([7]), "/allowed_cidrs/0"),
        (json!(["10.0.0.0/8", null]), "/allowed_cidrs/1"),
        (json!(["10.0.0.0/33"]), "/allowed_cidrs/0"),
        (json!(["10.0.0.0/8", "nonsense"]), "/allowed_cidrs/1"),
        (json!(["2001:db8::/129"]), "/allowed_cidrs/0"),
        (json!(["10.0.0/8"]), "/allowed_cidrs/0"),
        (json!(["10.0.0.0/"]), "/allowed_cidrs/0"),
        (json!([" 10.0.0.0/8"]), "/allowed_cidrs/0"),
        (json!(["010.0.0.0/8"]), "/allowed_cidrs/0"),
        (json!(["10.0.0.0/8", "10.0.0.0/08"]), "/allowed_cidrs/1"),
        (json!(["::ffff:010.0.0.0/104"]), "/allowed_cidrs/0"),
        (json!([""]), "/allowed_cidrs/0"),
        (json!(["localhost"]), "/allowed_cidrs/0"),
    ] {
        let request = json!({"name": "a", "scopes": ["orgs:list"], "allowed_cidrs": networks});
        let created = admin.post("/cp/admin/partner-keys", request);
        assert_eq!(created.pointers(), [pointer], "{networks}");
        let changed = admin.patch(&key.path(), json!({"allowed_cidrs": networks}));
        assert_eq!(changed.pointers(), [pointer], "{networks}");
    }
    assert_eq!(admin.all("/cp/admin/partner-keys").len(), 1);
    assert_eq!(
        admin.get(&key.path()).expect(200)["allowed_cidrs"],
        Value::Null
    );
    held(&server, many(20));
}

fn forwarded(key: &Caller, lines: &[&str]) -> Response {
    let headers: Vec<_> = lines
        .iter()
        .map(|line| ("x-forwarded-for", *line))
        .collect();
    key.send("GET", "/cp/orgs", &headers, b"")
}

fn a_forged_header_does_not_help(store: Store) {
    // The peer, 127.0.0.1, is none of the proxies.
    let trusted = ("MOLECULE_CP_TRUSTED_PROXIES", "10.0.0.0/8");
    for settings in [&[][..], &[trusted]] {
        let server = store.start_with(settings);
        let key = held(&server, json!(["198.51.100.0/24"]));
        let near = held(&server, json!(["127.0.0.1"]));
        for line in ["198.51.100.7", "198.51.100.7, 10.0.0.1", "127.0.0.1"] {
            check(&server, &forwarded(&key, &[line]), false, "127.0.0.1");
            check(&server, &forwarded(&near, &[line]), true, "127.0.0.1");
        }
        for name in [
            "forwarded",
            "x-real-ip",
            "cf-connecting-ip",
            "true-client-ip",
        ] {
            let value = if name == "forwarded" {
                "for=198.51.100.7"
            } else {
                "198.51.100.7"
            };
            let response = key.send("GET", "/cp/orgs", &[(name, value)], b"");
            check(&server, &response, false, "127.0.0.1");
        }
    }
}

fn behind_a_trusted_proxy_the_last_untrusted_hop_counts(store: Store) {
    let trusted = "::ffff:127.0.0.1/128,10.0.0.0/8,fd00::/8";
    let server = store.start_with(&[("MOLECULE_CP_TRUSTED_PROXIES", trusted)]);
    let key = held(&server, json!(["198.51.100.0/24", "2001:db8::/32"]));
    for (lines, allowed, address) in [
        (&["198.51.100.7"][..], true, "198.51.100.7"),
        (&["2001:db8::7"], true, "2001:db8::7"),
        (&["2001:DB8:0:0::7"], true, "2001:db8::7"),
        (&["::ffff:198.51.100.7"], true, "198.51.100.7"),
        (&["2001:db9::7"], false, "2001:db9::7"),
        (&["203.0.113.5"], false, "203.0.113.5"),
        // The client wrote the first one itself.
        (&["198.51.100.7, 203.0.113.5"], false, "203.0.113.5"),
        (&["203.0.113.5, 198.51.100.7"], true, "198.51.100.7"),
        (
            &["198.51.100.7, 203.0.113.5, 10.0.0.2"],
            false,
            "203.0.113.5",
        ),
        (&["198.51.100.7,10.0.0.2,fd00::3"], true, "198.51.100.7"),
        (&["198.51.100.7", "203.0.113.5"], false, "203.0.113.5"),
        (
            &["203.0.113.5", "198.51.100.7", "10.0.0.2"],
            true,
            "198.51.100.7",
        ),
        (&[], false, "127.0.0.1"),
        (&["198.51.100.7:4711"], true, "198.51.100.7"),
        (&["[2001:db8::7]"], true, "2001:db8::7"),
        (&["[2001:db8::7]:4711"], true, "2001:db8::7"),
        (&["198.51.100.7, "], true, "198.51.100.7"),
        (&[",198.51.100.7,,", ",", "10.0.0.2"], true, "198.51.100.7"),
        (&["10.0.0.2, fd00::3"], false, "10.0.0.2"),
    ] {
        check(&server, &forwarded(&key, lines), allowed, address);
    }
}

/// A call with these lines of `X-Forwarded-For`, whatever their bytes.
fn forwarded_bytes(server: &Server, token: &str, lines: &[&[u8]]) -> String {
    let mut request = format!(
        "GET /cp/orgs HTTP/1.1\r\nHost: cp\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
    )
    .into_bytes();
    for line in lines {
        request.extend_from_slice(b"X-Forwarded-For: ");
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    server.raw(request)
}

fn a_hop_that_can_not_be_read_is_an_unknown_client(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")]);
    let everywhere = held(&server, json!(["0.0.0.0/0", "::/0", "127.0.0.1"]));
    let free = server.key(ALL_SCOPES);
    let lines: [&[&[u8]]; 7] = [
        &[b"nonsense"],
        &[b"198.51.100.7, nonsense"],
        &[b"198.51.100.7\xff"],
        &[b"198.51.100.7, \xe9, 10.0.0.2"],
        &[b"198.51.100.7", b"\x80"],
        &[b"\xff", b"10.0.0.2"],
        &[b"198.51.100.007"],
    ];
    for lines in lines {
        let response = forwarded_bytes(&server, everywhere.token(), lines);
        assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
        assert!(
            response.contains("\"code\":\"ip-not-allowed\""),
            "{response}"
        );
        let response = forwarded_bytes(&server, free.token(), lines);
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
    for (key, status) in [(&everywhere, 403), (&free, 200)] {
        let events = server.events(&format!("key_id={}", key.id()));
        assert_eq!(events.len(), lines.len());
        for event in events {
            assert_eq!(event["ip"], Value::Null, "{event:#}");
            assert_eq!(event["status_code"], status, "{event:#}");
            assert_eq!(event["route"], "/cp/orgs", "{event:#}");
        }
    }
    // What is left of the client was written by the client itself.
    let response = forwarded_bytes(&server, everywhere.token(), &[b"\xff, 198.51.100.7"]);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}

fn an_unknown_client_is_limited_by_its_peer(store: Store) {
    let server = store.start_with(&[
        ("MOLECULE_CP_TRUSTED_PROXIES", "127.0.0.0/8"),
        ("MOLECULE_CP_AUTH_FAILURE_LIMIT", "2/3600"),
    ]);
    let guess = |lines: &[&[u8]]| {
        let response = forwarded_bytes(&server, &tokens::well_formed("mol_pk_"), lines);
        response.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(guess(&[b"\xff1"]), "401");
    assert_eq!(guess(&[b"nonsense"]), "401");
    assert_eq!(guess(&[b"\xff2"]), "429");
    assert_eq!(guess(&[b"198.51.100.7"]), "401");
}

#[test]
fn trusted_proxies_with_leading_zeros_are_refused_at_the_start() {
    let output = Store::sqlite().run(
        &["serve"],
        &[("MOLECULE_CP_TRUSTED_PROXIES", "010.0.0.0/8")],
    );
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("trusted_proxies") && text.contains("leading zeros"),
        "{text}"
    );
}
