//! An instance whose machine has a wrong clock.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use serde_json::json;

use crate::{
    instances::list,
    kit::{ALL_SCOPES, Server, Store},
};

/// How far the wrong clock is ahead, in seconds.
const AHEAD: i64 = 3600;

/// Has the time of day of a process be another one.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += AHEAD;
    return result;
}
"#;

/// Compiles the shim, with the C compiler that also builds SQLite.
fn shim(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, SHIM).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(format!("-DAHEAD={AHEAD}"))
        .arg(&source)
        .arg("-ldl")
        .status();
    assert!(compiled.unwrap().success());
    library
}

/// A server on a machine whose clock is ahead.
fn start_ahead(store: &Store) -> Server {
    let mut program = store.program(&["serve"], &[]);
    program.env("LD_PRELOAD", shim(store.folder()));
    Server::start(program)
}

/// On PostgreSQL instances have machines of their own. An SQLite file is on one machine, with one clock.
#[cfg(target_os = "linux")]
#[test]
fn all_instances_go_by_the_clock_of_the_database_server() {
    let Some(store) = Store::empty_postgres() else {
        return;
    };
    let right = store.start();
    let wrong = start_ahead(&store);
    let listed = list(&right);
    let skews: Vec<i64> = listed
        .iter()
        .map(|instance| instance["clock_skew_ms"].as_i64().unwrap())
        .collect();
    assert!((skews[0] - AHEAD * 1000).abs() < 1000, "{listed:#?}");
    assert!(skews[1].abs() < 1000, "{listed:#?}");
    let warnings = wrong.log().matches("clock skew").count();
    assert_eq!(warnings, 1, "{}", wrong.log());
    assert!(!right.log().contains("clock skew"), "{}", right.log());
    let metrics = wrong.anon().get("/metrics").body;
    let skew = metrics
        .lines()
        .find_map(|line| line.strip_prefix("molecule_clock_skew_seconds "))
        .unwrap();
    let skew: f64 = skew.parse().unwrap();
    assert!((skew - 3600.0).abs() < 1.0, "{skew}");

    // By the wrong clock both would be over, and the wrong instance looks for such orgs twice a second.
    let key = right.issue(json!({"scopes": ALL_SCOPES, "expires_in_days": 1}));
    let org = json!({"name": "a", "slug": "acme", "plan": "free", "ttl_seconds": 600});
    let org = key.post("/cp/orgs", org).expect(201);
    let path = format!("/cp/orgs/{}", org["id"].as_str().unwrap());
    sleep(Duration::from_secs(2));
    let beside = wrong.with_token(key.token());
    assert_eq!(beside.get(&path).expect(200)["status"], "ready");
    // A lease that the wrong instance gives ends by the same clock.
    let org = json!({"name": "b", "slug": "acme-two", "plan": "free", "ttl_seconds": 600});
    let org = beside.post("/cp/orgs", org).expect(201);
    let (created, expires) = (&org["created_at"], &org["expires_at"]);
    let read = right.with_token(key.token()).get("/cp/whoami");
    let event = right
        .admin()
        .get(&format!("/cp/admin/audit-events/{}", read.event()));
    let now = event.expect(200)["occurred_at"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(created.as_str().unwrap() <= &*now, "{created} {now}");
    assert!(expires.as_str().unwrap() > &*now, "{expires} {now}");
}
