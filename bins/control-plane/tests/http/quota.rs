//! What a partner's keys share: the count of its orgs, and its rate limit.

use std::{collections::BTreeMap, sync::Barrier, thread};

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Response, Server, Store};

on_both_engines![
    racing_does_not_pass_the_quota,
    racing_for_one_slug_creates_one_org,
    a_deleted_org_frees_its_place,
    whoami_tells_how_much_of_each_quota_is_used,
    the_rate_limit_of_a_partner_holds_its_keys_together,
];

fn org(slug: &str) -> Value {
    json!({"name": slug, "slug": slug, "plan": "free"})
}

/// What all get who ask at the same moment, by turns with two keys of one partner.
fn race(
    server: &Server,
    partner: &str,
    threads: usize,
    slug: fn(usize) -> String,
) -> Vec<Response> {
    let keys = [(); 2].map(|()| server.key_of(partner, ALL_SCOPES));
    let start = Barrier::new(threads);
    let (keys, start) = (&keys, &start);
    thread::scope(|scope| {
        let ask = |n: usize| {
            move || {
                start.wait();
                keys[n % 2].post("/cp/orgs", org(&slug(n)))
            }
        };
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(ask(n))).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

fn statuses(responses: &[Response]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for response in responses {
        *counts.entry(response.status).or_default() += 1;
    }
    counts
}

fn racing_does_not_pass_the_quota(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({"max_orgs": 5}));
    let responses = race(&server, &partner, 32, |n| format!("race-{n}"));
    assert_eq!(statuses(&responses), BTreeMap::from([(201, 5), (409, 27)]));
    for response in responses.iter().filter(|response| response.status == 409) {
        response.problem(409, "org-quota-exceeded");
        response.event();
    }
    let path = format!("/cp/admin/orgs?partner_id={partner}");
    assert_eq!(server.admin().all(&path).len(), 5);
    let refused = server.events("action=org.create&outcome=denied");
    assert_eq!(refused.len(), 27);
}

fn racing_for_one_slug_creates_one_org(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({}));
    let responses = race(&server, &partner, 16, |_| "acme-corp".to_owned());
    assert_eq!(statuses(&responses), BTreeMap::from([(201, 1), (409, 15)]));
    for response in responses.iter().filter(|response| response.status == 409) {
        response.problem(409, "slug-taken");
    }
}

fn a_deleted_org_frees_its_place(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({"max_orgs": 1}));
    let key = server.key_of(&partner, ALL_SCOPES);
    let sister = server.key_of(&partner, ALL_SCOPES);
    let first = key.org("acme-one");
    for caller in [&key, &sister] {
        let response = caller.post("/cp/orgs", org("acme-two"));
        response.problem(409, "org-quota-exceeded");
    }
    let id = first["id"].as_str().unwrap();
    assert_eq!(key.delete(&format!("/cp/orgs/{id}")).status, 202);
    key.wait(id, "deleted");
    sister.post("/cp/orgs", org("acme-two")).expect(201);
    key.post("/cp/orgs", org("acme-three"))
        .problem(409, "org-quota-exceeded");
    let path = format!("/cp/admin/partners/{partner}");
    server
        .admin()
        .patch(&path, json!({"max_orgs": null}))
        .expect(200);
    key.post("/cp/orgs", org("acme-three")).expect(201);
}

fn the_rate_limit_of_a_partner_holds_its_keys_together(store: Store) {
    let server = store.start();
    let limit = json!({"limit": 6, "window_seconds": 3600});
    let partner = server.partner(json!({"rate_limit": limit}));
    let keys = [(); 2].map(|()| server.key_of(&partner, ALL_SCOPES));
    let unrelated = server.key(ALL_SCOPES);
    for n in 0..6 {
        let response = keys[n % 2].get("/cp/orgs");
        response.expect(200);
        let policy = response.header("ratelimit-policy");
        assert_eq!(policy, "\"key\";q=600;w=60, \"partner\";q=6;w=3600");
        let left = format!("\"partner\";r={};", 5 - n);
        assert!(
            response.header("ratelimit").contains(&left),
            "{response:#?}"
        );
    }
    for key in &keys {
        let response = key.get("/cp/orgs");
        let problem = response.problem(429, "rate-limited");
        assert_eq!(problem["violated-policies"], json!(["partner"]));
        assert!(response.header("retry-after").parse::<u64>().unwrap() > 60);
    }
    unrelated.get("/cp/orgs").expect(200);
    // The budget is the partner's: a new key of it has none, and a key can still end itself.
    let third = server.key_of(&partner, ALL_SCOPES);
    third.get("/cp/orgs").problem(429, "rate-limited");
    assert_eq!(keys[0].delete(&keys[0].path()).status, 204);
}

fn whoami_tells_how_much_of_each_quota_is_used(store: Store) {
    let server = store.start();
    let request = json!({"name": "Acme", "plan": "partner", "max_orgs": 5});
    let partner = server
        .admin()
        .post("/cp/admin/partners", request)
        .expect(201);
    let partner = partner["id"].as_str().unwrap();
    let key = server.issue(json!({
        "scopes": ["orgs:create"], "partner_id": partner, "max_live_orgs": 3,
    }));
    let sister = server.key_of(partner, ALL_SCOPES);
    key.post("/cp/orgs", org("acme-one")).expect(201);
    sister.org("acme-two");
    let quotas =
        |caller: &crate::kit::Caller| caller.get("/cp/whoami").expect(200)["quotas"].clone();
    let of_partner = json!({"name": "partner_orgs", "limit": 5, "used": 2});
    let of_key = json!({"name": "key_live_orgs", "limit": 3, "used": 1});
    assert_eq!(quotas(&key), json!([of_partner, of_key]));
    assert_eq!(quotas(&sister), json!([of_partner]));
    assert_eq!(quotas(&server.admin()), json!([]));
    assert_eq!(quotas(&server.key(ALL_SCOPES)), json!([]));
    // A key that acts within one org does not learn of the others.
    let orgs = sister.all("/cp/orgs");
    let bound = server.issue(json!({"scopes": ["orgs:list"], "org_id": orgs[0]["id"]}));
    assert_eq!(quotas(&bound), json!([]));
}
