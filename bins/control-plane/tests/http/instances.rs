//! The list of instances that serve one database, and the settings that they must share.

use std::{
    collections::BTreeSet,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::kit::{Server, Store, eventually};

on_both_engines![
    every_live_instance_is_listed_newest_first,
    an_instance_that_stops_leaves_at_once_and_a_killed_one_after_five_seconds,
    a_paused_instance_is_not_listed_and_comes_back,
    another_admin_key_beside_a_live_instance_is_refused_until_that_has_stopped,
    another_pepper_beside_a_live_instance_is_refused,
];

const OTHER_ADMIN_KEY: &str = "another-admin-key-of-the-operator-for-tests-1";

/// The instances that a server lists.
pub fn list(server: &Server) -> Vec<Value> {
    server.admin().all("/cp/admin/instances")
}

/// The ids of the instances that a server lists.
pub fn ids(server: &Server) -> BTreeSet<String> {
    let list = list(server);
    let id = |instance: &Value| instance["id"].as_str().unwrap().to_owned();
    list.iter().map(id).collect()
}

fn every_live_instance_is_listed_newest_first(store: Store) {
    let first = store.start();
    let [older] = &list(&first)[..] else {
        panic!("{:#?}", list(&first))
    };
    let second = store.start();
    let listed = list(&first);
    assert_eq!(listed.len(), 2, "{listed:#?}");
    assert_eq!(listed[1]["id"], older["id"]);
    assert!(listed[0]["id"].as_str() > listed[1]["id"].as_str());
    assert_eq!(ids(&second), ids(&first));
    for instance in &listed {
        assert!(instance["id"].as_str().unwrap().starts_with("ins_"));
        assert_eq!(instance["version"], env!("CARGO_PKG_VERSION"));
        assert!(!instance["host"].as_str().unwrap().is_empty());
        assert!(instance["started_at"].as_str() <= instance["last_seen_at"].as_str());
        assert!(instance["clock_skew_ms"].as_i64().unwrap().abs() < 1000);
    }
    let page = first.admin().get("/cp/admin/instances?limit=1").expect(200);
    assert_eq!(page["data"][0]["id"], listed[0]["id"]);
    assert_eq!(page["has_more"], true);
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = format!("/cp/admin/instances?limit=1&cursor={cursor}");
    let page = first.admin().get(&next).expect(200);
    assert_eq!(page["data"][0]["id"], listed[1]["id"]);
    assert_eq!(page["has_more"], false);
    // Both follow what changes, and tell how far they have come.
    let key = first.key(&["orgs:list"]);
    assert_eq!(first.admin().delete(&key.path()).status, 204);
    let before = listed[0]["revision"].as_u64().unwrap();
    eventually("both have the revocation", || {
        let listed = list(&second);
        let has_it = |instance: &Value| {
            instance["revision"].as_u64().unwrap() > before
                && instance["lag_ms"].as_u64().unwrap() < 2000
        };
        listed.iter().all(has_it).then_some(())
    });
    let metrics = second.anon().get("/metrics").body;
    assert!(metrics.contains("molecule_instances_live 2"), "{metrics}");
}

fn an_instance_that_stops_leaves_at_once_and_a_killed_one_after_five_seconds(store: Store) {
    let first = store.start();
    let (stopping, mut killed) = (store.start(), store.start());
    assert_eq!(ids(&first).len(), 3);
    let (status, _) = stopping.terminate(Duration::from_secs(20));
    assert!(status.success());
    assert_eq!(ids(&first).len(), 2);
    killed.kill();
    let began = Instant::now();
    assert_eq!(ids(&first).len(), 2, "it may be alive");
    eventually("the killed one is gone", || {
        (ids(&first).len() == 1).then_some(())
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

fn a_paused_instance_is_not_listed_and_comes_back(store: Store) {
    let (first, second) = (store.start(), store.start());
    let both = ids(&first);
    second.pause();
    eventually("the paused one is gone", || {
        (ids(&first).len() == 1).then_some(())
    });
    second.resume();
    eventually("it comes back under its id", || {
        (ids(&first) == both).then_some(())
    });
    second.admin().get("/cp/whoami").expect(200);
}

fn another_admin_key_beside_a_live_instance_is_refused_until_that_has_stopped(store: Store) {
    let mut first = store.start();
    for other in [OTHER_ADMIN_KEY, ""] {
        let refused = store.run(&["serve"], &[("MOLECULE_CP_ADMIN_KEY", other)]);
        let log = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{log}");
        assert!(
            log.contains("MOLECULE_CP_ADMIN_KEY") && log.contains("stop the others"),
            "{log}"
        );
        first.admin().get("/cp/whoami").expect(200);
    }
    first.kill();
    // The killed one counts as live for a while, which the start waits for.
    let second = store.start_with(&[("MOLECULE_CP_ADMIN_KEY", OTHER_ADMIN_KEY)]);
    let refused = second.admin().get("/cp/whoami");
    refused.problem(401, "key-revoked");
    second
        .with_token(OTHER_ADMIN_KEY)
        .get("/cp/whoami")
        .expect(200);
}

fn another_pepper_beside_a_live_instance_is_refused(store: Store) {
    let first = store.start();
    sleep(Duration::from_millis(200));
    let other = "another-pepper-of-thirty-two-bytes-or-more";
    let refused = store.run(&["serve"], &[("MOLECULE_CP_PEPPER", other)]);
    let log = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{log}");
    assert!(log.contains("pepper is not the one"), "{log}");
    assert_eq!(ids(&first).len(), 1);
}
