//! The audit log: one event for every call by a known credential, and who may read which.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Response, Server, Store, tokens};

on_both_engines![
    every_call_by_a_known_credential_leaves_exactly_one_event,
    calls_without_a_known_credential_leave_none,
    calls_at_the_same_time_leave_one_event_each,
    a_partner_reads_its_own_events_alone,
    a_refused_change_leaves_its_event_and_nothing_else,
    events_are_filtered,
];

fn of(server: &Server, actor: &str) -> Vec<Value> {
    server.events(&format!("key_id={actor}"))
}

/// A series of calls of all kinds, with the actions that they stand for.
fn series(key: &Caller, org: &str) -> Vec<(&'static str, Response)> {
    let one = format!("/cp/orgs/{org}");
    let ask =
        |action, method: &str, path: &str, body: Value| (action, key.call(method, path, body));
    let org = json!({"name": "a", "slug": "acme-two", "plan": "free"});
    vec![
        ask("credential.read", "GET", "/cp/whoami", Value::Null),
        ask("org.create", "POST", "/cp/orgs", org.clone()),
        ask("org.create", "POST", "/cp/orgs", org),
        ask("org.create", "POST", "/cp/orgs", json!({})),
        ask("org.list", "GET", "/cp/orgs", Value::Null),
        ask("org.list", "GET", "/cp/orgs?limit=0", Value::Null),
        ask("org.list", "GET", "/cp/orgs?cursor=x", Value::Null),
        ask("org.read", "GET", &one, Value::Null),
        ask("org.read", "GET", "/cp/orgs/nonsense", Value::Null),
        ask("org.status", "GET", &format!("{one}/status"), Value::Null),
        ask(
            "workspace.create",
            "POST",
            &format!("{one}/workspaces"),
            json!({"name": "QA"}),
        ),
        ask(
            "workspace.create",
            "POST",
            &format!("{one}/workspaces"),
            json!({"name": "QA"}),
        ),
        ask(
            "workspace.list",
            "GET",
            &format!("{one}/workspaces"),
            Value::Null,
        ),
        ask(
            "billing.read",
            "GET",
            &format!("{one}/billing"),
            Value::Null,
        ),
        ask("key.list", "GET", "/cp/admin/partner-keys", Value::Null),
        ask("key.read", "GET", &key.path(), Value::Null),
        ask("key.update", "PATCH", &key.path(), json!({"name": "mine"})),
        ask("key.create", "POST", "/cp/admin/partner-keys", json!({})),
        ask("partner.list", "GET", "/cp/admin/partners", Value::Null),
        ask("audit.list", "GET", "/cp/audit-events", Value::Null),
        ("org.create", key.send("POST", "/cp/orgs", &[], b"{")),
        (
            "org.create",
            key.send("POST", "/cp/orgs", &[("content-type", "text/plain")], b"x"),
        ),
        (
            "org.create",
            key.send("POST", "/cp/orgs", &[], "x".repeat(70_000).as_bytes()),
        ),
        ask("", "PUT", "/cp/orgs", Value::Null),
        ask("", "GET", "/cp/nothing", Value::Null),
        ask("org.delete", "DELETE", &one, Value::Null),
        ask("key.revoke", "DELETE", &key.path(), Value::Null),
        ask("credential.read", "GET", "/cp/whoami", Value::Null),
        ask("", "GET", "/cp/nothing", Value::Null),
    ]
}

fn every_call_by_a_known_credential_leaves_exactly_one_event(store: Store) {
    let server = store.start();
    let creator = server.key(ALL_SCOPES);
    let org = creator.org("acme-corp");
    let key = server.key_of(creator.partner_id(), ALL_SCOPES);
    let calls = series(&key, org["id"].as_str().unwrap());
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
        assert!(
            action.is_empty() || event["action"] == *action,
            "{action}: {event:#}"
        );
        assert_eq!(
            format!("{} ", event["method"].as_str().unwrap()),
            response.asked[..=response.asked.find(' ').unwrap()]
        );
    }
}

fn calls_without_a_known_credential_leave_none(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let before = server.events("");
    let token = tokens::well_formed("mol_pk_");
    let unrelated = [
        server.anon(),
        server.with_token(&token),
        server.with_token("nonsense"),
        server.with_token(&tokens::mistyped(key.token())),
    ];
    for unrelated in &unrelated {
        for path in [
            "/cp/whoami",
            "/cp/orgs",
            "/cp/nothing",
            "/healthz",
            "/nothing",
        ] {
            assert_eq!(unrelated.get(path).header_if_any("audit-event-id"), None);
        }
        let response = unrelated.post("/cp/orgs", json!({}));
        assert_eq!(response.header_if_any("audit-event-id"), None);
    }
    let after = server.events("");
    let new: Vec<_> = after
        .iter()
        .filter(|event| !before.contains(event))
        .collect();
    assert_eq!(new.len(), 1, "{new:#?}");
    assert_eq!(new[0]["action"], "audit.list");
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
