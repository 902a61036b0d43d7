//! The secret under which digests are made, from one start to the next.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use crate::kit::{Store, tokens};

on_both_engines![
    retired_peppers_keep_verifying_until_they_are_removed,
    another_pepper_refuses_to_start,
    a_generated_pepper_is_its_owners_alone_and_never_replaced,
    the_first_admin_key_is_shown_once_and_never_logged,
];

const FIRST: &str = "the-first-pepper-has-32-bytes-or-more";
const SECOND: &str = "the-second-pepper-has-32-bytes-or-more";

fn retired_peppers_keep_verifying_until_they_are_removed(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", FIRST)]);
    let old = server.key(&["orgs:list"]);
    drop(server);
    let both = [
        ("MOLECULE_CP_PEPPER", SECOND),
        ("MOLECULE_CP_RETIRED_PEPPERS", FIRST),
    ];
    let server = store.start_with(&both);
    let new = server.key(&["orgs:list"]);
    for key in [&old, &new] {
        server.with_token(key.token()).get("/cp/orgs").expect(200);
    }
    drop(server);
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", SECOND)]);
    server.with_token(new.token()).get("/cp/orgs").expect(200);
    let refused = server.with_token(old.token()).get("/cp/orgs");
    refused.problem(401, "invalid-key");
    server.admin().get("/cp/whoami").expect(200);
}

#[track_caller]
fn refuses(store: &Store, settings: &[(&str, &str)]) -> String {
    let output = store.run(&["serve"], settings);
    assert!(!output.status.success(), "{output:#?}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("pepper"), "{log}");
    log
}

fn another_pepper_refuses_to_start(store: Store) {
    drop(store.start_with(&[("MOLECULE_CP_PEPPER", FIRST)]));
    let log = refuses(&store, &[("MOLECULE_CP_PEPPER", SECOND)]);
    assert!(!log.contains(SECOND), "{log}");
    // No pepper at all is another one too: none is generated beside a database that has data.
    refuses(&store, &[]);
    assert!(!store.folder().join("pepper").exists());
    store.start_with(&[("MOLECULE_CP_PEPPER", FIRST)]);
}

fn a_generated_pepper_is_its_owners_alone_and_never_replaced(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    drop(server);
    let file = fs::read_dir(store.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .contains("pepper")
        })
        .unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let text = fs::read(&file).unwrap();
    let server = store.start();
    server.with_token(key.token()).get("/cp/orgs").expect(200);
    drop(server);
    assert_eq!(fs::read(&file).unwrap(), text);
    fs::remove_file(&file).unwrap();
    refuses(&store, &[]);
    assert!(!file.exists());
}

fn the_first_admin_key_is_shown_once_and_never_logged(store: Store) {
    let none = [("MOLECULE_CP_ADMIN_KEY", ""), ("RUST_LOG", "debug")];
    let server = store.start_with(&none);
    let shown = crate::kit::eventually("the key is shown", || {
        let output = server.output();
        let mut words = output.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let key = words.find(|word| word.starts_with("mol_ak_"))?.to_owned();
        Some(key)
    });
    assert!(tokens::is_well_formed(&shown, "mol_ak_"), "{shown}");
    let who = server.with_token(&shown).get("/cp/whoami").expect(200);
    assert_eq!(who["credential"]["type"], "admin");
    assert!(
        who["credential"]["id"]
            .as_str()
            .unwrap()
            .starts_with("adm_")
    );
    assert_eq!(who["partner"], Value::Null);
    assert!(!server.log().contains(&shown));
    drop(server);
    let server = store.start_with(&none);
    server.with_token(&shown).get("/cp/whoami").expect(200);
    assert!(!server.output().contains("mol_ak_"), "{}", server.output());
}
