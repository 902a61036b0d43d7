//! A server that is killed at any moment has lost nothing that it acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Server, Store, tokens::random, within};

on_both_engines![acknowledged_changes_survive_twenty_kills,];

const KILLS: usize = 20;
const THREADS: usize = 3;
/// Longer than a lease, which is how long an org may wait for whoever was killed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the server has said that it did.
#[derive(Default)]
struct Acknowledged {
    created: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

/// Creates orgs, and deletes some of them, until the server is gone.
fn work(key: &Caller, name: &str) -> Acknowledged {
    let mut said = Acknowledged::default();
    for n in 0.. {
        let body = json!({"name": "a", "slug": format!("{name}-{n}"), "plan": "free"}).to_string();
        let Ok(response) = key.try_send("POST", "/cp/orgs", &[], body.as_bytes()) else {
            break;
        };
        let id = response.expect(201)["id"].as_str().unwrap().to_owned();
        said.created.insert(id.clone());
        if n % 5 == 0 {
            match key.try_send("DELETE", &format!("/cp/orgs/{id}"), &[], b"") {
                Ok(response) => assert_eq!(response.status, 202, "{response:#?}"),
                Err(_) => break,
            }
            said.deleted.insert(id);
        }
    }
    said
}

fn acknowledged_changes_survive_twenty_kills(store: Store) {
    let mut server = store.start();
    let limit = json!({"limit": 100_000_000, "window_seconds": 1});
    let key = server.issue(json!({"scopes": ALL_SCOPES, "rate_limit": limit}));
    let mut said = Acknowledged::default();
    let mut kill = 0;
    // On a busy machine a server may be killed before it has done anything, so there can be more.
    while kill < KILLS || said.created.len() <= KILLS || said.deleted.len() <= 3 {
        assert!(kill < 5 * KILLS, "too little was done");
        kill += 1;
        let caller = server.with_token(key.token());
        let actual: Vec<Acknowledged> = thread::scope(|scope| {
            let caller = &caller;
            let workers: Vec<_> = (0..THREADS)
                .map(|thread| scope.spawn(move || work(caller, &format!("k{kill}-{thread}"))))
                .collect();
            thread::sleep(Duration::from_millis(20 + random() % 230));
            server.kill();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .collect()
        });
        for actual in actual {
            said.created.extend(actual.created);
            said.deleted.extend(actual.deleted);
        }
        server = store.start();
    }
    check(&server, &said);
}

/// How often an action of this outcome is recorded, by its target.
fn counts(server: &Server, query: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in server.events(query) {
        let target = event["target"]["id"].as_str().unwrap().to_owned();
        *counts.entry(target).or_default() += 1;
    }
    counts
}

fn check(server: &Server, said: &Acknowledged) {
    let admin = server.admin();
    let all = within(TIMEOUT, "no org is pending any more", || {
        let mut all = admin.all("/cp/admin/orgs");
        let settled = |org: &Value| org["status"] == "ready";
        if !all.iter().all(settled) {
            return None;
        }
        all.extend(admin.all("/cp/admin/orgs?status=deleted"));
        Some(all)
    });
    let status: BTreeMap<&str, &str> = all
        .iter()
        .map(|org| (org["id"].as_str().unwrap(), org["status"].as_str().unwrap()))
        .collect();
    assert_eq!(status.len(), all.len());
    for id in &said.created {
        assert!(
            status.contains_key(id.as_str()),
            "{id} was acknowledged and is gone"
        );
    }
    for id in &said.deleted {
        assert_eq!(status[id.as_str()], "deleted", "{id}");
    }
    // A change and its event are there together or not at all.
    let once = |ids: &mut dyn Iterator<Item = &str>| -> BTreeMap<String, usize> {
        ids.map(|id| (id.to_owned(), 1)).collect()
    };
    let created = counts(server, "action=org.create&outcome=success");
    assert_eq!(created, once(&mut status.keys().copied()));
    let gone = || {
        status
            .iter()
            .filter(|(_, status)| **status == "deleted")
            .map(|(id, _)| *id)
    };
    assert_eq!(counts(server, "action=org.deleted"), once(&mut gone()));
    assert_eq!(
        counts(server, "action=org.delete&outcome=success"),
        once(&mut gone())
    );
    let provisioned = counts(server, "action=org.provisioned");
    for (id, status) in &status {
        let count = provisioned.get(*id).copied().unwrap_or(0);
        assert!(
            count == 1 || count == 0 && *status == "deleted",
            "{id}: {count} times"
        );
    }
}
