//! The document against the rules of OpenAPI, and its examples against its schemas.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::*;
use crate::routes;

const URL: &str = "https://cp.example.com";

fn whole() -> Value {
    serde_json::to_value(document(&routes::described(), URL)).unwrap()
}

/// A schema of the document, with the components that it may refer to.
fn validator(whole: &Value, schema: &Value) -> Validator {
    let mut schema = schema.as_object().unwrap().clone();
    schema.insert("components".to_owned(), whole["components"].clone());
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&Value::Object(schema))
        .unwrap()
}

/// Every value of the document with the path to it.
fn walk(value: &Value, at: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(at, members);
            for (name, value) in members {
                walk(value, &format!("{at}/{name}"), visit);
            }
        }
        Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                walk(value, &format!("{at}/{n}"), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let whole = whole();
    let mut seen = 0;
    walk(&whole, "", &mut |at, members| {
        if let Some(Value::String(target)) = members.get("$ref") {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(whole.pointer(pointer).is_some(), "{target} at {at}");
            seen += 1;
        }
    });
    assert!(seen > 100, "{seen}");
}

#[test]
fn every_component_is_used() {
    let whole = whole();
    let text = whole.to_string();
    for kind in ["schemas", "headers"] {
        for name in whole["components"][kind].as_object().unwrap().keys() {
            let reference = format!("\"#/components/{kind}/{name}\"");
            assert!(text.contains(&reference), "{reference}");
        }
    }
}

#[test]
fn every_schema_is_one_and_every_example_fits_its_own() {
    let whole = whole();
    let mut seen = 0;
    walk(&whole, "", &mut |at, members| {
        let Some(schema) = members.get("schema") else {
            return;
        };
        let validator = validator(&whole, schema);
        let referred = members
            .get("examples")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::values)
            .map(|example| {
                let pointer = example["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
                &whole.pointer(pointer).unwrap()["value"]
            });
        for example in members.get("example").into_iter().chain(referred) {
            seen += 1;
            let errors: Vec<_> = validator
                .iter_errors(example)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{at}: {errors:#?}");
        }
    });
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_path_parameter_is_declared_and_every_operation_id_is_unique() {
    let whole = whole();
    let mut ids = BTreeSet::new();
    for (path, item) in whole["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id}");
            let none = Vec::new();
            let parameters = operation["parameters"].as_array().unwrap_or(&none);
            let in_path: Vec<_> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                .collect();
            assert_eq!(in_path.len(), path.matches('{').count(), "{path}");
            assert!(in_path.iter().all(|name| path.contains(name)), "{path}");
            assert!(!operation["responses"].as_object().unwrap().is_empty());
        }
    }
}

#[track_caller]
fn refused(schema: &str, body: &Value) {
    let whole = whole();
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    assert!(!validator(&whole, &schema).is_valid(body), "{body}");
}

#[test]
fn schemas_refuse_what_the_readers_refuse() {
    let org = |slug: &str| json!({"name": "a", "slug": slug, "plan": "free"});
    for slug in ["ab", "a--b", "-ab", "ab-", "1ab", "Abc", &"a".repeat(33)] {
        refused("NewOrg", &org(slug));
    }
    refused("NewOrg", &json!({"name": "a", "slug": "abc"}));
    refused("NewWorkspace", &json!({"name": ""}));
    refused("NewWorkspace", &json!({"name": "a\u{7}"}));
    refused("NewWorkspace", &json!({"name": "a".repeat(201)}));
    refused("NewPartnerKey", &json!({"name": "a", "scopes": ["all"]}));
    let key = |member: &str, value: Value| json!({"name": "a", "scopes": [], member: value});
    refused("NewPartnerKey", &key("max_live_orgs", json!(-1)));
    refused("NewPartnerKey", &key("on_revoke", json!("burn")));
    for ttl in [59, 2_592_001] {
        refused("Renewal", &json!({"ttl_seconds": ttl}));
    }
    refused("NewPartnerKey", &key("org_plans", json!([])));
    refused("NewPartnerKey", &key("labels", json!({"A": "x"})));
    refused("NewPartnerKey", &key("expires_at", json!("tomorrow")));
    refused("NewPartnerKey", &key("org_id", json!("org_1")));
    refused("NewPartnerKey", &key("rate_limit", json!({"limit": 1})));
    let mut both_ends = key("expires_at", json!("2099-01-01T00:00:00Z"));
    both_ends["expires_in_days"] = json!(1);
    refused("NewPartnerKey", &both_ends);
    refused("NewBilling", &json!({"plan": "free"}));
}

#[test]
fn every_member_is_explained() {
    let whole = whole();
    walk(&whole["components"]["schemas"], "", &mut |at, members| {
        // The schema under `not` has no fields of a request.
        if at.ends_with("/not") {
            return;
        }
        let properties = members.get("properties").and_then(Value::as_object);
        for (name, form) in properties.into_iter().flatten() {
            assert!(form["description"].is_string(), "{at}/{name}");
        }
    });
}

/// Generators make a type of each inline alternative, with a name that nobody chose.
#[test]
fn alternatives_are_named_and_words_of_responses_are_open() {
    let whole = whole();
    walk(&whole, "", &mut |at, members| {
        for combined in ["allOf", "anyOf"] {
            assert!(!members.contains_key(combined), "{combined} at {at}");
        }
        let parts = members.get("oneOf").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            let named = part.get("$ref").is_some() || *part == json!({"type": "null"});
            assert!(named, "{part} at {at}");
        }
        // Requests and parameters have closed lists of words; responses and messages have none.
        let request = [
            "/schemas/New",
            "Changes/",
            "KeyRevocation/",
            "/parameters/",
            "/headers/",
        ];
        if members.contains_key("enum") {
            assert!(request.iter().any(|part| at.contains(part)), "enum at {at}");
        }
    });
    let status = &whole["components"]["schemas"]["Org"]["properties"]["status"];
    assert_eq!(status["x-extensible-enum"][1], "ready");
}

#[test]
fn every_message_is_described() {
    let whole = whole();
    let webhooks = whole["webhooks"].as_object().unwrap();
    let types = &whole["components"]["schemas"]["OrgMessage"]["properties"]["type"];
    let types = types["x-extensible-enum"].as_array().unwrap();
    assert_eq!(webhooks.len(), types.len());
    for name in types {
        let body = &webhooks[name.as_str().unwrap()]["post"]["requestBody"];
        assert_eq!(
            &body["content"]["application/json"]["example"]["type"],
            name
        );
    }
}

#[test]
fn every_operation_has_a_command_with_examples_of_its_own_kind() {
    let whole = whole();
    let source = |path: &str, method: &str| {
        let source = &whole["paths"][path][method]["x-codeSamples"][0]["source"];
        source.as_str().unwrap().to_owned()
    };
    for (path, item) in whole["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let source = source(path, method);
            assert!(source.starts_with("curl "), "{source}");
            assert!(
                !source.contains("={}") && !source.contains("/{"),
                "{source}"
            );
        }
    }
    let redeliver = "/cp/webhook-endpoints/{id}/deliveries/{delivery}/redeliver";
    let source = source(redeliver, "post");
    assert!(
        source.contains("/whe_") && source.contains("/whd_"),
        "{source}"
    );
}
