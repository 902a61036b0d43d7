//! Connections: what is sent in odd ways or not at all, how long it is waited for, and how many there may
//! be.

pub mod bounds;
mod heads;

use std::{thread, time::Duration};

use serde_json::Value;

use crate::kit::{ALL_SCOPES, Caller, Server, Store, Wire, eventually, within};

on_both_engines![
    a_client_that_sends_no_more_is_answered,
    a_call_whose_client_hung_up_is_audited,
    a_body_that_is_framed_wrongly_is_refused_and_audited_once,
];

/// A request whose head this is, before the empty line.
pub fn head(key: &Caller, first: &str) -> String {
    let token = key.token();
    format!("{first} HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer {token}\r\n")
}

/// A creation of an org, with a body of its own length.
pub fn creation(key: &Caller, slug: &str) -> String {
    let body = format!(r#"{{"name": "Acme", "slug": "{slug}", "plan": "free"}}"#);
    let head = head(key, "POST /cp/orgs");
    let length = body.len();
    format!("{head}Content-Length: {length}\r\n\r\n{body}")
}

/// The events of a key, but for its making.
pub fn events_of(server: &Server, key: &Caller) -> Vec<Value> {
    server.events(&format!("key_id={}", key.id()))
}

fn a_client_that_sends_no_more_is_answered(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    // Once the input has ended after the request, once at the same time.
    for (n, pause) in [0, 50].into_iter().enumerate() {
        let mut wire = Wire::new(&server);
        wire.send(creation(&key, &format!("half-{n}")));
        thread::sleep(Duration::from_millis(pause));
        wire.half_close();
        let response = wire.response();
        assert_eq!(response.status, 201, "{response:?}");
        assert!(response.header_if_any("audit-event-id").is_some());
        wire.expect_end();
    }
    let mut wire = Wire::new(&server);
    let whoami = head(&key, "GET /cp/whoami") + "\r\n";
    wire.send(whoami.repeat(3)).half_close();
    for _ in 0..3 {
        assert_eq!(wire.response().status, 200);
    }
    wire.expect_end();
    assert_eq!(events_of(&server, &key).len(), 5);
}

fn a_call_whose_client_hung_up_is_audited(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let lists = ["/cp/orgs", "/cp/audit-events", "/cp/whoami"];
    for n in 0..20 {
        let first = format!("GET {}", lists[n % lists.len()]);
        Wire::new(&server).send(head(&key, &first) + "\r\n");
        Wire::new(&server).send(creation(&key, &format!("gone-{n}")));
    }
    eventually("all calls have their events", || {
        (events_of(&server, &key).len() == 40).then_some(())
    });
    assert_eq!(key.all("/cp/orgs").len(), 20);
}

fn a_body_that_is_framed_wrongly_is_refused_and_audited_once(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let post = head(&key, "POST /cp/orgs");
    let body = r#"{"name": "Äcme", "slug": "acme", "plan": "free"}"#;
    // The length counted in characters: a byte is left over, which is no request.
    let mut wire = Wire::new(&server);
    let length = body.chars().count();
    wire.send(format!("{post}Content-Length: {length}\r\n\r\n{body}"));
    wire.response().problem(400, "invalid-request");
    wire.half_close();
    wire.response().problem(400, "invalid-request");
    wire.expect_end();
    // Longer than what comes, and the client sends no more.
    let mut wire = Wire::new(&server);
    wire.send(format!("{post}Content-Length: 1000\r\n\r\n{body}"));
    wire.half_close();
    let response = wire.response();
    response.problem(400, "invalid-request");
    assert_eq!(response.header("connection"), "close", "{response:?}");
    wire.expect_end();
    for chunks in ["x\r\n{}\r\n0\r\n\r\n", "2\r\n{}}\r\n0\r\n\r\n", "2\n{}"] {
        let mut wire = Wire::new(&server);
        wire.send(format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}"));
        let response = wire.response();
        response.problem(400, "invalid-request");
        assert_eq!(response.header("connection"), "close", "{response:?}");
        wire.expect_end();
    }
    // In chunks as they should be, and another request behind them.
    let mut wire = Wire::new(&server);
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\nA: b\r\n\r\n");
    let next = head(&key, "GET /cp/orgs") + "\r\n";
    wire.send(format!(
        "{post}Transfer-Encoding: chunked\r\n\r\n{chunked}{next}"
    ));
    assert_eq!(wire.response().status, 201);
    assert_eq!(wire.response().json()["data"].as_array().unwrap().len(), 1);
    let statuses: Vec<_> = events_of(&server, &key)
        .iter()
        .map(|event| event["status_code"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [400, 400, 400, 400, 400, 201, 200]);
}

#[test]
fn an_unfinished_request_times_out_on_every_request_of_a_connection() {
    let store = Store::sqlite();
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let whoami = head(&key, "GET /cp/whoami") + "\r\n";
    let post = head(&key, "POST /cp/orgs") + "Content-Length: 10\r\n\r\n{";
    thread::scope(|scope| {
        for earlier in 0..2 {
            let (server, whoami, post) = (&server, &whoami, &post);
            scope.spawn(move || {
                let mut wire = Wire::new(server);
                for _ in 0..earlier {
                    assert_eq!(wire.send(whoami).response().status, 200);
                }
                wire.send("GET /cp/whoami HTTP/1.1\r\nHost:");
                // A byte now and then is no reason to wait for longer.
                for _ in 0..4 {
                    thread::sleep(Duration::from_secs(1));
                    wire.send("c");
                }
                within(Duration::from_secs(40), "the head times out", || {
                    Some(wire.response())
                })
                .problem(408, "invalid-request");
                wire.expect_end();
            });
            scope.spawn(move || {
                let mut wire = Wire::new(server);
                for _ in 0..earlier {
                    assert_eq!(wire.send(whoami).response().status, 200);
                }
                wire.send(post);
                let response = wire.response();
                response.problem(400, "invalid-request");
                assert!(response.header_if_any("audit-event-id").is_some());
                wire.expect_end();
            });
        }
        // A connection without a request, even one that never had any, is kept for longer than that.
        scope.spawn(|| {
            let (mut idle, mut fresh) = (Wire::new(&server), Wire::new(&server));
            assert_eq!(idle.send(&whoami).response().status, 200);
            thread::sleep(Duration::from_secs(20));
            for wire in [&mut idle, &mut fresh] {
                assert_eq!(wire.send(&whoami).response().status, 200);
            }
        });
    });
}
