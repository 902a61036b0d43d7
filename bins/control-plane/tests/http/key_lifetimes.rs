//! How long keys live, and which are listed for it.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::kit::{Caller, Store};

on_both_engines![
    keys_are_listed_by_their_end_and_their_last_use,
    keys_live_no_longer_than_the_operator_allows,
];

fn keys_are_listed_by_their_end_and_their_last_use(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let end = "2099-01-01T00:00:00.000000Z";
    let (endless, unused) = (server.key(&["orgs:list"]), server.key(&["orgs:list"]));
    let ending = server.issue(json!({"scopes": ["orgs:list"], "expires_at": end}));
    let before = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    for key in [&endless, &ending] {
        key.get("/cp/orgs").expect(200);
    }
    let ids = |query: &str| {
        let listed = admin.all(&format!("/cp/admin/partner-keys?{query}"));
        listed
            .iter()
            .map(|key| key["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&format!("expires_before={end}")), [""; 0]);
    assert_eq!(ids("expires_before=2099-01-01T00:00:01Z"), [ending.id()]);
    assert_eq!(ids(&format!("unused_since={before}")), [unused.id()]);
    assert_eq!(
        ids("unused_since=2098-01-01T00:00:00Z&expires_before=2099-02-01T00:00:00Z"),
        [ending.id()]
    );
    let own = endless.all("/cp/admin/partner-keys?unused_since=2098-01-01T00:00:00Z");
    assert_eq!(own.len(), 1);
    for query in [
        "expires_before=tomorrow",
        "unused_since=",
        "unused_before=2098",
    ] {
        admin
            .get(&format!("/cp/admin/partner-keys?{query}"))
            .problem(400, "invalid-request");
    }
    let page = admin
        .get("/cp/admin/partner-keys?limit=1&unused_since=2098-01-01T00:00:00Z")
        .expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    for other in ["", "&unused_since=2097-01-01T00:00:00Z"] {
        admin
            .get(&format!(
                "/cp/admin/partner-keys?limit=1&cursor={cursor}{other}"
            ))
            .problem(400, "invalid-cursor");
    }
}

fn keys_live_no_longer_than_the_operator_allows(store: Store) {
    let server = store.start();
    let (endless, later) = (
        server.key(&["orgs:list"]),
        server.issue(json!({"scopes": ["orgs:list"], "expires_at": "2099-01-01T00:00:00Z"})),
    );
    drop(server);
    let server = store.start_with(&[("MOLECULE_CP_MAX_KEY_LIFETIME_DAYS", "30")]);
    let admin = server.admin();
    let days_left = |key: &Value| {
        let end = OffsetDateTime::parse(key["expires_at"].as_str().unwrap(), &Rfc3339).unwrap();
        (end - OffsetDateTime::now_utc()).as_seconds_f64() / 86_400.0
    };
    let is_longest = |key: &Value| (29.99..=30.0).contains(&days_left(key));
    let key = server.key(&["orgs:list"]);
    assert!(is_longest(key.resource()), "{}", key.resource());
    let create = |member: &str, value: Value| {
        let mut request = json!({"name": "a", "scopes": []});
        request[member] = value;
        admin.post("/cp/admin/partner-keys", request)
    };
    let shorter = create("expires_in_days", json!(7)).expect(201);
    assert!((6.9..=7.0).contains(&days_left(&shorter)));
    assert!(is_longest(
        &create("expires_in_days", json!(30)).expect(201)
    ));
    for (member, value) in [
        ("expires_in_days", json!(31)),
        ("expires_at", json!("2099-01-01T00:00:00Z")),
    ] {
        let refused = create(member, value);
        let problem = refused.problem(422, "validation-failed");
        assert_eq!(refused.pointers(), [format!("/{member}")]);
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("30 days"), "{detail}");
    }
    let change = |key: &Caller, body: Value| admin.patch(&key.path(), body);
    let refused = change(&key, json!({"expires_at": "2099-01-01T00:00:00Z"}));
    refused.problem(422, "validation-failed");
    assert_eq!(refused.pointers(), ["/expires_at"]);
    assert!(is_longest(
        &change(&key, json!({"expires_at": null})).expect(200)
    ));
    // Keys from before: no end becomes one, and what is there stays while nobody changes it.
    assert_eq!(
        admin.get(&endless.path()).expect(200)["expires_at"],
        Value::Null
    );
    assert!(is_longest(
        &change(&endless, json!({"name": "b"})).expect(200)
    ));
    let kept = change(&later, json!({"name": "b"})).expect(200);
    assert_eq!(kept["expires_at"], "2099-01-01T00:00:00.000000Z");
}
