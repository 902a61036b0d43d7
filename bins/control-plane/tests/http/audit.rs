//! The audit log: one event for every call by a known credential, and who may read which.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Response, Server, Store};

on_both_engines![
    every_odd_call_by_a_known_credential_leaves_exactly_one_event,
    calls_at_the_same_time_leave_one_event_each,
    a_partner_reads_its_own_events_alone,
    a_refused_change_leaves_its_event_and_nothing_else,
    events_are_filtered,
];

fn of(server: &Server, actor: &str) -> Vec<Value> {
    server.events(&format!("key_id={actor}"))
}

/// Calls that fail before or beside their operation, with the actions that they stand for.
fn odd_calls(key: &Caller) -> Vec<(&'static str, Response)> {
    let post = |kind, body: &[u8]| key.send("POST", "/cp/orgs", &[("content-type", kind)], body);
    let large = "x".repeat(70_000);
    vec![
        ("org.create", key.post("/cp/orgs", json!({}))),
        ("org.create", post("application/json", b"{")),
        ("org.create", post("text/plain", b"x")),
        ("org.create", post("application/json", large.as_bytes())),
        ("org.list", key.get("/cp/orgs?limit=0")),
        ("org.list", key.get("/cp/orgs?cursor=x")),
        ("org.read", key.get("/cp/orgs/nonsense")),
        ("request.unrouted", key.call("PUT", "/cp/orgs", Value::Null)),
        ("request.unrouted", key.get("/cp/nothing")),
        ("key.revoke", key.delete(&key.path())),
        ("credential.read", key.get("/cp/whoami")),
        ("request.unrouted", key.get("/cp/nothing")),
    ]
}

fn every_odd_call_by_a_known_credential_leaves_exactly_one_event(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let calls = odd_calls(&key);
    let events = of(&server, key.id());
    assert_eq!(events.len(), calls.len());
    for (event, (action, response)) in events.iter().zip(&calls) {
        assert_eq!(event["id"], response.event(), "{response:#?}");
        assert_eq!(event["status_code"], response.status, "{response:#?}");
        assert_eq!(event["request_id"], response.header("x-request-id"));
        let outcome = if response.status < 400 {
            "success"
        } else {
            "denied"
        };
        assert_eq!(event["outcome"], outcome, "{event:#}");
        assert_eq!(event["action"], *action, "{event:#}");
        assert_eq!(
            format!("{} ", event["method"].as_str().unwrap()),
            response.asked[..=response.asked.find(' ').unwrap()]
        );
    }
}

fn calls_at_the_same_time_leave_one_event_each(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let named: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|thread| {
                let key = key.clone();
                scope.spawn(move || {
                    let mut named = Vec::new();
                    for n in 0..15 {
                        let org =
                            json!({"name": "a", "slug": format!("o-{thread}-{n}"), "plan": "free"});
                        named.push(key.post("/cp/orgs", org).event().to_owned());
                        named.push(key.get("/cp/orgs/nonsense").event().to_owned());
                        named.push(key.get("/cp/whoami").event().to_owned());
                    }
                    named
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let events = of(&server, key.id());
    let ids: BTreeSet<_> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events.len(), named.len());
    assert_eq!(ids, named.into_iter().collect());
}

fn a_partner_reads_its_own_events_alone(store: Store) {
    let server = store.start();
    let (one, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let sister = server.key_of(one.partner_id(), ALL_SCOPES);
    let org = sister.org("acme-one");
    let foreign = other.org("acme-other");
    let id = org["id"].as_str().unwrap();
    // What an admin does to the partner's things is the admin's.
    let admin = server.admin();
    admin
        .post(&format!("/cp/admin/orgs/{id}/suspend"), Value::Null)
        .expect(200);
    admin.patch(&one.path(), json!({"name": "new"})).expect(200);
    one.get(&format!("/cp/orgs/{}", foreign["id"].as_str().unwrap()))
        .problem(404, "not-found");
    let events = one.all("/cp/audit-events");
    for event in &events {
        assert_eq!(event["actor"]["partner_id"], one.partner_id(), "{event:#}");
        assert_ne!(event["actor"]["type"], "admin", "{event:#}");
    }
    let actors: BTreeSet<_> = events
        .iter()
        .map(|event| event["actor"]["id"].as_str())
        .collect();
    assert_eq!(
        actors,
        BTreeSet::from([None, Some(one.id()), Some(sister.id())])
    );
    let systems: Vec<_> = events
        .iter()
        .filter(|event| event["actor"]["type"] == "system")
        .collect();
    assert_eq!(systems.len(), 1, "{systems:#?}");
    assert_eq!(systems[0]["target"]["id"], id);
    // Asking for somebody else's gives none, and no hint.
    let admin_id = one.resource()["created_by"].as_str().unwrap();
    for query in [
        format!("key_id={}", other.id()),
        format!("key_id={admin_id}"),
        format!(
            "org_id={}&action=org.provisioned",
            foreign["id"].as_str().unwrap()
        ),
        "action=partner.create".to_owned(),
        "action=org.suspend".to_owned(),
    ] {
        assert_eq!(
            one.all(&format!("/cp/audit-events?{query}")),
            [Value::Null; 0],
            "{query}"
        );
    }
    let of_partner = format!("/cp/audit-events?partner_id={}", one.partner_id());
    one.get(&of_partner).problem(400, "invalid-request");
}

fn a_refused_change_leaves_its_event_and_nothing_else(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    key.org("acme-corp");
    let request = json!({"name": "a", "slug": "acme-corp", "plan": "free", "labels": {"a": "b"}});
    let refused = key.post("/cp/orgs", request);
    refused.problem(409, "slug-taken");
    assert_eq!(key.all("/cp/orgs?label=a:b"), [Value::Null; 0]);
    let events = server.events(&format!(
        "key_id={}&action=org.create&outcome=denied",
        key.id()
    ));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["id"], refused.event());
    assert_eq!(events[0]["status_code"], 409);
}

fn events_are_filtered(store: Store) {
    let server = store.start();
    let (one, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let org = one.org("acme-one");
    other.org("acme-other");
    let id = org["id"].as_str().unwrap();
    one.get("/cp/orgs?limit=0").problem(400, "invalid-request");
    let all = server.events("");
    let member = |event: &Value, pointer: &str| event.pointer(pointer).cloned().unwrap();
    let check = |query: &str, fits: &dyn Fn(&Value) -> bool| {
        let expect: Vec<_> = all.iter().filter(|event| fits(event)).collect();
        let mut found = server.events(query);
        found.retain(|event| all.contains(event));
        assert!(!expect.is_empty(), "{query} would find nothing");
        assert_eq!(found.iter().collect::<Vec<_>>(), expect, "{query}");
    };
    check(&format!("key_id={}", one.id()), &|event| {
        member(event, "/actor/id") == one.id()
    });
    let admin = one.resource()["created_by"].clone();
    check(&format!("key_id={}", admin.as_str().unwrap()), &|event| {
        member(event, "/actor/id") == admin
    });
    check(&format!("partner_id={}", one.partner_id()), &|event| {
        member(event, "/actor/partner_id") == one.partner_id()
    });
    check(&format!("org_id={id}"), &|event| {
        member(event, "/target/id") == id
    });
    check("action=org.create", &|event| {
        event["action"] == "org.create"
    });
    check("outcome=denied", &|event| event["outcome"] == "denied");
    check(
        &format!("action=org.status&key_id={}", other.id()),
        &|event| event["action"] == "org.status" && member(event, "/actor/id") == other.id(),
    );
    let times: Vec<_> = all
        .iter()
        .map(|event| {
            let text = event["occurred_at"].as_str().unwrap();
            time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
                .unwrap()
        })
        .collect();
    let middle = all[all.len() / 2]["occurred_at"].as_str().unwrap();
    let instant = times[all.len() / 2];
    let at = |event: &Value| times[all.iter().position(|other| other == event).unwrap()];
    let found = server.events(&format!("since={middle}"));
    for event in all.iter().filter(|event| at(event) > instant) {
        assert!(found.contains(event), "since: {event:#}");
    }
    let found = server.events(&format!("until={middle}"));
    assert!(found.iter().all(|event| at(event) <= instant), "until");
    for event in all.iter().filter(|event| at(event) < instant) {
        assert!(found.contains(event), "until: {event:#}");
    }
}
