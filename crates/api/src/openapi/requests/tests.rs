//! The schemas of request bodies against the readers.

use std::collections::BTreeSet;

use serde_json::Value;
use time::macros::datetime;
use webhooks::AddressPolicy;

use super::*;
use crate::{BodyError, FieldError};

type Names = BTreeSet<String>;

fn errors<T>(read: Result<T, BodyError>) -> Vec<FieldError> {
    match read {
        Err(BodyError::Invalid(errors)) => errors,
        Err(BodyError::Syntax(text)) => panic!("{text}"),
        Ok(_) => panic!("an unknown member was taken"),
    }
}

/// What the reader of a body says to this one.
fn read(body: Body, text: &str) -> Vec<FieldError> {
    let now = datetime!(2026-04-23 08:00 UTC);
    let bytes = text.as_bytes();
    match body {
        Body::NewPartner => errors(crate::partner_draft(bytes)),
        Body::PartnerChanges => errors(crate::partner_changes(bytes)),
        Body::NewKey => errors(crate::key_draft(bytes, now)),
        Body::KeyChanges => errors(crate::key_changes(bytes, now)),
        Body::NewOrg => errors(crate::org_draft(bytes)),
        Body::Renewal => errors(crate::renewal(bytes)),
        Body::NewWorkspace => errors(crate::workspace_draft(bytes)),
        Body::NewBilling => errors(crate::billing_request(bytes)),
        Body::NewWebhookEndpoint => errors(crate::endpoint_draft(bytes, AddressPolicy::Public)),
        Body::Empty => errors(
            crate::Fields::of_body(bytes)
                .unwrap()
                .build(|| Some(()))
                .map_err(BodyError::Invalid),
        ),
    }
}

/// The members that a reader knows, and those that it misses, below a pointer.
fn known(errors: &[FieldError], at: &str) -> (Names, Names) {
    let below = |error: &&FieldError| {
        error
            .pointer
            .strip_prefix(at)
            .is_some_and(|rest| rest.rfind('/') == Some(0))
    };
    let here: Vec<_> = errors.iter().filter(below).collect();
    let list = here
        .iter()
        .find_map(|error| {
            error
                .detail
                .strip_prefix("is unknown here; the members are ")
        })
        .unwrap();
    let known = list
        .split(", ")
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let missing = here
        .iter()
        .filter(|error| error.detail == "is missing")
        .map(|error| error.pointer[at.len() + 1..].to_owned())
        .collect();
    (known, missing)
}

/// The members of a schema, and those that must be there.
fn described(schema: &Value) -> (Names, Names) {
    assert_eq!(schema["additionalProperties"], false, "{schema:#}");
    let none = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    (
        properties.keys().cloned().collect(),
        required
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect(),
    )
}

#[test]
fn a_schema_has_the_members_that_the_reader_knows() {
    for &body in Body::ALL {
        let schema = serde_json::to_value(body.schema()).unwrap();
        if body == Body::NewBilling {
            let nested = read(body, r#"{"subscription": {"?": 1}, "?": 1}"#);
            let forms = &schema["oneOf"];
            let mut whole = known(&nested, "");
            // The reader does not miss what decides which of the two forms is meant.
            whole.1.insert("subscription".to_owned());
            assert_eq!(described(&forms[0]), whole);
            assert_eq!(
                described(&forms[0]["properties"]["subscription"]),
                known(&nested, "/subscription")
            );
            assert_eq!(described(&forms[1]), known(&read(body, r#"{"?": 1}"#), ""));
        } else {
            let expect = known(&read(body, r#"{"?": 1}"#), "");
            assert_eq!(described(&schema), expect, "{body:?}");
        }
    }
}

#[test]
fn limits_are_described_as_they_are_read() {
    for body in [
        Body::NewPartner,
        Body::PartnerChanges,
        Body::NewKey,
        Body::KeyChanges,
    ] {
        let schema = serde_json::to_value(body.schema()).unwrap();
        let told = read(body, r#"{"rate_limit": {"?": 1}}"#);
        assert_eq!(
            described(&schema["properties"]["rate_limit"]),
            known(&told, "/rate_limit")
        );
    }
}

#[test]
fn the_readers_refuse_exactly_what_can_not_be_null() {
    for &body in Body::ALL {
        let schema = serde_json::to_value(body.schema()).unwrap();
        let Some(properties) = schema["properties"].as_object() else {
            continue;
        };
        for (name, form) in properties {
            let told = read(body, &format!(r#"{{"{name}": null, "?": 1}}"#));
            let refused = told.iter().any(|error| error.pointer == format!("/{name}"));
            let nullable = form["type"]
                .as_array()
                .is_some_and(|types| types.contains(&Value::from("null")))
                || form["type"] == "null"
                || form["oneOf"][0]["type"] == "null";
            assert_eq!(nullable, !refused, "{name} of {body:?}");
        }
    }
}

#[test]
fn the_examples_are_read() {
    let now = datetime!(2026-04-23 08:00 UTC);
    for &body in Body::ALL {
        let text = serde_json::to_vec(&body.example()).unwrap();
        let told = match body {
            Body::NewPartner => crate::partner_draft(&text).map(drop),
            Body::PartnerChanges => crate::partner_changes(&text).map(drop),
            Body::NewKey => crate::key_draft(&text, now).map(drop),
            Body::KeyChanges => crate::key_changes(&text, now).map(drop),
            Body::NewOrg => crate::org_draft(&text).map(drop),
            Body::Renewal => crate::renewal(&text).map(drop),
            Body::NewWorkspace => crate::workspace_draft(&text).map(drop),
            Body::NewBilling => crate::billing_request(&text).map(drop),
            Body::NewWebhookEndpoint => {
                crate::endpoint_draft(&text, AddressPolicy::Public).map(drop)
            }
            Body::Empty => Ok(()),
        };
        assert_eq!(told, Ok(()), "{body:?}");
    }
}
