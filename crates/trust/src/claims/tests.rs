use serde_json::json;

use super::*;

fn members(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else {
        panic!("{value}")
    };
    members
}

#[track_caller]
fn invalid(value: Value, claim: Option<&str>, index: Option<usize>) {
    let error = Claims::read(&members(value.clone())).unwrap_err();
    assert_eq!(
        (error.claim.as_deref(), error.index),
        (claim, index),
        "{value}"
    );
}

#[test]
fn claims_are_bounded_and_the_fault_is_named() {
    invalid(json!({}), None, None);
    invalid(json!({"": "x"}), Some(""), None);
    invalid(json!({"a b": "x"}), Some("a b"), None);
    invalid(json!({"aud": "x"}), Some("aud"), None);
    invalid(json!({"a": []}), Some("a"), None);
    invalid(json!({"a": {}}), Some("a"), None);
    invalid(json!({"a": ["x", 1.5]}), Some("a"), Some(1));
    invalid(json!({"a": "repo:o/*"}), Some("a"), None);
    invalid(json!({"a": "x".repeat(256)}), Some("a"), None);
    invalid(json!({"a": "x\n"}), Some("a"), None);
    invalid(json!({"a": vec!["x"; 65]}), Some("a"), None);
    let many: Map<_, _> = (0..17).map(|n| (format!("c{n}"), json!("x"))).collect();
    invalid(Value::Object(many), None, None);
    let most: Map<_, _> = (0..16)
        .map(|n| (format!("c{n}"), json!(vec!["x"; 64])))
        .collect();
    assert!(Claims::read(&most).is_ok());
}

#[test]
fn claims_come_back_as_they_were_written() {
    let text = json!({"a": "x", "b": ["y"], "c": 7, "d": [true, "1"]});
    let claims = Claims::read(&members(text.clone())).unwrap();
    assert_eq!(Value::Object(claims.to_json()), text);
}

#[track_caller]
fn matches(rule: Value, token: Value, expect: Option<&str>) {
    let claims = Claims::read(&members(rule)).unwrap();
    assert_eq!(claims.unmatched(&members(token.clone())), expect, "{token}");
}

#[test]
fn a_claim_is_compared_as_a_whole() {
    let rule = || json!({"sub": "repo:o/r:ref:refs/heads/main"});
    matches(rule(), json!({"sub": "repo:o/r:ref:refs/heads/main"}), None);
    for sub in [
        json!("repo:o/r:ref:refs/heads/main2"),
        json!("repo:o/r:ref:refs/heads/mai"),
        json!("repo:o/R:ref:refs/heads/main"),
        json!(["repo:o/r:ref:refs/heads/main"]),
        json!({"repo:o/r:ref:refs/heads/main": 1}),
        json!(null),
    ] {
        matches(rule(), json!({"sub": sub}), Some("sub"));
    }
    matches(rule(), json!({}), Some("sub"));
}

#[test]
fn a_number_and_its_digits_are_the_same() {
    matches(json!({"id": 72}), json!({"id": "72"}), None);
    matches(json!({"id": "72"}), json!({"id": 72}), None);
    matches(json!({"id": "72"}), json!({"id": 72.0}), Some("id"));
    matches(json!({"id": "072"}), json!({"id": 72}), Some("id"));
    matches(json!({"x": ["a", true]}), json!({"x": true}), None);
}

#[track_caller]
fn refuses(rule: Value, token: Value, expect: Option<&str>) {
    let refusals = Refusals::read(&members(rule)).unwrap();
    assert_eq!(refusals.refused(&members(token.clone())), expect, "{token}");
}

#[test]
fn a_refusal_meets_any_item_of_a_list_and_what_can_not_be_judged() {
    let rule = || json!({"event_name": ["pull_request_target", "workflow_run"]});
    refuses(rule(), json!({"event_name": "push"}), None);
    refuses(rule(), json!({}), None);
    for event in [
        json!("workflow_run"),
        json!(["push", "workflow_run"]),
        json!([["workflow_run"]]),
        json!({"name": "push"}),
    ] {
        refuses(rule(), json!({"event_name": event}), Some("event_name"));
    }
    refuses(json!({"event_name": []}), json!({"event_name": {}}), None);
}
