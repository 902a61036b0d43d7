//! What a call costs that is refused, and what becomes of a debt when a limit is changed.

use serde_json::{Value, json};

use crate::kit::{Caller, Response, Server, Store};

on_both_engines![
    a_call_that_the_partners_budget_refuses_costs_the_key_nothing,
    a_call_that_the_key_refuses_costs_the_partner_nothing,
    where_both_refuse_both_are_named_and_the_longer_wait_counts,
    a_narrowed_limit_of_a_key_gives_no_new_burst,
    a_narrowed_budget_of_a_partner_gives_no_new_burst,
    a_widened_limit_gives_the_difference,
];

fn per_hour(limit: u32) -> Value {
    json!({"limit": limit, "window_seconds": 3600})
}

/// A key with a limit of its own, of a partner with a budget.
fn key(server: &Server, own: u32, shared: u32) -> Caller {
    let partner = server.partner(json!({"rate_limit": per_hour(shared)}));
    key_of(server, &partner, own)
}

fn key_of(server: &Server, partner: &str, own: u32) -> Caller {
    server.issue(json!({
        "partner_id": partner, "scopes": ["orgs:list"], "rate_limit": per_hour(own),
    }))
}

/// How many calls the key and its partner have left, as a response tells.
#[track_caller]
fn left(response: &Response) -> Vec<u64> {
    let limits = response.header("ratelimit").split(", ");
    limits
        .map(|limit| {
            let (_, rest) = limit.split_once(";r=").unwrap();
            rest.split(';').next().unwrap().parse().unwrap()
        })
        .collect()
}

#[track_caller]
fn is_refused_by(response: &Response, policies: &[&str]) {
    let problem = response.problem(429, "rate-limited");
    assert_eq!(
        problem["violated-policies"],
        json!(policies),
        "{response:#?}"
    );
}

/// How many of so many calls are allowed.
fn allowed(key: &Caller, calls: usize) -> usize {
    let statuses = (0..calls).map(|_| key.get("/cp/whoami").status);
    statuses.filter(|status| *status == 200).count()
}

fn a_call_that_the_partners_budget_refuses_costs_the_key_nothing(store: Store) {
    let server = store.start();
    let key = key(&server, 50, 3);
    assert_eq!(allowed(&key, 3), 3);
    for _ in 0..60 {
        let response = key.get("/cp/whoami");
        is_refused_by(&response, &["partner"]);
        assert_eq!(left(&response), [47, 0]);
        let wait: u64 = response.header("retry-after").parse().unwrap();
        assert!((1100..=1200).contains(&wait), "{wait}");
    }
    // Without the budget the key goes on with what it had.
    let path = format!("/cp/admin/partners/{}", key.partner_id());
    let admin = server.admin();
    admin.patch(&path, json!({"rate_limit": null})).expect(200);
    let response = key.get("/cp/whoami");
    response.expect(200);
    assert_eq!(left(&response), [46]);
}

fn a_call_that_the_key_refuses_costs_the_partner_nothing(store: Store) {
    let server = store.start();
    let key = key(&server, 2, 50);
    assert_eq!(allowed(&key, 2), 2);
    for _ in 0..60 {
        let response = key.get("/cp/whoami");
        is_refused_by(&response, &["key"]);
        assert_eq!(left(&response), [0, 48]);
    }
    let other = key_of(&server, key.partner_id(), 50);
    assert_eq!(left(&other.get("/cp/whoami")), [49, 47]);
}

fn where_both_refuse_both_are_named_and_the_longer_wait_counts(store: Store) {
    let server = store.start();
    let key = key(&server, 2, 2);
    assert_eq!(allowed(&key, 2), 2);
    let path = key.path();
    let limit = json!({"rate_limit": {"limit": 2, "window_seconds": 86_400}});
    server.admin().patch(&path, limit).expect(200);
    let response = key.get("/cp/whoami");
    is_refused_by(&response, &["key", "partner"]);
    let wait: u64 = response.header("retry-after").parse().unwrap();
    assert!((43_000..=43_200).contains(&wait), "{wait}");
    assert_eq!(
        response.header("ratelimit-policy"),
        "\"key\";q=2;w=86400, \"partner\";q=2;w=3600"
    );
}

fn a_narrowed_limit_of_a_key_gives_no_new_burst(store: Store) {
    let server = store.start();
    let key = key(&server, 20, 1000);
    assert_eq!(allowed(&key, 25), 20);
    let admin = server.admin();
    for limit in [19, 7, 1] {
        let change = json!({"rate_limit": per_hour(limit)});
        admin.patch(&key.path(), change).expect(200);
        is_refused_by(&key.get("/cp/whoami"), &["key"]);
    }
    let window = json!({"rate_limit": {"limit": 20, "window_seconds": 86_400}});
    let key = key_of(&server, key.partner_id(), 20);
    assert_eq!(allowed(&key, 25), 20);
    admin.patch(&key.path(), window).expect(200);
    is_refused_by(&key.get("/cp/whoami"), &["key"]);
}

fn a_narrowed_budget_of_a_partner_gives_no_new_burst(store: Store) {
    let server = store.start();
    let key = key(&server, 1000, 20);
    assert_eq!(allowed(&key, 25), 20);
    let path = format!("/cp/admin/partners/{}", key.partner_id());
    for limit in [19, 7] {
        let change = json!({"rate_limit": per_hour(limit)});
        server.admin().patch(&path, change).expect(200);
        is_refused_by(&key.get("/cp/whoami"), &["partner"]);
        let other = key_of(&server, key.partner_id(), 1000);
        is_refused_by(&other.get("/cp/whoami"), &["partner"]);
    }
}

fn a_widened_limit_gives_the_difference(store: Store) {
    let server = store.start();
    let key = key(&server, 4, 1000);
    assert_eq!(allowed(&key, 6), 4);
    let change = json!({"rate_limit": per_hour(9)});
    server.admin().patch(&key.path(), change).expect(200);
    assert_eq!(allowed(&key, 9), 5);
}
