//! The secret under which digests are made, from one start to the next.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::{
    kit::{ALL_SCOPES, Receiver, Script, Server, Store, eventually, tokens},
    webhooks::{ON_THIS_MACHINE, endpoint},
};

on_both_engines![
    a_key_that_is_used_no_longer_needs_the_retired_pepper,
    keys_are_given_up_by_force_alone_and_once,
    what_is_sealed_is_resealed_until_the_retired_pepper_can_go,
    another_pepper_refuses_to_start,
    a_generated_pepper_is_private_and_never_replaced,
    the_first_admin_key_is_shown_once_and_never_logged,
];

const FIRST: &str = "the-first-pepper-has-32-bytes-or-more";
const SECOND: &str = "the-second-pepper-has-32-bytes-or-more";
/// The second one in force, the first one retired.
const BOTH: [(&str, &str); 2] = [
    ("MOLECULE_CP_PEPPER", SECOND),
    ("MOLECULE_CP_RETIRED_PEPPERS", FIRST),
];

/// What `pepper status` says of a pepper in this state.
#[track_caller]
fn needs(store: &Store, settings: &[(&str, &str)], state: &str) -> String {
    let output = store.run(&["pepper", "status"], settings);
    assert!(output.status.success(), "{output:#?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(FIRST) && !text.contains(SECOND), "{text}");
    let mut lines = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("  ")?;
        rest.strip_prefix(state)
    });
    let found = lines.next().unwrap_or_else(|| panic!("{state} in {text}"));
    found.trim().to_owned()
}

fn a_key_that_is_used_no_longer_needs_the_retired_pepper(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", FIRST)]);
    let [used, unused] = [(); 2].map(|()| server.key(&["orgs:list"]));
    drop(server);
    let server = store.start_with(&BOTH);
    let new = server.key(&["orgs:list"]);
    for key in [&used, &new] {
        server.with_token(key.token()).get("/cp/orgs").expect(200);
    }
    // The operator's own key is renewed by the start.
    let needed = needs(&store, &BOTH, "retired");
    assert_eq!(
        needed,
        "1 partner keys  0 admin keys  0 webhook secrets  0 org secrets  0 stored responses"
    );
    let needed = needs(&store, &BOTH, "current");
    assert_eq!(
        needed,
        "2 partner keys  1 admin keys  0 webhook secrets  0 org secrets  0 stored responses"
    );
    drop(server);
    let log = refuses(&store, &[("MOLECULE_CP_PEPPER", SECOND)]);
    assert!(
        log.contains("1 partner keys") && log.contains("--force"),
        "{log}"
    );
    let server = store.start_with(&BOTH);
    server
        .with_token(unused.token())
        .get("/cp/orgs")
        .expect(200);
    let needed = needs(&store, &BOTH, "retired");
    assert_eq!(
        needed,
        "0 partner keys  0 admin keys  0 webhook secrets  0 org secrets  0 stored responses"
    );
    drop(server);
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", SECOND)]);
    for key in [&used, &unused, &new] {
        server.with_token(key.token()).get("/cp/orgs").expect(200);
    }
    server.admin().get("/cp/whoami").expect(200);
}

fn keys_are_given_up_by_force_alone_and_once(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", FIRST)]);
    let [old, revoked] = [(); 2].map(|()| server.key(&["orgs:list"]));
    assert_eq!(server.admin().delete(&revoked.path()).status, 204);
    drop(server);
    drop(store.start_with(&BOTH));
    let alone = [("MOLECULE_CP_PEPPER", SECOND)];
    let log = refuses(&store, &alone);
    assert!(
        log.contains("1 partner keys"),
        "a revoked key needs none: {log}"
    );
    let server = Server::start(store.program(&["serve", "--force"], &alone));
    let refused = server.with_token(old.token()).get("/cp/orgs");
    refused.problem(401, "invalid-key");
    drop(server);
    drop(store.start_with(&alone));
    let needed = needs(&store, &alone, "missing");
    assert_eq!(
        needed,
        "1 partner keys  0 admin keys  0 webhook secrets  0 org secrets  0 stored responses"
    );
    // Whoever finds the pepper again has the keys again.
    let server = store.start_with(&BOTH);
    server.with_token(old.token()).get("/cp/orgs").expect(200);
}

fn what_is_sealed_is_resealed_until_the_retired_pepper_can_go(store: Store) {
    let script = Script::new(&store, r#"echo '{"secrets": {"password": "hunter2"}}'"#);
    let mut first = vec![("MOLECULE_CP_PEPPER", FIRST)];
    first.extend(ON_THIS_MACHINE);
    let server = script.start(&store, &first);
    let key = server.key(ALL_SCOPES);
    let receiver = Receiver::start();
    let new = endpoint(&key, &receiver.url(), &["org.deleted"]);
    let path = format!("/cp/webhook-endpoints/{}", new["id"].as_str().unwrap());
    let rotated = key.post(&format!("{path}/rotate-secret"), json!({}));
    let rotated = rotated.expect(200);
    let once = [
        ("idempotency-key", "once"),
        ("content-type", "application/json"),
    ];
    let body = json!({"name": "acme", "slug": "acme-corp", "plan": "free"}).to_string();
    let created = key.send("POST", "/cp/orgs", &once, body.as_bytes());
    let id = created.expect(201)["id"].as_str().unwrap().to_owned();
    key.wait(&id, "ready");
    let secrets = key.get(&format!("/cp/orgs/{id}/secrets")).expect(200);
    drop(server);
    let mut both = BOTH.to_vec();
    both.extend(ON_THIS_MACHINE);
    let server = script.start(&store, &both);
    eventually("all is resealed", || {
        let needed = needs(&store, &BOTH, "retired");
        let sealed = needed.split_once("admin keys  ").unwrap().1;
        (sealed == "0 webhook secrets  0 org secrets  0 stored responses").then_some(())
    });
    let needed = needs(&store, &BOTH, "current");
    assert!(
        needed.ends_with("2 webhook secrets  1 org secrets  1 stored responses"),
        "{needed}"
    );
    // The key is renewed by its use.
    let key = server.with_token(key.token());
    key.get("/cp/whoami").expect(200);
    drop(server);

    let mut alone = vec![("MOLECULE_CP_PEPPER", SECOND)];
    alone.extend(ON_THIS_MACHINE);
    let server = script.start(&store, &alone);
    let key = server.with_token(key.token());
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}/secrets")).expect(200),
        secrets
    );
    let replayed = key.send("POST", "/cp/orgs", &once, body.as_bytes());
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    assert_eq!(replayed.body, created.body);
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    let message = &receiver.wait(1)[0];
    for endpoint in [&new, &rotated] {
        assert!(message.is_signed_with(endpoint["secret"].as_str().unwrap()));
    }
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

fn a_generated_pepper_is_private_and_never_replaced(store: Store) {
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
    let shown = eventually("the key is shown", || {
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
