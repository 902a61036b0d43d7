//! What a key settles about the orgs created by it: how many there may be, and what becomes of them.

use std::{sync::Barrier, thread};

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Store, eventually};

on_both_engines![
    the_orgs_of_a_revoked_key_are_deleted_or_kept_as_it_says,
    the_orgs_of_a_key_that_revokes_itself_are_deleted,
    racing_does_not_pass_the_orgs_of_a_key,
    the_orgs_of_a_key_are_its_own_count,
];

fn org(slug: &str) -> Value {
    json!({"name": slug, "slug": slug, "plan": "free"})
}

/// Waits until a partner has these orgs and no others.
#[track_caller]
fn left(reader: &Caller, slugs: &[&str]) {
    eventually("the others are gone", || {
        let orgs = reader.all("/cp/orgs");
        let actual: Vec<_> = orgs
            .iter()
            .map(|org| org["slug"].as_str().unwrap())
            .collect();
        (actual == slugs).then_some(())
    });
}

fn the_orgs_of_a_revoked_key_are_deleted_or_kept_as_it_says(store: Store) {
    let server = store.start();
    let reader = server.key(ALL_SCOPES);
    let issue = |more: Value| {
        let mut request = json!({"scopes": ALL_SCOPES, "partner_id": reader.partner_id()});
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        server.issue(request)
    };
    let default = issue(json!({}));
    let keeping = issue(json!({"on_revoke": "keep"}));
    let going = issue(json!({"on_revoke": "delete"}));
    let changed = issue(json!({"on_revoke": "delete"}));
    assert_eq!(default.resource()["on_revoke"], "keep");
    assert_eq!(going.resource()["on_revoke"], "delete");
    let admin = server.admin();
    let read = admin
        .patch(&changed.path(), json!({"on_revoke": null}))
        .expect(200);
    assert_eq!(read["on_revoke"], "keep");
    let event = server.events("action=key.update").pop().unwrap();
    assert_eq!(event["details"]["changed"], json!(["on_revoke"]));
    for (key, slug) in [
        (&default, "acme-default"),
        (&keeping, "acme-keeping"),
        (&changed, "acme-changed"),
        (&going, "acme-going-1"),
        (&going, "acme-going-2"),
    ] {
        key.post("/cp/orgs", org(slug)).expect(201);
    }
    for key in [&default, &keeping, &changed, &going, &going] {
        assert_eq!(admin.delete(&key.path()).status, 204);
    }
    left(&reader, &["acme-changed", "acme-keeping", "acme-default"]);
    let events = server.events("action=org.delete");
    assert_eq!(events.len(), 2, "{events:#?}");
    for event in &events {
        assert_eq!(event["actor"]["type"], "system");
        assert_eq!(event["actor"]["partner_id"], reader.partner_id());
        assert_eq!(event["details"]["key_id"], going.id());
    }
    let seen = reader.all("/cp/audit-events?action=org.delete");
    assert_eq!(seen.len(), 2, "the partner sees what became of its orgs");
}

fn the_orgs_of_a_key_that_revokes_itself_are_deleted(store: Store) {
    let server = store.start();
    let reader = server.key(ALL_SCOPES);
    let key = server.issue(json!({
        "scopes": ["orgs:create"], "partner_id": reader.partner_id(), "on_revoke": "delete",
    }));
    key.post("/cp/orgs", org("acme-corp")).expect(201);
    reader.post("/cp/orgs", org("acme-stays")).expect(201);
    assert_eq!(key.delete(&key.path()).status, 204);
    left(&reader, &["acme-stays"]);
}

fn racing_does_not_pass_the_orgs_of_a_key(store: Store) {
    let server = store.start();
    let key = server.issue(json!({"scopes": ALL_SCOPES, "max_live_orgs": 3}));
    let start = Barrier::new(24);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let calls: Vec<_> = (0..24)
            .map(|n| {
                let (key, start) = (key.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    let response = key.post("/cp/orgs", org(&format!("race-{n}")));
                    if response.status != 201 {
                        response.problem(409, "org-quota-exceeded");
                        response.event();
                    }
                    response.status
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let created = statuses.iter().filter(|&&status| status == 201).count();
    assert_eq!(created, 3, "{statuses:?}");
    assert_eq!(key.all("/cp/orgs").len(), 3);
}

fn the_orgs_of_a_key_are_its_own_count(store: Store) {
    let server = store.start();
    let key = server.issue(json!({"scopes": ALL_SCOPES, "max_live_orgs": 1}));
    assert_eq!(key.resource()["max_live_orgs"], 1);
    let sister = server.key_of(key.partner_id(), ALL_SCOPES);
    sister.org("acme-sister");
    let first = key.org("acme-one");
    let over = || key.post("/cp/orgs", org("acme-two"));
    let problem = over().problem(409, "org-quota-exceeded");
    assert!(problem["detail"].as_str().unwrap().contains("this key"));
    // Who deletes it does not matter, and one that is going still counts until it is gone.
    let id = first["id"].as_str().unwrap();
    sister.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(id, "deleted");
    over().expect(201);
    let admin = server.admin();
    admin
        .patch(&key.path(), json!({"max_live_orgs": null}))
        .expect(200);
    key.post("/cp/orgs", org("acme-three")).expect(201);
    admin
        .patch(&key.path(), json!({"max_live_orgs": 0}))
        .expect(200);
    key.post("/cp/orgs", org("acme-four"))
        .problem(409, "org-quota-exceeded");
}
