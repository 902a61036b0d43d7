//! The audit log as somebody follows it: each event once, and none that changes.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use audit::{Actor, AuditVisibility, Event, EventFilter};
use ids::{EventId, PageRequest, TypedId as _, Ulid};
use serde_json::{Value, json};
use storage::SqlDatabase;
use stores::{Database as _, prelude::*};
use testkit::{build::Build, tail::Tail};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::kit::{ALL_SCOPES, Caller, Script, Server, Store, eventually};

on_both_engines![
    a_reader_that_follows_the_log_sees_every_event_once_and_unchanged,
    exports_one_after_another_miss_nothing_and_repeat_nothing,
    a_folded_refusal_is_listed_once_its_second_is_over,
    what_the_command_line_does_names_the_user_and_the_host,
    events_that_are_too_old_are_deleted_in_the_background,
];

/// Calls of all kinds until it is told to stop: polls, creations, held polls, and refusals by a limit.
fn calls(server: &Server, number: usize, stop: &AtomicBool) {
    let key = server.key(ALL_SCOPES);
    let limit = json!({"limit": 1, "window_seconds": 3600});
    let limited = server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit}));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if stop.load(Relaxed) {
                    return;
                }
                let slug = format!("followed-{number}-{n}");
                let org = json!({"name": "a", "slug": slug, "plan": "free"});
                let org = key.post("/cp/orgs", org).expect(201);
                let path = format!("/cp/orgs/{}/status", org["id"].as_str().unwrap());
                key.send("GET", &path, &[("prefer", "wait=3")], b"")
                    .expect(200);
            }
        });
        while !stop.load(Relaxed) {
            key.get("/cp/orgs").expect(200);
            limited.get("/cp/orgs");
            thread::sleep(Duration::from_millis(10));
        }
    });
}

/// Does something while two servers, on PostgreSQL, or one have calls.
fn under_load<T>(store: &Store, act: impl FnOnce(&Server) -> T) -> T {
    // Each org takes longer than the lag.
    let script = Script::new(store, "sleep 2.5");
    let mut servers = vec![script.start(store, &[])];
    if store.database_url().starts_with("postgres") {
        servers.push(script.start(store, &[]));
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, server) in servers.iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || calls(server, number, stop));
        }
        let done = act(&servers[0]);
        stop.store(true, Relaxed);
        done
    })
}

fn a_reader_that_follows_the_log_sees_every_event_once_and_unchanged(store: Store) {
    let report = under_load(&store, |server| {
        let admin = server.admin();
        let mut tail = Tail::new(|query| {
            admin
                .get(&format!("/cp/admin/audit-events{query}"))
                .expect(200)
        });
        let end = Instant::now() + Duration::from_secs(8);
        while Instant::now() < end {
            tail.step();
            thread::sleep(Duration::from_millis(100));
        }
        tail.finish()
    });
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.events > 100, "{}", report.events);
}

fn exports_one_after_another_miss_nothing_and_repeat_nothing(store: Store) {
    let export = |arguments: &[&str]| -> Vec<Value> {
        let output = store.run(&[&["audit", "export"], arguments].concat(), &[]);
        assert!(output.status.success(), "{output:#?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let events = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        events.collect()
    };
    let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
    let (by_time, by_id, last) = under_load(&store, |_| {
        let (mut by_time, mut by_id) = (Vec::new(), Vec::new());
        let mut since = "2026-01-01".to_owned();
        for _ in 0..4 {
            // The very moment: the export waits until all is there.
            let until = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
            by_time.extend(export(&["--since", &since, "--until", &until]));
            since = until;
            let last = by_id.last().map(id);
            let after = last.iter().flat_map(|last| ["--after", last.as_str()]);
            by_id.extend(export(&after.collect::<Vec<_>>()));
        }
        (by_time, by_id, since)
    });
    let all = export(&["--until", &last]);
    assert_eq!(by_time, all);
    thread::sleep(Duration::from_millis(2100));
    let all = export(&[]);
    assert!(!by_id.is_empty() && all.starts_with(&by_id));
}

fn a_folded_refusal_is_listed_once_its_second_is_over(store: Store) {
    let server = store.start();
    let limit = json!({"limit": 1, "window_seconds": 3600});
    let key: Caller = server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit}));
    let path = format!(
        "/cp/admin/audit-events?outcome=denied&key_id={}&limit=100",
        key.id()
    );
    let mut counts: BTreeMap<String, Value> = BTreeMap::new();
    let mut refused = 0;
    let end = Instant::now() + Duration::from_secs(4);
    let mut named = String::new();
    while Instant::now() < end {
        let response = key.get("/cp/orgs");
        if response.status == 429 {
            refused += 1;
            named = response.event().to_owned();
        }
        let list = server.admin().get(&path).expect(200);
        for event in list["data"].as_array().unwrap() {
            assert_eq!(event["details"]["open"], Value::Null, "{event:#}");
            let id = event["id"].as_str().unwrap().to_owned();
            let before = counts.insert(id, event.clone());
            assert!(before.is_none_or(|before| before == *event), "{event:#}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert!(counts.len() >= 2, "{counts:#?}");
    let count = |event: &Value| event["details"]["count"].as_u64().unwrap();
    eventually("all are counted", || {
        let events = server.events(&format!("outcome=denied&key_id={}", key.id()));
        (events.iter().map(count).sum::<u64>() == refused).then_some(())
    });
    let last = format!("/cp/admin/audit-events/{named}");
    assert_eq!(server.admin().get(&last).expect(200)["status_code"], 429);
}

fn what_the_command_line_does_names_the_user_and_the_host(store: Store) {
    let server = store.start();
    let created = store.run(&["admin-key", "create"], &[]);
    assert!(created.status.success(), "{created:#?}");
    let text = String::from_utf8(created.stdout).unwrap();
    let id = text.split_whitespace().next().unwrap().to_owned();
    assert!(
        store
            .run(&["admin-key", "revoke", &id], &[])
            .status
            .success()
    );
    for action in ["admin_key.create", "admin_key.revoke"] {
        let events = server.events(&format!("action={action}"));
        let event = events.iter().find(|event| event["target"]["id"] == *id);
        let event = event.unwrap();
        assert_eq!(event["actor"]["type"], "system");
        for name in ["system_user", "host"] {
            assert_ne!(event["details"][name].as_str().unwrap(), "", "{event:#}");
        }
    }
}

fn events_that_are_too_old_are_deleted_in_the_background(store: Store) {
    drop(store.start());
    let now = OffsetDateTime::now_utc();
    let event = |hours: i64| -> Event {
        let at = now - time::Duration::hours(hours);
        let ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap();
        Event {
            id: EventId::from_ulid(Ulid::from_parts(ms, 7)),
            occurred_at: at,
            ..Build::new().event_by(Actor::System { partner_id: None })
        }
    };
    // More than a part of a pruning has.
    let old: Vec<Event> = (49..149).map(event).collect();
    let young = event(47);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .worker_threads(1)
        .build()
        .unwrap();
    let url = store.database_url();
    runtime.block_on(async {
        let db = SqlDatabase::open(&url.parse().unwrap()).unwrap();
        for event in old.iter().chain([&young]) {
            db.append(Box::new(event.clone())).await.unwrap();
        }
        let page = PageRequest::new(1000, None);
        let all = EventFilter::all(AuditVisibility::All);
        let there = db.read(move |view| view.events(&all, page)).await.unwrap();
        assert!(there.items.len() > old.len());
    });
    let server = store.start_with(&[("MOLECULE_CP_AUDIT_RETENTION_DAYS", "2")]);
    let record = eventually("it is recorded", || {
        server.events("action=audit.prune").pop()
    });
    assert_eq!(record["details"]["deleted"], old.len(), "{record:#}");
    assert_eq!(record["actor"]["type"], "system");
    let left = server.events("");
    assert_eq!(left[0]["id"], young.id.to_string());
    assert_eq!(server.events("action=audit.prune"), [record]);
}
