//! A standby takes the place of the primary while callers call.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{http::Client, postgres::Server as Postgres};

use crate::kit::{ALL_SCOPES, Store, within};

/// For the server to answer again once there is a primary, without a restart of its own.
const LIMIT: Duration = Duration::from_secs(10);
const CALLERS: usize = 4;

/// The slugs of the orgs that callers were told of, and answers that are none of those expected.
#[derive(Debug, Default)]
struct Calls {
    ended: AtomicBool,
    created: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

impl Calls {
    fn create_orgs(&self, caller: usize, client: &Client) {
        for n in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let slug = format!("org-{caller}-{n}");
            let request = json!({"name": slug, "slug": slug, "plan": "standard"});
            match client.post("/cp/orgs", &request) {
                Ok(response) if response.status == 201 => self.created.lock().unwrap().push(slug),
                Ok(response) if response.status == 503 => thread::sleep(Duration::from_millis(20)),
                other => self.wrong.lock().unwrap().push(format!("{other:?}")),
            }
        }
    }

    fn count(&self) -> usize {
        self.created.lock().unwrap().len()
    }

    #[track_caller]
    fn go_on(&self) {
        let before = self.count();
        within(LIMIT, "orgs are created again", || {
            (self.count() > before + CALLERS).then_some(())
        });
    }
}

#[test]
fn a_promoted_standby_is_found_and_nothing_that_was_answered_is_gone() {
    let Some(primary) = Postgres::start() else {
        return;
    };
    let url = primary.new_database();
    let standby = primary.standby();
    // A change is answered when the standby has it.
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("SELECT pg_reload_conf()");
    let both = url.replace(
        &format!("127.0.0.1:{}", primary.port()),
        &format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port()),
    );
    let store = Store::at(both);
    let server = store.start();
    let key = server.issue(json!({
        "scopes": ALL_SCOPES,
        "rate_limit": {"limit": 100_000_000, "window_seconds": 1},
    }));
    let client = Client::new(&format!("http://{}", server.address()), key.token());
    let calls = Calls::default();
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (calls, client) = (&calls, &client);
            scope.spawn(move || calls.create_orgs(caller, client));
        }
        calls.go_on();
        primary.crash();
        within(LIMIT, "the server is not ready", || {
            (server.anon().get("/readyz").status == 503).then_some(())
        });
        standby.promote();
        let promoted = Instant::now();
        calls.go_on();
        within(LIMIT, "the server is ready", || {
            (server.anon().get("/readyz").status == 200).then_some(())
        });
        println!("right again {:?} after the promotion", promoted.elapsed());
        // It stands first in the URL, and must not be taken for the primary.
        primary.demote();
        primary.restart();
        calls.go_on();
        thread::sleep(Duration::from_secs(2));
        calls.go_on();
        calls.ended.store(true, Ordering::Relaxed);
    });
    let wrong = calls.wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let orgs = key.all("/cp/orgs");
    let is_there = |slug: &str| orgs.iter().any(|org| org["slug"] == *slug);
    for slug in calls.created.into_inner().unwrap() {
        assert!(is_there(&slug), "{slug} was created and is gone");
    }
}
