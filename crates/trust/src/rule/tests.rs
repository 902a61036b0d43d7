use ids::{TypedId as _, Ulid};
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::{Denial, IssuerPolicy, Jwt, jwt::tests::unsigned};

const NOW: OffsetDateTime = datetime!(2026-04-23 08:00:00 UTC);
const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn members(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn draft(issuer: &str, claims: Value, refuse: Value) -> Result<TrustRule, InvalidRule> {
    TrustRuleDraft {
        name: Name::new("ci").unwrap(),
        partner_id: PartnerId::from_ulid(Ulid::from(1)),
        issuer: Issuer::new(issuer, IssuerPolicy::Https).unwrap(),
        audience: "https://cp.example".to_owned(),
        claims: Claims::read(&members(&claims)).unwrap(),
        refuse: Refusals::read(&members(&refuse)).unwrap(),
        scopes: ScopeSet::EMPTY,
        org_plans: None,
        max_live_orgs: None,
        max_ttl_seconds: None,
        rate_limit: None,
        token_ttl: TokenTtl::default(),
        enabled: true,
    }
    .into_rule(TrustRuleId::from_ulid(Ulid::from(2)), NOW)
}

fn refused(rule: Result<TrustRule, InvalidRule>) -> Value {
    Value::Object(rule.unwrap().refuse.to_json())
}

#[test]
fn a_rule_for_a_known_provider_pins_an_id() {
    let pinned = |issuer, claims| draft(issuer, claims, json!({})).is_ok();
    assert!(!pinned(GITHUB, json!({"repository": "acme/app"})));
    assert!(!pinned(
        GITHUB,
        json!({"repository_owner": "acme", "sub": "repo:acme/app"})
    ));
    assert!(pinned(GITHUB, json!({"repository_id": "1"})));
    assert!(pinned(
        GITHUB,
        json!({"repository_owner_id": 1, "ref": "refs/heads/main"})
    ));
    assert!(!pinned(
        "https://gitlab.com",
        json!({"project_path": "acme/app"})
    ));
    assert!(pinned("https://gitlab.com", json!({"project_id": "1"})));
    assert!(pinned("https://gitlab.com", json!({"namespace_id": "1"})));
    assert!(pinned("https://ci.example", json!({"sub": "acme"})));
}

#[test]
fn events_that_run_what_strangers_send_are_refused_unless_told_otherwise() {
    let id = || json!({"repository_id": "1"});
    let default = json!({"event_name": ["pull_request_target", "workflow_run"]});
    assert_eq!(refused(draft(GITHUB, id(), json!({}))), default);
    let own = json!({"event_name": ["push"], "ref_type": ["tag"]});
    assert_eq!(refused(draft(GITHUB, id(), own.clone())), own);
    let none = json!({"event_name": []});
    assert_eq!(refused(draft(GITHUB, id(), none.clone())), none);
    let asked = json!({"repository_id": "1", "event_name": "workflow_run"});
    let left = json!({"event_name": ["pull_request_target"]});
    assert_eq!(refused(draft(GITHUB, asked, json!({}))), left);
    assert_eq!(
        refused(draft("https://ci.example", id(), json!({}))),
        json!({})
    );
}

#[test]
fn a_change_is_a_merge_patch_and_is_checked_as_a_whole() {
    let patch = |value: Value| ClaimPatch::read(&members(&value), true).unwrap();
    let rule = draft(GITHUB, json!({"repository_id": "1", "ref": "a"}), json!({})).unwrap();
    let change = |claims: Value| TrustRuleChanges {
        claims: Some(patch(claims)),
        ..TrustRuleChanges::default()
    };
    let changed = rule
        .clone()
        .changed(change(json!({"ref": null, "sha": "b"})));
    let claims = Value::Object(changed.unwrap().claims.to_json());
    assert_eq!(claims, json!({"repository_id": "1", "sha": "b"}));
    let unpinned = rule.clone().changed(change(json!({"repository_id": null})));
    assert!(matches!(unpinned, Err(InvalidRule::NothingPinned(_))));
    let emptied = rule
        .clone()
        .changed(change(json!({"repository_id": null, "ref": null})));
    assert!(matches!(emptied, Err(InvalidRule::Claims(_))));
    let told = TrustRuleChanges {
        refuse: Change::Set(patch(json!({"event_name": []}))),
        ..TrustRuleChanges::default()
    };
    let told = rule.changed(told).unwrap();
    assert_eq!(
        Value::Object(told.refuse.to_json()),
        json!({"event_name": []})
    );
    let back = told.changed(TrustRuleChanges {
        refuse: Change::Clear,
        enabled: Change::Set(false),
        ..TrustRuleChanges::default()
    });
    let back = back.unwrap();
    assert!(!back.enabled && back.refuse.to_json().len() == 1);
}

#[track_caller]
fn check(claims: &Value, expect: Result<(), Denial>) {
    let rule = draft(
        "https://ci.example",
        json!({"sub": ["repo:o@1/r@2:ref:refs/heads/main", "x"], "owner": 7}),
        json!({"event": ["fork"]}),
    );
    let text = unsigned(r#"{"alg": "RS256"}"#, &claims.to_string());
    let token = Jwt::parse(&text).unwrap();
    assert_eq!(
        rule.unwrap().check_verified(&token, NOW),
        expect,
        "{claims}"
    );
}

#[test]
fn a_token_is_checked_claim_by_claim() {
    let now = NOW.unix_timestamp();
    let good = json!({
        "iss": "https://ci.example", "aud": "https://cp.example", "exp": now + 300, "nbf": now,
        "iat": now, "jti": "1", "sub": "repo:o@1/r@2:ref:refs/heads/main", "owner": "7", "event": "push",
    });
    check(&good, Ok(()));
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        claims
    };
    check(&with("aud", json!(["other", "https://cp.example"])), Ok(()));
    check(&with("exp", json!(now - 59)), Ok(()));
    let fraction: Value = serde_json::from_str(&format!("{now}.5")).unwrap();
    check(&with("exp", fraction), Ok(()));
    check(&with("nbf", json!(now + 60)), Ok(()));
    for (claim, value, denial) in [
        ("iss", json!("https://ci.example/"), Denial::Issuer),
        ("iss", json!(["https://ci.example"]), Denial::Issuer),
        ("aud", json!("https://cp.example/"), Denial::Audience),
        ("aud", json!([]), Denial::Audience),
        ("aud", json!([["https://cp.example"]]), Denial::Audience),
        ("aud", json!(null), Denial::Audience),
        ("exp", json!(now - 60), Denial::Expired),
        ("exp", json!("300"), Denial::Time("exp")),
        ("exp", json!(1e300), Denial::Time("exp")),
        ("exp", json!(null), Denial::Time("exp")),
        ("exp", json!(-1), Denial::Expired),
        ("nbf", json!(now + 61), Denial::NotYetValid("nbf")),
        ("nbf", json!("x"), Denial::Time("nbf")),
        ("iat", json!(now + 61), Denial::NotYetValid("iat")),
        ("jti", json!(7), Denial::TokenId),
        ("jti", json!(""), Denial::TokenId),
        (
            "sub",
            json!("repo:o@1/r@2:ref:refs/heads/main-x"),
            Denial::Claim("sub".to_owned()),
        ),
        ("owner", json!(["7"]), Denial::Claim("owner".to_owned())),
        ("event", json!("fork"), Denial::Refused("event".to_owned())),
    ] {
        check(&with(claim, value), Err(denial));
    }
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("exp");
    check(&without, Err(Denial::Time("exp")));
    without = good.clone();
    without.as_object_mut().unwrap().remove("jti");
    check(&without, Ok(()));
}
