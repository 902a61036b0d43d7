//! What a key can see: its partner's, or what it made itself; all else is as if it were not there.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Response, Store};

on_both_engines![
    foreign_and_missing_resources_are_answered_alike,
    a_partners_keys_share_its_orgs,
    without_orgs_list_a_key_sees_the_orgs_that_it_created,
    unrelated_keys_never_see_each_others_orgs,
];

const MISSING: &str = "01HXKM4000000000000000000A";

/// The response without what differs from call to call.
#[track_caller]
fn bare(response: &Response) -> (u16, String, Vec<String>) {
    let id = response.header("x-request-id");
    let names = response.headers.iter().map(|header| header.0.clone());
    (
        response.status,
        response.body.replace(id, "-"),
        names.collect(),
    )
}

fn foreign_and_missing_resources_are_answered_alike(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let foreign = server.key(ALL_SCOPES);
    let org = foreign.org("acme-corp");
    let org = org["id"].as_str().unwrap();
    let missing = format!("org_{MISSING}");
    for (method, rest, body) in [
        ("GET", "", Value::Null),
        ("DELETE", "", Value::Null),
        ("GET", "/status", Value::Null),
        ("GET", "/workspaces", Value::Null),
        ("POST", "/workspaces", json!({"name": "QA"})),
        ("GET", "/billing", Value::Null),
    ] {
        let ask = |id: &str| key.call(method, &format!("/cp/orgs/{id}{rest}"), body.clone());
        let expect = ask(org);
        expect.problem(404, "not-found");
        for id in [
            missing.as_str(),
            "nonsense",
            key.id(),
            "org_1",
            &org.to_lowercase(),
        ] {
            assert_eq!(bare(&ask(id)), bare(&expect), "{method} {id}{rest}");
        }
    }
    for method in ["GET", "DELETE"] {
        let ask = |id: &str| key.call(method, &format!("/cp/admin/partner-keys/{id}"), Value::Null);
        let expect = ask(foreign.id());
        expect.problem(404, "not-found");
        for id in [&*format!("pak_{MISSING}"), "nonsense", org] {
            assert_eq!(bare(&ask(id)), bare(&expect), "{method} {id}");
        }
    }
    let kept = foreign.get(&format!("/cp/orgs/{org}")).expect(200);
    assert_eq!(kept["status"], "ready");
    assert_eq!(foreign.all(&format!("/cp/orgs/{org}/workspaces")).len(), 1);
    foreign.get("/cp/whoami").expect(200);
    for path in [
        format!("/cp/admin/orgs/{missing}"),
        "/cp/admin/orgs/nonsense".to_owned(),
        format!("/cp/admin/partners/ptn_{MISSING}"),
        format!("/cp/admin/partner-keys/pak_{MISSING}"),
    ] {
        server.admin().get(&path).problem(404, "not-found");
    }
}

fn a_partners_keys_share_its_orgs(store: Store) {
    let server = store.start();
    let creator = server.key(&["orgs:create"]);
    let org = creator.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let reader = server.key_of(creator.partner_id(), &["orgs:list"]);
    assert_eq!(reader.all("/cp/orgs"), std::slice::from_ref(&org));
    assert_eq!(reader.get(&format!("/cp/orgs/{id}")).expect(200), org);
    reader.get(&format!("/cp/orgs/{id}/workspaces")).expect(200);
    let biller = server.key_of(creator.partner_id(), &["billing:read"]);
    biller.get(&format!("/cp/orgs/{id}/billing")).expect(200);
    let builder = server.key_of(creator.partner_id(), &["workspaces:create"]);
    let workspaces = format!("/cp/orgs/{id}/workspaces");
    builder.post(&workspaces, json!({"name": "QA"})).expect(201);
    let deleter = server.key_of(creator.partner_id(), &["orgs:delete"]);
    deleter.delete(&format!("/cp/orgs/{id}")).expect(202);
}

fn without_orgs_list_a_key_sees_the_orgs_that_it_created(store: Store) {
    let server = store.start();
    let creator = server.key(&["orgs:create"]);
    let sister = server.key_of(creator.partner_id(), &["orgs:create"]);
    let org = creator.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    for rest in ["", "/status"] {
        let path = format!("/cp/orgs/{id}{rest}");
        creator.get(&path).expect(200);
        sister.get(&path).problem(404, "not-found");
    }
    creator.get("/cp/orgs").problem(403, "insufficient-scope");
    // With the list it sees them all, at once.
    let wider = json!({"scopes": ["orgs:create", "orgs:list"]});
    server.admin().patch(&sister.path(), wider).expect(200);
    assert_eq!(sister.get(&format!("/cp/orgs/{id}")).expect(200), org);
}

fn unrelated_keys_never_see_each_others_orgs(store: Store) {
    let server = store.start();
    let (one, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    assert_ne!(one.partner_id(), other.partner_id());
    let of_one = one.org("acme-one");
    let of_other = other.org("acme-other");
    assert_eq!(one.all("/cp/orgs"), std::slice::from_ref(&of_one));
    assert_eq!(other.all("/cp/orgs"), std::slice::from_ref(&of_other));
    for query in ["slug=acme-other", "status=ready", "slug=acme-one"] {
        for org in one.all(&format!("/cp/orgs?{query}")) {
            assert_eq!(org, of_one, "{query}");
        }
    }
    let admin = server.admin();
    assert_eq!(admin.all("/cp/admin/orgs"), [of_other, of_one.clone()]);
    let of_partner = format!("/cp/admin/orgs?partner_id={}", one.partner_id());
    assert_eq!(admin.all(&of_partner), [of_one]);
    one.get(&format!("/cp/orgs?partner_id={}", other.partner_id()))
        .problem(400, "invalid-request");
}
