//! Pipelines: jobs that create, wait and delete under quotas, beside whatever else changes the same rows.
//!
//! The test kit fails the whole program when PostgreSQL has detected a deadlock meanwhile.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Response, Server, Store};

on_both_engines![
    pipelines_go_on_beside_every_other_change,
    a_key_is_revoked_at_once_while_eight_jobs_create_with_it,
];

/// How long all of them go on.
const DURATION: Duration = Duration::from_secs(3);

/// A fixture with one partner under a quota.
struct Fixture {
    server: Server,
    admin: Caller,
    partner: String,
    end: Instant,
    /// Makes slugs of their own.
    created: AtomicUsize,
    /// How many orgs became ready.
    ready: AtomicUsize,
}

impl Fixture {
    fn new(store: &Store) -> Self {
        let server = store.start_with(&[
            ("MOLECULE_CP_ADMIN_RATE_LIMIT", "1000000/1"),
            ("MOLECULE_CP_WEBHOOK_ALLOW_PRIVATE", "true"),
        ]);
        store.refuse_second_updates();
        let partner = server.partner(json!({"max_orgs": 60}));
        Self {
            admin: server.admin(),
            server,
            partner,
            end: Instant::now() + DURATION,
            created: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
        }
    }

    /// A key of the partner with these members beside the usual ones.
    fn key(&self, more: Value) -> Caller {
        let mut request = json!({
            "scopes": ALL_SCOPES, "partner_id": self.partner,
            "rate_limit": {"limit": 1_000_000, "window_seconds": 1},
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        self.server.issue(request)
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.end
    }

    fn org(&self, more: Value) -> Value {
        let n = self.created.fetch_add(1, Ordering::Relaxed);
        let mut request = json!({"name": "a job", "slug": format!("job-{n}"), "plan": "free"});
        for (name, value) in more.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        request
    }
}

/// A response that is not the server's fault.
#[track_caller]
fn fine(response: Response) -> Response {
    assert!(response.status < 429, "{response:#?}");
    response
}

fn id(response: &Response) -> Option<String> {
    (response.status == 201).then(|| response.json()["id"].as_str().unwrap().to_owned())
}

/// Creates, waits and deletes.
fn job(fixture: &Fixture, key: &Caller, more: Value, headers: &[(&str, &str)]) {
    let mut n = 0;
    while fixture.goes_on() {
        n += 1;
        let body = fixture.org(more.clone()).to_string();
        let call = format!("{}-{n}", fixture.created.load(Ordering::Relaxed));
        let mut all = headers.to_vec();
        for (name, value) in &mut all {
            if *name == "Idempotency-Key" {
                *value = &call;
            }
        }
        let created = fine(key.send("POST", "/cp/orgs", &all, body.as_bytes()));
        let Some(id) = id(&created) else { continue };
        let wait = [("Prefer", "wait=5")];
        let status = fine(key.send("GET", &format!("/cp/orgs/{id}/status"), &wait, b""));
        if status.json()["status"] == "ready" {
            fixture.ready.fetch_add(1, Ordering::Relaxed);
        }
        fine(key.delete(&format!("/cp/orgs/{id}")));
    }
}

/// Whatever else partners do to their orgs.
fn partners(fixture: &Fixture, key: &Caller) {
    while fixture.goes_on() {
        let leased = fixture.org(json!({"ttl_seconds": 60, "labels": {"run": "7"}}));
        let Some(id) = id(&fine(key.post("/cp/orgs", leased))) else {
            fine(key.delete("/cp/orgs?label=run:7"));
            continue;
        };
        let path = format!("/cp/orgs/{id}");
        fine(key.post(&format!("{path}/renew"), json!({"ttl_seconds": 90})));
        fine(key.post(&format!("{path}/workspaces"), json!({"name": "more"})));
        fine(key.get("/cp/orgs?label=run:7"));
        fine(key.delete("/cp/orgs?label=run:7"));
    }
}

/// Changes of the partner, of its keys and of what its orgs cost.
fn operator(fixture: &Fixture, keys: &[&Caller]) {
    let mut n = 0;
    while fixture.goes_on() {
        n += 1;
        let partner = format!("/cp/admin/partners/{}", fixture.partner);
        fine(
            fixture
                .admin
                .patch(&partner, json!({"max_orgs": 60 + n % 2})),
        );
        for key in keys {
            let quota = json!({"max_live_orgs": 20 + n % 2});
            fine(fixture.admin.patch(&key.path(), quota));
        }
        let list = format!("/cp/admin/orgs?limit=5&partner_id={}", fixture.partner);
        for org in fine(fixture.admin.get(&list)).json()["data"]
            .as_array()
            .unwrap()
        {
            let path = format!("/cp/admin/orgs/{}", org["id"].as_str().unwrap());
            let plan = ["free", "standard"][n % 2];
            let subscription = json!({"subscription": {"status": "past_due"}, "plan": plan});
            fine(
                fixture
                    .admin
                    .put(&format!("{path}/subscription"), subscription),
            );
            for verb in ["suspend", "resume", "retry"] {
                fine(fixture.admin.post(&format!("{path}/{verb}"), json!({})));
            }
        }
    }
}

/// Keys that come and go with their orgs.
fn keys(fixture: &Fixture) {
    while fixture.goes_on() {
        let key = fixture.key(json!({"on_revoke": "delete", "max_live_orgs": 3}));
        for _ in 0..2 {
            fine(key.post("/cp/orgs", fixture.org(json!({}))));
        }
        assert_eq!(fine(key.delete(&key.path())).status, 204);
    }
}

/// Webhook endpoints that come and go, and listen to all of it.
fn webhooks(fixture: &Fixture, key: &Caller) {
    let nobody = json!({"url": "http://127.0.0.1:9/", "events": ["org.ready", "org.deleted"]});
    while fixture.goes_on() {
        let created = fine(key.post("/cp/webhook-endpoints", nobody.clone()));
        let Some(id) = id(&created) else { continue };
        let path = format!("/cp/webhook-endpoints/{id}");
        fine(key.post(&format!("{path}/test"), json!({})));
        fine(key.post(&format!("{path}/rotate-secret"), json!({})));
        thread::sleep(Duration::from_millis(50));
        fine(key.delete(&path));
    }
}

fn pipelines_go_on_beside_every_other_change(store: Store) {
    let fixture = Fixture::new(&store);
    let fixture = &fixture;
    let counted = fixture.key(json!({"max_live_orgs": 20}));
    let other = fixture.key(json!({"max_live_orgs": 20}));
    let again = [("Idempotency-Key", "")];
    let unlimited = fixture.key(json!({}));
    thread::scope(|scope| {
        for key in [&counted, &counted, &other] {
            scope.spawn(|| job(fixture, key, json!({"labels": {"job": "a"}}), &[]));
        }
        for key in [&counted, &other] {
            scope.spawn(|| job(fixture, key, json!({"external_id": "build"}), &again));
        }
        scope.spawn(|| job(fixture, &unlimited, json!({}), &[]));
        scope.spawn(|| partners(fixture, &unlimited));
        scope.spawn(|| operator(fixture, &[&counted, &other]));
        scope.spawn(|| keys(fixture));
        scope.spawn(|| webhooks(fixture, &unlimited));
    });
    let ready = fixture.ready.load(Ordering::Relaxed);
    assert!(ready >= 6, "{ready} orgs became ready");
    let log = fixture.server.log();
    assert!(!log.contains("second update"), "{log}");
}

/// Ten times, each with a new key.
fn a_key_is_revoked_at_once_while_eight_jobs_create_with_it(store: Store) {
    let fixture = Fixture::new(&store);
    for n in 0..10 {
        let quota = if n % 2 == 0 { json!(1000) } else { Value::Null };
        let key = &fixture.key(json!({"max_live_orgs": quota, "on_revoke": "delete"}));
        let revoked = &AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while revoked.load(Ordering::Relaxed) == 0 {
                        let response = key.post("/cp/orgs", fixture.org(json!({})));
                        assert!([201, 401, 409].contains(&response.status), "{response:#?}");
                    }
                });
            }
            thread::sleep(Duration::from_millis(100));
            let began = Instant::now();
            let response = fixture.admin.delete(&key.path());
            let took = began.elapsed();
            revoked.store(1, Ordering::Relaxed);
            assert_eq!(response.status, 204, "{response:#?}");
            // A machine that is busy with other tests takes its time; whoever starves waits for seconds.
            assert!(took < Duration::from_secs(2), "{took:?}");
        });
    }
}
