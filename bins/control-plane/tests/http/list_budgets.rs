//! Lists cost a bounded amount of work: for the caller, for others, and whatever a filter names.

use std::{
    io::Write as _,
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use audit::{Action, Actor, Event, Outcome};
use serde_json::{Value, json};
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use testkit::build::Build;

use crate::kit::{ALL_SCOPES, Caller, Server, Store, eventually};

on_both_engines![
    a_filter_that_matches_nothing_is_answered_page_by_page,
    invisible_and_missing_rows_are_answered_alike,
    lists_that_match_nothing_leave_others_alone,
    too_many_lists_of_one_key_are_refused_with_a_time_to_wait,
    a_list_whose_client_hangs_up_has_one_event,
];

/// How many events a history has: more than a page may cost.
const HISTORY: usize = 40 * 500;

/// Gives a key a long history in which nothing has failed, and whose oldest event is the only revocation.
fn long_history(store: &Store, key: &Caller) {
    let actor = Actor::PartnerKey {
        id: key.id().parse().unwrap(),
        partner_id: key.partner_id().parse().unwrap(),
    };
    let build = Build::new();
    let mut events = (0..HISTORY).map(|n| Event {
        outcome: Outcome::Success,
        action: if n == 0 {
            Action::KeyRevoke
        } else {
            Action::OrgList
        },
        ..build.event_by(actor)
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let db = SqlDatabase::open(&store.database_url().parse().unwrap()).unwrap();
        loop {
            let some: Vec<Event> = events.by_ref().take(500).collect();
            if some.is_empty() {
                break;
            }
            let written: Result<(), StoreError> = db
                .write(move |tx| {
                    some.iter()
                        .try_for_each(|event| tx.event_record(event).map(drop))
                })
                .await;
            written.unwrap();
        }
    });
}

fn key_with_history(store: &Store, server: &Server) -> Caller {
    let limit = json!({"limit": 1_000_000, "window_seconds": 60});
    let key = server.issue(json!({"scopes": ALL_SCOPES, "rate_limit": limit}));
    long_history(store, &key);
    key
}

/// Walks to the end of a list: what it holds, and in how many pages.
#[track_caller]
fn walked(caller: &Caller, path: &str) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = caller.get(&format!("{path}{cursor}")).expect(200);
        items.extend(page["data"].as_array().unwrap().clone());
        pages += 1;
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        let Some(next) = page["next_cursor"].as_str() else {
            return (items, pages);
        };
        cursor = format!("&cursor={next}");
    }
}

fn a_filter_that_matches_nothing_is_answered_page_by_page(store: Store) {
    let server = store.start();
    let key = key_with_history(&store, &server);
    let admin = server.admin();
    let of_key = format!("key_id={}", key.id());
    for (caller, path) in [
        (&key, "/cp/audit-events?outcome=failed".to_owned()),
        (&key, format!("/cp/audit-events?outcome=failed&{of_key}")),
        (&admin, "/cp/admin/audit-events?outcome=failed".to_owned()),
    ] {
        let first = caller.get(&path).expect(200);
        assert_eq!(first["data"], json!([]), "{path}");
        assert_eq!(first["has_more"], true, "{path}");
        let (found, pages) = walked(caller, &path);
        assert!(found.is_empty(), "{path}: {found:?}");
        assert!((2..80).contains(&pages), "{pages} pages of {path}");
    }
    let rare = "/cp/audit-events?action=key.revoke";
    let (found, pages) = walked(&key, rare);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["action"], "key.revoke");
    assert!(pages > 1);
    let page = key.get(rare).expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/cp/audit-events?action=org.list&cursor={cursor}");
    key.get(&path).problem(400, "invalid-cursor");
}

fn invisible_and_missing_rows_are_answered_alike(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    // Were it walked, it would not end with the first page.
    let foreign = key_with_history(&store, &server);
    let org = foreign.org("acme-corp");
    let admin = server.admin().get("/cp/whoami").expect(200);
    let nothing = json!({"data": [], "has_more": false, "next_cursor": null});
    for filter in [
        format!("key_id={}", foreign.id()),
        format!("key_id={}&outcome=failed", foreign.id()),
        "key_id=pak_00000000000000000000000000".to_owned(),
        format!("key_id={}", admin["credential"]["id"].as_str().unwrap()),
        "key_id=adm_00000000000000000000000000".to_owned(),
        format!("org_id={}", org["id"].as_str().unwrap()),
        "org_id=org_00000000000000000000000000".to_owned(),
    ] {
        let page = key.get(&format!("/cp/audit-events?{filter}")).expect(200);
        assert_eq!(page, nothing, "{filter}");
    }
    let page = key.get(&format!("/cp/audit-events?key_id={}", key.id()));
    assert_ne!(page.expect(200)["data"], json!([]), "its own");
}

fn lists_that_match_nothing_leave_others_alone(store: Store) {
    let server = store.start();
    let attacker = key_with_history(&store, &server);
    let victim = server.key(ALL_SCOPES);
    let org = victim.org("acme-corp");
    let status = format!("/cp/orgs/{}/status", org["id"].as_str().unwrap());
    let (stop, pages) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..48 {
            let attacker = attacker.clone();
            let (stop, pages) = (&stop, &pages);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let response = attacker.get("/cp/audit-events?outcome=failed");
                    assert!([200, 429].contains(&response.status), "{response:?}");
                    pages.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        eventually("the attack runs", || {
            (pages.load(Ordering::Relaxed) >= 48).then_some(())
        });
        for _ in 0..20 {
            let doomed = server.key(ALL_SCOPES);
            for (what, caller, method, path, expect) in [
                ("a poll", &victim, "GET", &*status, 200),
                ("a list", &victim, "GET", "/cp/orgs", 200),
                ("a revocation", &doomed, "DELETE", &*doomed.path(), 204),
            ] {
                let began = Instant::now();
                let response = caller.send(method, path, &[], b"");
                let took = began.elapsed();
                assert_eq!(response.status, expect, "{what}: {response:?}");
                assert!(took < Duration::from_secs(3), "{what} took {took:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn too_many_lists_of_one_key_are_refused_with_a_time_to_wait(store: Store) {
    let server = store.start();
    let key = key_with_history(&store, &server);
    let refused = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..64 {
            let (key, refused) = (key.clone(), &refused);
            scope.spawn(move || {
                for _ in 0..50 {
                    let response = key.get("/cp/audit-events?outcome=failed");
                    if response.status == 429 {
                        response.problem(429, "rate-limited");
                        assert_eq!(response.header("retry-after"), "1");
                        assert!(!response.event().is_empty());
                        refused.store(true, Ordering::Relaxed);
                    }
                    if refused.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
    });
    assert!(refused.into_inner());
    let metrics = server.anon().get("/metrics").body;
    let count = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name}: {metrics}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(count("molecule_lists_refused_total") > 0.0);
    assert!(count("molecule_list_pages_cut_total") > 0.0);
    assert!(count("molecule_lists_waiting") >= 0.0);
}

fn a_list_whose_client_hangs_up_has_one_event(store: Store) {
    let server = store.start();
    let key = key_with_history(&store, &server);
    let calls: Vec<String> = (0..40).map(|n| format!("hang-up-{n}")).collect();
    thread::scope(|scope| {
        for id in &calls {
            let (server, key) = (&server, &key);
            scope.spawn(move || {
                let mut stream = TcpStream::connect(server.address()).unwrap();
                let request = format!(
                    "GET /cp/audit-events?outcome=failed HTTP/1.1\r\nHost: x\r\n\
                     Authorization: Bearer {}\r\nX-Request-Id: {id}\r\n\r\n",
                    key.token()
                );
                stream.write_all(request.as_bytes()).unwrap();
                // Some have their turn by then, some wait for it, some are refused.
                thread::sleep(Duration::from_millis(150));
            });
        }
    });
    let recorded = eventually("every call has an event", || {
        let events = server.events(&format!("key_id={}&action=audit.list", key.id()));
        let ids = events.iter().map(|event| event["request_id"].to_string());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        (ids.len() >= calls.len()).then_some(ids)
    });
    let mut expected: Vec<String> = calls.iter().map(|id| json!(id).to_string()).collect();
    expected.sort();
    assert_eq!(recorded, expected);
}
