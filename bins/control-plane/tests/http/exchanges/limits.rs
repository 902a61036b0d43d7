//! What anybody may cost who has no credential.

use std::time::Duration;

use serde_json::json;
use testkit::issuer::Issuer;

use super::{ON_THIS_MACHINE, exchange, refused, rule, token};
use crate::kit::{Store, within};

on_both_engines![
    failed_exchanges_are_limited_by_address_and_hurt_nobody_else,
    exchanges_are_limited_by_rule,
    nobody_fills_the_log_with_refused_exchanges,
];

const PROXIED: (&str, &str) = ("MOLECULE_CP_TRUSTED_PROXIES", "127.0.0.1");

fn failed_exchanges_are_limited_by_address_and_hurt_nobody_else(store: Store) {
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.extend([PROXIED, ("MOLECULE_CP_AUTH_FAILURE_LIMIT", "5/60")]);
    let server = store.start_with(&settings);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let from = |address: &str, token: &str| {
        let form = super::form(&[
            ("grant_type", super::GRANT),
            ("subject_token", token),
            ("subject_token_type", super::JWT),
            ("trust_rule", rule["id"].as_str().unwrap()),
        ]);
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-forwarded-for", address),
        ];
        let anon = server.anon();
        anon.send("POST", "/cp/token", &headers, form.as_bytes())
    };
    for _ in 0..5 {
        refused(&from("192.0.2.1", "x.y.z"), 400, "invalid_grant");
    }
    let good = token(&issuer, json!({}));
    for _ in 0..3 {
        let response = from("192.0.2.1", &good);
        refused(&response, 429, "temporarily_unavailable");
        let retry: u64 = response.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&retry));
    }
    for _ in 0..20 {
        from("192.0.2.2", &token(&issuer, json!({}))).expect(200);
    }
    from("192.0.2.2", &good).expect(200);
    let key = server.key(&["orgs:list"]);
    let headers = [("x-forwarded-for", "192.0.2.1")];
    key.send("GET", "/cp/whoami", &headers, b"").expect(200);
}

fn exchanges_are_limited_by_rule(store: Store) {
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.push(("MOLECULE_CP_TOKEN_EXCHANGE_LIMIT", "3/3600"));
    let server = store.start_with(&settings);
    let issuer = Issuer::start();
    let (one, other) = (
        rule(&server, &issuer, json!({})),
        rule(&server, &issuer, json!({})),
    );
    let anon = server.anon();
    for _ in 0..3 {
        exchange(&anon, &one, &token(&issuer, json!({}))).expect(200);
    }
    let response = exchange(&anon, &one, &token(&issuer, json!({})));
    let why = refused(&response, 429, "temporarily_unavailable");
    assert!(why.contains("rule"), "{why}");
    response.header("retry-after");
    let named = response.event().to_owned();
    // Who has no good token can't use the rule up.
    for _ in 0..10 {
        refused(&exchange(&anon, &other, "x.y.z"), 400, "invalid_grant");
    }
    exchange(&anon, &other, &token(&issuer, json!({}))).expect(200);
    within(Duration::from_secs(5), "the refusal is recorded", || {
        let events = server.events("action=token.exchange&outcome=denied");
        let mut events = events.iter();
        events
            .find(|event| event["id"] == named.as_str())
            .map(|event| {
                assert_eq!(event["status_code"], 429);
                assert_eq!(event["details"]["reason"], "rate-limited");
            })
    });
}

fn nobody_fills_the_log_with_refused_exchanges(store: Store) {
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.push(("MOLECULE_CP_AUTH_FAILURE_LIMIT", "10000/60"));
    let server = store.start_with(&settings);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let anon = server.anon();
    for _ in 0..300 {
        let response = exchange(&anon, &rule, "x.y.z");
        refused(&response, 400, "invalid_grant");
        response.event();
    }
    within(
        Duration::from_secs(5),
        "the folded ones are recorded",
        || {
            let events = server.events("action=token.exchange");
            let count = |event: &serde_json::Value| event["details"]["count"].as_u64().unwrap_or(1);
            let all: u64 = events.iter().map(count).sum();
            assert!(events.len() <= 75, "{}", events.len());
            (all == 300).then_some(())
        },
    );
}
