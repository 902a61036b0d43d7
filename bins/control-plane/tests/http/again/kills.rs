//! A server that is killed while duplicates run.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use super::org;
use crate::kit::{ALL_SCOPES, Caller, Response, Store, eventually, tokens::random};

on_both_engines![after_a_kill_a_call_that_is_sent_again_has_one_effect,];

const KILLS: usize = 5;
const THREADS: usize = 4;
/// How many responses there are before a kill.
const ENOUGH: usize = 8;

fn send(key: &Caller, slug: &str) -> Option<Response> {
    let headers = [("idempotency-key", slug)];
    let body = org(slug).to_string();
    key.try_send("POST", "/cp/orgs", &headers, body.as_bytes())
        .ok()
}

/// Sends each call, over and over the same ones as the others do, until the server is gone.
fn work(key: &Caller, name: &str, answered: &AtomicUsize) -> Vec<(String, Response)> {
    let mut said = Vec::new();
    for n in 0.. {
        let slug = format!("{name}-{n}");
        for _ in 0..2 {
            match send(key, &slug) {
                Some(response) if response.status == 201 => {
                    said.push((slug.clone(), response));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Some(response) => drop(response.problem(409, "idempotency-in-progress")),
                None => return said,
            }
        }
    }
    said
}

fn after_a_kill_a_call_that_is_sent_again_has_one_effect(store: Store) {
    let mut server = store.start();
    let limit = json!({"limit": 100_000_000, "window_seconds": 1});
    let key = server.issue(json!({"scopes": ALL_SCOPES, "rate_limit": limit}));
    let mut slugs = BTreeSet::new();
    for kill in 0..KILLS {
        let caller = server.with_token(key.token());
        let name = format!("k{kill}");
        let answered = AtomicUsize::new(0);
        let said: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|_| scope.spawn(|| work(&caller, &name, &answered)))
                .collect();
            // By answers, not by the clock: a slow machine does as much as a fast one.
            eventually("the duplicates are well under way", || {
                (answered.load(Ordering::Relaxed) >= ENOUGH).then_some(())
            });
            thread::sleep(Duration::from_millis(random() % 40));
            server.kill();
            let all = workers.into_iter().flat_map(|it| it.join().unwrap());
            all.collect()
        });
        server = store.start();
        let caller = server.with_token(key.token());
        for (slug, before) in &said {
            let again = send(&caller, slug).unwrap();
            assert_eq!(again.status, 201, "{again:#?}");
            assert_eq!(again.body, before.body, "{slug}");
        }
        // Those whose responses were lost were made before or are made now, and never twice. A thread is
        // at most a few calls ahead of what was acknowledged.
        let known: BTreeSet<_> = said.iter().map(|(slug, _)| slug).collect();
        for n in 0..known.len() + 2 * THREADS {
            let slug = format!("k{kill}-{n}");
            send(&caller, &slug).unwrap().expect(201);
            slugs.insert(slug);
        }
    }
    let orgs = server.with_token(key.token()).all("/cp/orgs");
    let created: BTreeSet<_> = orgs
        .iter()
        .map(|org| org["slug"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(created.len(), orgs.len());
    assert_eq!(created, slugs);
    let events = format!("key_id={}&action=org.create&outcome=success", key.id());
    let targets: BTreeSet<_> = server
        .events(&events)
        .iter()
        .map(|event| event["target"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(targets.len(), orgs.len());
}
