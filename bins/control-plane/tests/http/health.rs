//! What anyone may ask, and the id that every response carries.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Store, tokens};

on_both_engines![
    health_routes_answer_anyone,
    browsers_get_a_page_that_leads_on,
    metrics_count_calls_and_hold_no_ids,
    a_request_id_is_taken_when_it_is_harmless_and_replaced_otherwise,
    addresses_are_believed_of_trusted_proxies_alone,
    the_urls_of_answers_can_be_set,
];

fn health_routes_answer_anyone(store: Store) {
    let server = store.start();
    for path in ["/healthz", "/readyz", "/metrics"] {
        for caller in [server.anon(), server.with_token("nonsense"), server.admin()] {
            let response = caller.get(path);
            assert_eq!(response.status, 200, "{response:#?}");
            assert!(response.header("x-request-id").starts_with("req_"));
            assert_eq!(response.header_if_any("audit-event-id"), None);
        }
    }
}

fn browsers_get_a_page_that_leads_on(store: Store) {
    let server = store.start();
    let anyone = server.anon();
    let accept = |kinds| [("accept", kinds)];
    let browser = accept("text/html,application/xhtml+xml,*/*;q=0.8");
    let page = anyone.send("GET", "/", &browser, b"");
    assert_eq!(page.status, 200, "{page:#?}");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for path in ["/cp/docs", "/cp/guide"] {
        assert!(page.body.contains(&format!("href=\"{path}\"")), "{path}");
        assert_eq!(
            anyone.get(path).header("content-type"),
            "text/html; charset=utf-8"
        );
    }
    for other in ["*/*", "application/json"] {
        let response = anyone.send("GET", "/", &accept(other), b"");
        response.problem(404, "not-found");
    }
    anyone
        .send("POST", "/", &browser, b"")
        .problem(404, "not-found");
}

fn metrics_count_calls_and_hold_no_ids(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    key.get(&format!("/cp/orgs/{}", org["id"].as_str().unwrap()))
        .expect(200);
    key.get("/cp/a-made-up-path").problem(404, "not-found");
    key.send("BREW", "/cp/orgs", &[], b"")
        .problem(405, "method-not-allowed");
    server
        .anon()
        .get("/cp/orgs")
        .problem(401, "missing-credentials");
    let unknown = server.with_token(&tokens::well_formed("mol_pk_"));
    unknown.get("/cp/orgs").problem(401, "invalid-key");
    let text = server.anon().get("/metrics").body;
    let counts = text.lines().any(|line| {
        line.starts_with("http_server_request_duration_seconds_count{")
            && line.contains("http_request_method=\"GET\"")
            && line.contains("http_response_status_code=\"200\"")
            && line.contains("http_route=\"/cp/orgs/{id}\"")
            && line.ends_with("} 2")
    });
    assert!(counts, "{text}");
    for line in [
        "molecule_authentications_total{credential=\"none\",outcome=\"missing\"} 1",
        "molecule_authentications_total{credential=\"partner_key\",outcome=\"unknown\"} 1",
        "molecule_rate_limit_decisions_total{limit=\"address\",outcome=\"allowed\"} 1",
        "molecule_rate_limit_decisions_total{limit=\"key\",outcome=\"limited\"} 0",
        concat!(
            "molecule_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
        "molecule_audit_events_lost_total 0",
    ] {
        assert!(
            text.lines().any(|actual| actual == line),
            "{line} in\n{text}"
        );
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "molecule_data_disk_free_bytes",
        "molecule_audit_commit_duration_seconds_count",
        "molecule_cache_lookups_total{cache=\"credential\",result=\"hit\"}",
        "molecule_cache_lookups_total{cache=\"status\",result=\"miss\"}",
        "molecule_database_connections_max{pool=\"read\"}",
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        let value: f64 = value
            .unwrap_or_else(|| panic!("{name}"))
            .trim()
            .parse()
            .unwrap();
        assert!(value > 0.0, "{name} {value}");
    }
    for id in [
        key.id(),
        key.partner_id(),
        org["id"].as_str().unwrap(),
        key.token(),
        "acme-corp",
        "127.0.0.1",
        "pak_",
        "ptn_",
        "org_0",
        "evt_",
        "adm_",
        "made-up",
        "BREW",
    ] {
        assert!(!text.contains(id), "{id} in\n{text}");
    }
}

fn a_request_id_is_taken_when_it_is_harmless_and_replaced_otherwise(store: Store) {
    let server = store.start();
    let unknown = server.with_token(&tokens::well_formed("mol_pk_"));
    for (caller, path) in [
        (server.admin(), "/cp/whoami"),
        (server.admin(), "/cp/nothing"),
        (server.anon(), "/cp/whoami"),
        (unknown, "/cp/whoami"),
        (server.anon(), "/healthz"),
        (server.anon(), "/nothing"),
    ] {
        let ask = |id: &str| {
            let response = caller.send("GET", path, &[("x-request-id", id)], b"");
            response.header("x-request-id").to_owned()
        };
        for id in ["run-7.a_B", "x", &"x".repeat(128)] {
            assert_eq!(ask(id), id, "{path}");
        }
        for id in ["", "a b", "a/b", "a\"b", "é", &"x".repeat(129)] {
            let actual = ask(id);
            assert!(
                actual.starts_with("req_") && actual.len() == 30,
                "{path} {id:?}: {actual}"
            );
        }
    }
}

fn addresses_are_believed_of_trusted_proxies_alone(store: Store) {
    let forwarded = [("x-forwarded-for", "1.2.3.4, 198.51.100.7")];
    for (proxies, expect) in [("", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.7")] {
        let server = store.start_with(&[("MOLECULE_CP_TRUSTED_PROXIES", proxies)]);
        let key = server.key(&["orgs:list"]);
        key.send("GET", "/cp/whoami", &forwarded, b"").expect(200);
        let events = server.events(&format!("key_id={}", key.id()));
        assert_eq!(events[0]["ip"], expect);
    }
}

fn the_urls_of_answers_can_be_set(store: Store) {
    let server = store.start_with(&[
        ("MOLECULE_CP_PUBLIC_URL", "https://cp.example.test/"),
        ("MOLECULE_CP_LOGIN_URL", "https://login.example.test/in"),
    ]);
    let problem = server.anon().get("/cp/orgs").json();
    assert_eq!(
        problem["type"],
        "https://cp.example.test/problems/missing-credentials"
    );
    let key = server.key(&["orgs:create"]);
    let org = key.post(
        "/cp/orgs",
        json!({"name": "a", "slug": "acme-corp", "plan": "free"}),
    );
    let url = "https://login.example.test/in?org=acme-corp";
    assert_eq!(org.expect(201)["login_url"], Value::from(url));
}
