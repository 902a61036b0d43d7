//! Lists: paged without loss or repetition, and strict about what they are asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Store};

on_both_engines![
    every_list_is_paged_without_loss_or_repetition,
    new_items_do_not_shift_the_pages,
    a_cursor_is_bound_to_its_list_and_filters,
    bad_parameters_are_refused,
];

/// Walks through a list and gives the ids in the order in which they came.
#[track_caller]
fn walk(caller: &Caller, path: &str, limit: Option<usize>) -> Vec<String> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let asked = limit.map_or(String::new(), |limit| format!("&limit={limit}"));
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = caller.get(&format!(
            "{path}{joint}{}{cursor}",
            asked.trim_start_matches('&')
        ));
        let page = page.expect(200);
        let items = page["data"].as_array().unwrap();
        ids.extend(
            items
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        let more = page["has_more"].as_bool().unwrap();
        assert_eq!(page["next_cursor"].is_string(), more, "{page:#}");
        if !more {
            assert_eq!(page["next_cursor"], Value::Null);
            assert!(items.len() <= limit.unwrap_or(20));
            break;
        }
        // On a busy machine the time for a page of a filtered log may end before it is full.
        let may_be_short = path.contains("audit-events?");
        assert!(items.len() == limit.unwrap_or(20) || may_be_short);
        let text = page["next_cursor"].as_str().unwrap();
        let base64url = |b: u8| b.is_ascii_alphanumeric() || b"-_=".contains(&b);
        assert!(text.bytes().all(base64url), "{text}");
        cursor = format!("{}cursor={text}", if asked.is_empty() { "" } else { "&" });
    }
    assert!(
        ids.is_sorted_by(|one, next| one > next),
        "newest first, none twice: {ids:?}"
    );
    ids
}

fn every_list_is_paged_without_loss_or_repetition(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let partner = server.partner(json!({}));
    let key = server.key_of(&partner, ALL_SCOPES);
    let first = key.org("acme-corp");
    let org = first["id"].as_str().unwrap();
    let mut created: [BTreeSet<String>; 4] = Default::default();
    for n in 0..45 {
        let responses = [
            admin.post("/cp/admin/partners", json!({"name": "x", "plan": "free"})),
            admin.post(
                "/cp/admin/partner-keys",
                json!({"name": "x", "scopes": ["orgs:list"], "partner_id": partner}),
            ),
            key.post(
                "/cp/orgs",
                json!({"name": "x", "slug": format!("o-{n}"), "plan": "free"}),
            ),
            key.post(
                &format!("/cp/orgs/{org}/workspaces"),
                json!({"name": "x", "slug": format!("w-{n}")}),
            ),
        ];
        for (created, response) in created.iter_mut().zip(responses) {
            created.insert(response.expect(201)["id"].as_str().unwrap().to_owned());
        }
    }
    let [partners, keys, orgs, workspaces] = created;
    let of_partner = format!("/cp/admin/partner-keys?partner_id={partner}");
    let of_org = format!("/cp/orgs/{org}/workspaces");
    for (caller, path, created) in [
        (&admin, "/cp/admin/partners", &partners),
        (&admin, &*of_partner, &keys),
        (&key, "/cp/admin/partner-keys", &keys),
        (&admin, "/cp/admin/orgs", &orgs),
        (&key, "/cp/orgs", &orgs),
        (&key, &*of_org, &workspaces),
    ] {
        for limit in [None, Some(7), Some(23), Some(46), Some(100)] {
            let ids = walk(caller, path, limit);
            // One of each was there before.
            assert_eq!(ids.len(), 46, "{path} by {limit:?}");
            assert!(
                created.iter().all(|id| ids.contains(id)),
                "{path} by {limit:?}"
            );
        }
    }
    let events = walk(&key, "/cp/audit-events?action=org.create", Some(10));
    assert_eq!(events.len(), 46);
    let events = walk(
        &admin,
        "/cp/admin/audit-events?action=partner.create",
        Some(45),
    );
    assert_eq!(events.len(), 46);
}

fn new_items_do_not_shift_the_pages(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let make = || server.partner(json!({}));
    let created: Vec<String> = (0..6).map(|_| make()).collect();
    let list = "/cp/admin/partners?limit=3";
    let first = admin.get(list).expect(200);
    make();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = admin.get(&format!("{list}&cursor={cursor}")).expect(200);
    let ids = |page: &Value| -> Vec<String> {
        let items = page["data"].as_array().unwrap().iter();
        items
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all: Vec<String> = created.into_iter().rev().collect();
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    assert_eq!(second["has_more"], false);
}

fn a_cursor_is_bound_to_its_list_and_filters(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for slug in ["acme-one", "acme-two", "acme-three"] {
        key.org(slug);
    }
    let cursor = |path: &str| {
        let page = key.get(path).expect(200);
        page["next_cursor"].as_str().unwrap().to_owned()
    };
    let all = cursor("/cp/orgs?limit=1");
    let ready = cursor("/cp/orgs?limit=1&status=ready");
    key.get(&format!("/cp/orgs?cursor={all}&limit=2"))
        .expect(200);
    key.get(&format!("/cp/orgs?status=ready&cursor={ready}"))
        .expect(200);
    for path in [
        format!("/cp/orgs?cursor={ready}"),
        format!("/cp/orgs?status=ready&cursor={all}"),
        format!("/cp/orgs?status=suspended&cursor={ready}"),
        format!("/cp/orgs?status=ready&label=a:b&cursor={ready}"),
        format!("/cp/admin/partner-keys?cursor={all}"),
        format!("/cp/audit-events?cursor={all}"),
        format!("/cp/orgs?cursor={}", &all[1..]),
        "/cp/orgs?cursor=".to_owned(),
        "/cp/orgs?cursor=nonsense".to_owned(),
        "/cp/orgs?cursor=%C3%A9".to_owned(),
    ] {
        key.get(&path).problem(400, "invalid-cursor");
    }
    // What is no text is no cursor of anything.
    key.get("/cp/orgs?cursor=%00%FF")
        .problem(400, "invalid-request");
}

fn bad_parameters_are_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    for path in [
        "/cp/orgs",
        "/cp/admin/partner-keys",
        "/cp/audit-events",
        &format!("/cp/orgs/{id}/workspaces"),
    ] {
        for limit in ["1", "100", "020"] {
            assert_eq!(
                key.get(&format!("{path}?limit={limit}")).status,
                200,
                "{path} {limit}"
            );
        }
        for query in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=",
            "limit=ten",
            "limit=1.5",
            "limit=1&limit=1",
            "limit=99999999999999999999999",
            "offset=3",
            "Limit=3",
            "unknown",
            "=x",
        ] {
            let response = key.get(&format!("{path}?{query}"));
            response.problem(400, "invalid-request");
            response.event();
        }
    }
    for path in [
        "/cp/whoami",
        &format!("/cp/orgs/{id}"),
        &format!("/cp/orgs/{id}/status"),
        &format!("/cp/orgs/{id}/billing"),
    ] {
        key.get(&format!("{path}?verbose=1"))
            .problem(400, "invalid-request");
    }
    for path in [
        "/cp/admin/audit-events?since=yesterday",
        "/cp/admin/audit-events?action=org.fly",
        "/cp/admin/audit-events?outcome=odd",
        "/cp/admin/partners?plan=free",
        "/cp/admin/partner-keys?status=odd",
        "/cp/admin/partner-keys?partner_id=x",
        "/cp/admin/orgs?status=odd",
    ] {
        server.admin().get(path).problem(400, "invalid-request");
    }
    let refused = key.delete(&format!("/cp/orgs/{id}?dry_run=true"));
    refused.problem(400, "invalid-request");
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}")).expect(200)["status"],
        "ready"
    );
}
