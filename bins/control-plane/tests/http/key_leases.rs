//! Keys whose orgs all have a lease.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::kit::{ALL_SCOPES, Caller, Store};

on_both_engines![
    every_org_of_a_key_with_a_maximum_has_a_lease_within_it,
    no_renewal_goes_beyond_the_maximum_of_the_key_that_made_the_org,
];

/// How many seconds the lease of a new org lasts.
#[track_caller]
fn lease(org: &Value) -> i64 {
    let time = |name: &str| {
        let text = org[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {org:#}"));
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    };
    (time("expires_at") - time("created_at")).whole_seconds()
}

#[track_caller]
fn create(key: &Caller, slug: &str, more: Value) -> Value {
    let mut request = json!({"name": slug, "slug": slug, "plan": "free"});
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    key.post("/cp/orgs", request).expect(201)
}

fn every_org_of_a_key_with_a_maximum_has_a_lease_within_it(store: Store) {
    let server = store.start();
    let key = server.issue(json!({"scopes": ALL_SCOPES, "max_ttl_seconds": 600}));
    assert_eq!(key.resource()["max_ttl_seconds"], 600);
    for (n, (asked, expect)) in [
        (json!({}), 600),
        (json!({"ttl_seconds": null}), 600),
        (json!({"ttl_seconds": 60}), 60),
        (json!({"ttl_seconds": 2_592_000}), 600),
    ]
    .into_iter()
    .enumerate()
    {
        let org = create(&key, &format!("run-{n}"), asked);
        assert_eq!(lease(&org), expect);
        let id = org["id"].as_str().unwrap();
        let event = &server.events(&format!("org_id={id}&action=org.create"))[0];
        assert_eq!(event["details"]["ttl_seconds"], expect);
    }
    // Also where the same call is sent again.
    let once = [
        ("idempotency-key", "k1"),
        ("content-type", "application/json"),
    ];
    let body = json!({"name": "A", "slug": "run-once", "plan": "free"}).to_string();
    let org = key
        .send("POST", "/cp/orgs", &once, body.as_bytes())
        .expect(201);
    assert_eq!(lease(&org), 600);
    let protected =
        json!({"name": "A", "slug": "run-x", "plan": "free", "delete_protection": true});
    assert_eq!(
        key.post("/cp/orgs", protected).pointers(),
        ["/delete_protection"]
    );

    let admin = server.admin();
    for (value, pointer) in [
        (json!(59), "/max_ttl_seconds"),
        (json!("600"), "/max_ttl_seconds"),
    ] {
        let answer = admin.patch(&key.path(), json!({"max_ttl_seconds": value}));
        assert_eq!(answer.pointers(), [pointer]);
    }
    admin
        .patch(&key.path(), json!({"max_ttl_seconds": 120}))
        .expect(200);
    assert_eq!(lease(&create(&key, "run-shorter", json!({}))), 120);
    let read = admin
        .patch(&key.path(), json!({"max_ttl_seconds": null}))
        .expect(200);
    assert_eq!(read["max_ttl_seconds"], Value::Null);
    assert_eq!(
        create(&key, "run-free", json!({}))["expires_at"],
        Value::Null
    );
}

fn no_renewal_goes_beyond_the_maximum_of_the_key_that_made_the_org(store: Store) {
    let server = store.start();
    let free = server.key(ALL_SCOPES);
    let held = server.issue(json!({
        "scopes": ALL_SCOPES, "partner_id": free.partner_id(), "max_ttl_seconds": 600,
    }));
    let short = create(&held, "run-short", json!({}));
    let long = create(&free, "run-long", json!({"ttl_seconds": 7200}));
    let renewed = |key: &Caller, org: &Value| {
        let path = format!("/cp/orgs/{}/renew", org["id"].as_str().unwrap());
        let org = key.post(&path, json!({"ttl_seconds": 7200})).expect(200);
        // Created a moment ago.
        lease(&org)
    };
    for (key, org, expect) in [
        (&held, &short, 600),
        (&free, &short, 600),
        (&held, &long, 600),
        (&free, &long, 7200),
    ] {
        let actual = renewed(key, org);
        assert!(
            (expect..expect + 60).contains(&actual),
            "{actual}, not {expect}"
        );
    }
}
