//! Issuers that change their keys, or do not answer as they should.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::issuer::{Behaviour, Issuer, TestKey};

use super::{AUDIENCE, ON_THIS_MACHINE, exchange, job, refused, rule, token};
use crate::kit::{Store, eventually};

on_both_engines![
    keys_are_fetched_once_and_new_ones_when_a_token_names_them,
    an_issuer_that_is_away_when_a_token_names_a_new_key_is_a_503,
    an_issuer_that_does_not_answer_is_a_503_and_comes_back,
    private_issuers_are_for_tests_alone,
];

fn keys_are_fetched_once_and_new_ones_when_a_token_names_them(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    for _ in 0..5 {
        exchange(&server.anon(), &rule, &token(&issuer, json!({}))).expect(200);
    }
    assert_eq!(issuer.asked(), 1);
    issuer.behave(Behaviour::Keys(vec![TestKey::Rsa2, TestKey::P256Two]));
    let newer = || issuer.token(TestKey::P256Two, AUDIENCE, &job());
    exchange(&server.anon(), &rule, &newer()).expect(200);
    assert_eq!(issuer.asked(), 2);
    // A key that is gone is not trusted any more, and not asked for again at once.
    for _ in 0..5 {
        let response = exchange(&server.anon(), &rule, &token(&issuer, json!({})));
        let why = refused(&response, 400, "invalid_grant");
        assert!(why.contains("no key"), "{why}");
    }
    assert_eq!(issuer.asked(), 2);
    // With fresh keys an issuer may be away.
    issuer.behave(Behaviour::Fails(500));
    exchange(&server.anon(), &rule, &newer()).expect(200);
}

fn an_issuer_that_is_away_when_a_token_names_a_new_key_is_a_503(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    exchange(&server.anon(), &rule, &token(&issuer, json!({}))).expect(200);
    issuer.behave(Behaviour::Fails(500));
    // Also for those who come next and for whom it is not asked again.
    for _ in 0..3 {
        let newer = issuer.token(TestKey::P256Two, AUDIENCE, &job());
        let response = exchange(&server.anon(), &rule, &newer);
        refused(&response, 503, "temporarily_unavailable");
    }
    exchange(&server.anon(), &rule, &token(&issuer, json!({}))).expect(200);
}

fn an_issuer_that_does_not_answer_is_a_503_and_comes_back(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let own = json!({"keys": [TestKey::Rsa1.public()]}).to_string();
    let twice = own.replacen('{', r#"{"keys": [], "#, 1);
    for behaviour in [
        Behaviour::Hangs,
        Behaviour::Endless,
        Behaviour::Redirects("http://127.0.0.1:1/".to_owned()),
        Behaviour::Fails(500),
        Behaviour::Fails(404),
        Behaviour::Document("[]".to_owned()),
        Behaviour::Document(r#"{"keys": []}"#.to_owned()),
        Behaviour::Document(twice),
        Behaviour::Configuration(json!({"issuer": "https://other.example", "jwks_uri": "x"})),
        Behaviour::Configuration(json!({"jwks_uri": "x"})),
    ] {
        let issuer = Issuer::start();
        let rule = rule(&server, &issuer, json!({}));
        issuer.behave(behaviour.clone());
        let began = Instant::now();
        let kept = token(&issuer, json!({}));
        let response = exchange(&server.anon(), &rule, &kept);
        let why = refused(&response, 503, "temporarily_unavailable");
        assert!(why.contains("keys of the issuer"), "{behaviour:?}: {why}");
        assert!(began.elapsed() < Duration::from_secs(12), "{behaviour:?}");
        let retry: u64 = response.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&retry));
        let event = server.events("action=token.exchange").pop().unwrap();
        assert_eq!(event["outcome"], "failed");
        assert_eq!(event["details"]["reason"], "issuer-unavailable");
        // What others ask goes on meanwhile.
        server.admin().get("/cp/whoami").expect(200);
        if matches!(behaviour, Behaviour::Fails(500)) {
            issuer.behave(Behaviour::Keys(vec![TestKey::Rsa1]));
            eventually("the issuer is asked again", || {
                (exchange(&server.anon(), &rule, &kept).status == 200).then_some(())
            });
        }
    }
    let metrics = server.anon().get("/metrics").body;
    let failed = r#"molecule_issuer_fetches_total{outcome="failure"}"#;
    assert!(metrics.contains(failed), "{metrics}");
}

fn private_issuers_are_for_tests_alone(store: Store) {
    let issuer = Issuer::start();
    let made = {
        let server = store.start_with(ON_THIS_MACHINE);
        rule(&server, &issuer, json!({}))
    };
    // The settings may have changed since the rule was made.
    let server = store.start();
    let response = exchange(&server.anon(), &made, &token(&issuer, json!({})));
    let why = refused(&response, 503, "temporarily_unavailable");
    assert!(!why.contains("127.0.0.1"), "{why}");
    assert_eq!(issuer.asked(), 0);
}
