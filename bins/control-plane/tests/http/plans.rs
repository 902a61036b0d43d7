//! The catalogue of plans, and the options that they take.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Server, Store};

on_both_engines![
    plans_are_listed_as_the_operator_describes_them,
    options_are_kept_and_must_satisfy_the_schema_of_the_plan,
];

const PLANS: &str = r#"
[[plan]]
id = "small"
title = "Small"
description = "For one team."

[[plan]]
id = "large"
title = "Large"

[plan.options_schema]
type = "object"
required = ["size"]
additionalProperties = false

[plan.options_schema.properties]
size = { type = "integer", minimum = 1 }
region = { enum = ["eu", "us"] }

[[plan]]
id = "other"
"#;

fn start(store: &Store) -> Server {
    let path = store.folder().join("cp.toml");
    std::fs::write(&path, PLANS).unwrap();
    store.start_with(&[("MOLECULE_CP_CONFIG", path.to_str().unwrap())])
}

#[track_caller]
fn ids(caller: &Caller, query: &str) -> Vec<String> {
    let list = caller.get(&format!("/cp/plans{query}")).expect(200);
    let plans = list["data"].as_array().unwrap();
    plans
        .iter()
        .map(|plan| plan["id"].as_str().unwrap().to_owned())
        .collect()
}

fn plans_are_listed_as_the_operator_describes_them(store: Store) {
    let server = start(&store);
    let key = server.key(&[]);
    let list = key.get("/cp/plans").expect(200);
    let schema = json!({
        "type": "object",
        "required": ["size"],
        "additionalProperties": false,
        "properties": {
            "size": {"type": "integer", "minimum": 1},
            "region": {"enum": ["eu", "us"]},
        },
    });
    let nothing = Value::Null;
    assert_eq!(
        list,
        json!({
            "data": [
                {"id": "small", "title": "Small", "description": "For one team.", "options_schema": nothing},
                {"id": "large", "title": "Large", "description": nothing, "options_schema": schema},
                {"id": "other", "title": nothing, "description": nothing, "options_schema": nothing},
            ],
            "has_more": false,
            "next_cursor": nothing,
        })
    );
    let first = key.get("/cp/plans?limit=2").expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&key, "?limit=2"), ["small", "large"]);
    assert_eq!(ids(&key, &format!("?limit=2&cursor={cursor}")), ["other"]);
    assert_eq!(ids(&server.admin(), ""), ["small", "large", "other"]);
    let limited = server.issue(json!({"scopes": ["orgs:list"], "org_plans": ["other", "large"]}));
    assert_eq!(ids(&limited, "?limit=2"), ["large", "other"]);
    key.get("/cp/plans?id=small")
        .problem(400, "invalid-request");
    server
        .anon()
        .get("/cp/plans")
        .problem(401, "missing-credentials");
}

fn options_are_kept_and_must_satisfy_the_schema_of_the_plan(store: Store) {
    let server = start(&store);
    let key = server.key(ALL_SCOPES);
    let create = |plan: &str, options: Value| {
        let request =
            json!({"name": "Acme", "slug": "acme-corp", "plan": plan, "options": options});
        key.post("/cp/orgs", request)
    };
    for (options, expect) in [
        (json!({}), &["/options"][..]),
        (json!({"size": "3"}), &["/options/size"]),
        (
            json!({"size": 0, "region": "mars"}),
            &["/options/region", "/options/size"],
        ),
        (json!({"size": 1, "colour": "red"}), &["/options"]),
        (json!([1]), &["/options"]),
        (json!("size"), &["/options"]),
    ] {
        let mut actual = create("large", options.clone()).pointers();
        actual.sort_unstable();
        assert_eq!(actual, expect, "{options}");
    }
    // Without a word the options are empty.
    let bare = json!({"name": "Acme", "slug": "acme-corp", "plan": "large"});
    assert_eq!(key.post("/cp/orgs", bare).pointers(), ["/options"]);
    let long = create("small", json!({"a": "x".repeat(16 * 1024)}));
    assert_eq!(long.pointers(), ["/options"]);

    let options = json!({"size": 3, "region": "eu"});
    let org = create("large", options.clone()).expect(201);
    assert_eq!(org["options"], options);
    let id = org["id"].as_str().unwrap();
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}")).expect(200)["options"],
        options
    );

    // A plan without a schema takes any object.
    let any = json!({"deep": {"list": [1, null, "\u{0}"]}});
    let request = json!({"name": "B", "slug": "other-corp", "plan": "small", "options": any});
    assert_eq!(key.post("/cp/orgs", request).expect(201)["options"], any);
    let bare = json!({"name": "C", "slug": "third-corp", "plan": "other", "options": null});
    assert_eq!(key.post("/cp/orgs", bare).expect(201)["options"], json!({}));
}

#[test]
fn a_broken_schema_is_refused_at_the_start() {
    let store = Store::sqlite();
    let path = store.folder().join("cp.toml");
    let settings = [("MOLECULE_CP_CONFIG", path.to_str().unwrap())];
    for (schema, word) in [
        (r#"{ type = "thing" }"#, "thing"),
        (
            r#"{ "$ref" = "https://example.com/schema" }"#,
            "example.com",
        ),
        ("3", "object"),
    ] {
        let text = format!("[[plan]]\nid = \"large\"\noptions_schema = {schema}\n");
        std::fs::write(&path, text).unwrap();
        let output = store.run(&["serve"], &settings);
        assert!(!output.status.success(), "{output:#?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(
            log.contains("large") && log.contains(word),
            "{word} in {log}"
        );
    }
}
