//! Orgs that are protected from deletion.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Store, eventually};

on_both_engines![
    a_protected_org_is_deleted_only_once_it_is_no_longer,
    by_label_none_is_deleted_and_the_answer_names_those_that_are_protected,
    a_protected_org_has_no_lease,
    a_revoked_key_leaves_its_protected_orgs,
];

#[track_caller]
fn create(key: &Caller, slug: &str, more: Value) -> String {
    let mut request = json!({"name": slug, "slug": slug, "plan": "free", "labels": {"run": "7"}});
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let org = key.post("/cp/orgs", request).expect(201);
    org["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn status(key: &Caller, id: &str) -> Value {
    key.get(&format!("/cp/orgs/{id}")).expect(200)["status"].clone()
}

fn a_protected_org_is_deleted_only_once_it_is_no_longer(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp", json!({}));
    let path = format!("/cp/orgs/{id}");
    assert_eq!(key.get(&path).expect(200)["delete_protection"], false);
    // At once, whatever its status.
    let protected = key
        .patch(&path, json!({"delete_protection": true}))
        .expect(200);
    assert_eq!(protected["delete_protection"], true);
    let problem = key.delete(&path).problem(409, "org-delete-protected");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains(&id) && detail.contains("acme-corp"),
        "{detail}"
    );
    key.wait(&id, "ready");
    key.delete(&path).problem(409, "org-delete-protected");
    assert_eq!(status(&key, &id), "ready");
    let answer = key
        .patch(&path, json!({"delete_protection": null}))
        .expect(200);
    assert_eq!(answer["delete_protection"], false);
    key.delete(&path).expect(202);
    let events = server.events(&format!("org_id={id}&action=org.delete"));
    let outcomes: Vec<_> = events
        .iter()
        .map(|event| event["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["denied", "denied", "success"]);
}

fn by_label_none_is_deleted_and_the_answer_names_those_that_are_protected(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let plain = create(&key, "acme-plain", json!({}));
    let protected = create(&key, "acme-safe", json!({"delete_protection": true}));
    for query in ["label=run:7", "label=run:7&dry_run=true"] {
        let problem = key
            .delete(&format!("/cp/orgs?{query}"))
            .problem(409, "org-delete-protected");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(&protected) && !detail.contains(&plain),
            "{detail}"
        );
    }
    key.wait(&plain, "ready");
    key.patch(
        &format!("/cp/orgs/{protected}"),
        json!({"labels": {"run": "8"}}),
    )
    .expect(200);
    let deleted = key.delete("/cp/orgs?label=run:7").expect(202);
    assert_eq!(deleted["data"].as_array().unwrap().len(), 1);
    key.wait(&plain, "deleted");
    key.wait(&protected, "ready");
}

fn a_protected_org_has_no_lease(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let both = json!({
        "name": "A", "slug": "acme-corp", "plan": "free", "ttl_seconds": 60, "delete_protection": true,
    });
    let problem = key.post("/cp/orgs", both).problem(422, "validation-failed");
    assert_eq!(problem["errors"][0]["pointer"], "/ttl_seconds");
    let id = create(
        &key,
        "acme-corp",
        json!({"ttl_seconds": 600, "delete_protection": false}),
    );
    let path = format!("/cp/orgs/{id}");
    let problem = key
        .patch(&path, json!({"delete_protection": true}))
        .problem(422, "validation-failed");
    assert_eq!(problem["errors"][0]["pointer"], "/delete_protection");
    key.patch(&path, json!({"delete_protection": false, "name": "B"}))
        .expect(200);
    let protected = create(&key, "acme-safe", json!({"delete_protection": true}));
    let renew = format!("/cp/orgs/{protected}/renew");
    key.post(&renew, json!({"ttl_seconds": 600}))
        .problem(409, "org-state-conflict");
}

fn a_revoked_key_leaves_its_protected_orgs(store: Store) {
    let server = store.start();
    let reader = server.key(ALL_SCOPES);
    let key = server.issue(json!({
        "scopes": ALL_SCOPES, "partner_id": reader.partner_id(), "on_revoke": "delete",
    }));
    let plain = create(&key, "acme-plain", json!({}));
    let protected = create(&key, "acme-safe", json!({"delete_protection": true}));
    server.admin().delete(&key.path()).expect(204);
    eventually("the other org is deleted", || {
        (status(&reader, &plain) == "deleted").then_some(())
    });
    assert_eq!(status(&reader, &protected), "ready");
}
