//! Rotations of keys, against the real server: the new secret is kept where the old one was.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;
use testkit::server::{ADMIN_KEY, Server};

use crate::{flow::start, kit::Home};

fn key(server: &Server) -> (String, String) {
    let operator = Home::with(&server.url(), ADMIN_KEY);
    let args = [
        "admin",
        "key",
        "create",
        "ci",
        "--scope",
        "orgs:list",
        "-o",
        "json",
    ];
    let created = operator.run(&args).ended(0).json();
    let text = |name: &str| created[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

fn live(key: &Value) -> usize {
    key["secrets"].as_array().unwrap().len()
}

#[test]
fn the_key_of_a_profile_is_rotated_in_its_place() {
    let home = Home::new();
    let server = start(&home, None);
    let (id, old) = key(&server);
    let login = ["login", "--server", &server.url(), "--key-stdin"];
    home.run_with(&login, &old).ended(0);
    let rotated = home.run(&["key", "rotate", "-o", "json"]).ended(0);
    assert!(!rotated.stdout.contains("\"key\":"), "{rotated:?}");
    let key = rotated.json();
    assert_eq!((key["id"].as_str(), live(&key)), (Some(&*id), 2));
    let kept = fs::read_to_string(home.config()).unwrap();
    assert!(!kept.contains(&old), "the old one is replaced");
    assert_eq!(
        home.config().metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    home.run(&["key", "get"]).ended(0);
    // The newest can't be cancelled by itself, and is taken back by the older.
    home.run(&["key", "rotate", "--cancel"])
        .ended(2)
        .says("--finish");
    let older = Home::with(&server.url(), &old);
    let cancelled = older
        .run(&["key", "rotate", "--cancel", "-o", "json"])
        .ended(0);
    assert_eq!(live(&cancelled.json()), 1);
    home.run(&["key", "get"]).ended(4).says("key-expired");
}

#[test]
fn the_key_of_a_file_is_rotated_in_its_place() {
    let home = Home::new();
    let server = start(&home, None);
    let (_, old) = key(&server);
    let path = home.write("key", &old);
    let file = path.to_str().unwrap();
    let url = server.url();
    let run = |args: &[&str]| {
        let target = ["--server", &*url, "--key-file", file, "-o", "json"];
        home.run(&[args, &target].concat())
    };
    // Nothing may overlap: the old one ends once the new one is there.
    let rotated = run(&["key", "rotate", "--overlap", "0"]).ended(0).json();
    assert_eq!(live(&rotated), 1);
    let new = fs::read_to_string(&path).unwrap();
    assert!(new.starts_with("mol_pk_") && new.trim() != old);
    run(&["key", "get"]).ended(0);
    let older = Home::with(&url, &old);
    older.run(&["key", "get"]).ended(4).says("key-expired");
    run(&[
        "key",
        "rotate",
        "--overlap",
        "1h",
        "--finish-when-idle",
        "10m",
    ])
    .ended(0);
    run(&["key", "rotate"]).ended(6).says("key-state-conflict");
    let finished = run(&["key", "rotate", "--finish"]).ended(0).json();
    assert_eq!(live(&finished), 1);
}

#[test]
fn a_key_without_a_place_is_shown_only_when_asked_for() {
    let home = Home::new();
    let server = start(&home, None);
    let (id, old) = key(&server);
    let home = Home::with(&server.url(), &old);
    home.run(&["key", "rotate"]).ended(2).says("--show");
    let shown = home
        .run(&["key", "rotate", "--show", "-o", "json"])
        .ended(0)
        .json();
    let new = shown["key"].as_str().unwrap();
    Home::with(&server.url(), new).run(&["key", "get"]).ended(0);
    let operator = Home::with(&server.url(), ADMIN_KEY);
    let json = |args: &[&str]| {
        operator
            .run(&[args, &["-o", "json"]].concat())
            .ended(0)
            .json()
    };
    assert_eq!(live(&json(&["admin", "key", "finish-rotation", &id])), 1);
    let issued = json(&["admin", "key", "rotate", &id, "--overlap", "2h"]);
    assert!(issued["key"].as_str().unwrap().starts_with("mol_pk_"));
    assert_eq!(live(&json(&["admin", "key", "cancel-rotation", &id])), 1);
    let listed = json(&[
        "admin",
        "key",
        "list",
        "--unused-since",
        "2098-01-01T00:00:00Z",
    ]);
    assert_eq!(listed[0]["id"], *id);
    let listed = json(&["key", "list", "--expires-before", "2098-01-01T00:00:00Z"]);
    assert_eq!(listed.as_array().unwrap().len(), 0);
}
