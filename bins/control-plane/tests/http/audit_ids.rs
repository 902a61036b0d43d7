//! Events by their ids, and by the ids of their requests.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Response, Store};

on_both_engines![
    an_event_is_read_by_the_id_that_its_answer_named,
    an_event_that_is_not_visible_is_not_found,
    the_events_of_a_request_are_found_by_its_id,
];

fn an_event_is_read_by_the_id_that_its_answer_named(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = json!({"name": "a", "slug": "acme-corp", "plan": "free"});
    for response in [
        key.post("/cp/orgs", org.clone()),
        key.post("/cp/orgs", org),
        key.get("/cp/whoami"),
        key.get("/cp/orgs?limit=0"),
    ] {
        let id = response.event();
        for (reader, path) in [
            (&key, format!("/cp/audit-events/{id}")),
            (&server.admin(), format!("/cp/admin/audit-events/{id}")),
        ] {
            let event = reader.get(&path).expect(200);
            assert_eq!(event["id"], id);
            assert_eq!(event["request_id"], response.header("x-request-id"));
            assert!(
                server
                    .events(&format!("key_id={}", key.id()))
                    .contains(&event),
                "{event:#}"
            );
        }
    }
    let path = format!("/cp/audit-events/{}?limit=1", key.get("/cp/whoami").event());
    key.get(&path).problem(400, "invalid-request");
}

fn an_event_that_is_not_visible_is_not_found(store: Store) {
    let server = store.start();
    let (one, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let (own, second) = (one.org("acme-one"), one.org("acme-two"));
    let org_of = |org: &Value| org["id"].as_str().unwrap().to_owned();
    let bound = server.issue(json!({"scopes": ["audit:read"], "org_id": org_of(&own)}));
    let admin = server.admin();
    let path = format!("/cp/admin/orgs/{}/suspend", org_of(&own));
    let by_admin = admin.post(&path, Value::Null).event().to_owned();
    let about_second = one.get(&format!("/cp/orgs/{}", org_of(&second)));
    let about_own = one.get(&format!("/cp/orgs/{}", org_of(&own)));
    let about_none = one.get("/cp/whoami");
    let read = |reader: &Caller, id: &str| reader.get(&format!("/cp/audit-events/{id}"));
    let problem = |response: &Response| {
        let mut problem = response.problem(404, "not-found");
        problem.as_object_mut().unwrap().remove("request_id");
        problem.as_object_mut().unwrap().remove("instance");
        problem
    };
    let missing = problem(&read(&one, "evt_01HXKM4000000000000000000A"));
    for (reader, id) in [
        (&one, by_admin.as_str()),
        (&other, about_own.event()),
        (&bound, about_second.event()),
        (&bound, about_none.event()),
        (&one, "evt_01hxkm4000000000000000000a"),
        (&one, "nonsense"),
    ] {
        assert_eq!(problem(&read(reader, id)), missing, "{id}");
    }
    read(&bound, about_own.event()).expect(200);
    one.get(&format!("/cp/admin/audit-events/{}", about_own.event()))
        .problem(403, "not-permitted");
}

fn the_events_of_a_request_are_found_by_its_id(store: Store) {
    let server = store.start();
    let (one, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let ours = one.get("/cp/whoami");
    let named = [("x-request-id", "build-17_a.b")];
    let theirs = one.send("GET", "/cp/whoami", &named, b"");
    let again = one.send("GET", "/cp/orgs", &named, b"");
    let foreign = other.send("GET", "/cp/whoami", &named, b"");
    let found = |caller: &Caller, path: &str, id: &str| -> Vec<String> {
        let events = caller.all(&format!("{path}?request_id={id}"));
        let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
        events.iter().map(id).collect()
    };
    let id = ours.header("x-request-id");
    assert_eq!(found(&one, "/cp/audit-events", id), [ours.event()]);
    assert!(found(&other, "/cp/audit-events", id).is_empty());
    assert_eq!(
        found(&one, "/cp/audit-events", "build-17_a.b"),
        [again.event(), theirs.event()]
    );
    assert_eq!(
        found(&server.admin(), "/cp/admin/audit-events", "build-17_a.b"),
        [foreign.event(), again.event(), theirs.event()]
    );
    for bad in ["", "a%20b", &"x".repeat(129)] {
        let path = format!("/cp/audit-events?request_id={bad}");
        one.get(&path).problem(400, "invalid-request");
    }
}
