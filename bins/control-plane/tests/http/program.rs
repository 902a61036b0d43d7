//! The program: its commands, its start and its end.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::kit::{ADMIN_KEY, ALL_SCOPES, Store, eventually, tokens};

on_both_engines![
    admin_keys_are_created_listed_and_revoked_beside_a_server,
    revocations_are_replayed_from_an_exported_log,
    data_outlives_the_server,
    a_signal_ends_the_server_in_good_order,
    settings_are_shown_with_secrets_masked,
    a_port_that_is_let_go_of_late_is_waited_for_and_one_in_use_refused,
];

/// Well above what a machine under load needs, well below the contract's 30 s.
const QUICKLY: Duration = Duration::from_secs(10);

#[track_caller]
pub fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:#?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn migrate_creates_a_database_of_sqlite_and_can_be_repeated() {
    migrate_can_be_repeated(&Store::sqlite());
}

#[test]
fn migrate_fills_a_database_of_postgres_and_can_be_repeated() {
    if let Some(store) = Store::empty_postgres() {
        migrate_can_be_repeated(&store);
    }
}

#[track_caller]
fn migrate_can_be_repeated(store: &Store) {
    let check = || store.run(&["migrate", "--check"], &[]);
    let pending = check();
    assert_eq!(pending.status.code(), Some(3), "{pending:#?}");
    let pending = String::from_utf8(pending.stdout).unwrap();
    let applied = succeeded(&store.run(&["migrate"], &[]));
    assert_eq!(pending.replace("pending ", "applied "), applied);
    assert_eq!(succeeded(&check()), "The database is up to date.\n");
    succeeded(&store.run(&["migrate"], &[]));
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    succeeded(&store.run(&["migrate"], &[]));
    key.get("/cp/orgs").expect(200);
}

pub fn word(text: &str, prefix: &str) -> String {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let found = words.find(|word| word.starts_with(prefix));
    found
        .unwrap_or_else(|| panic!("no {prefix} in {text}"))
        .to_owned()
}

fn admin_keys_are_created_listed_and_revoked_beside_a_server(store: Store) {
    let server = store.start();
    let shown = succeeded(&store.run(&["admin-key", "create", "--name", "second"], &[]));
    let (id, secret) = (word(&shown, "adm_"), word(&shown, "mol_ak_"));
    assert!(tokens::is_well_formed(&secret, "mol_ak_"));
    let second = server.with_token(&secret);
    assert_eq!(
        second.get("/cp/whoami").expect(200)["credential"]["id"],
        *id
    );
    let list = succeeded(&store.run(&["admin-key", "list"], &[]));
    assert!(list.contains(&id) && list.contains("second"), "{list}");
    assert!(
        !list.contains(&secret) && !list.contains(ADMIN_KEY),
        "{list}"
    );
    succeeded(&store.run(&["admin-key", "revoke", &id], &[]));
    // The command line is another process, and its doing holds within two seconds.
    let deadline = Instant::now() + Duration::from_secs(2);
    let refused = loop {
        let response = second.get("/cp/whoami");
        if response.status != 200 || Instant::now() > deadline {
            break response;
        }
    };
    refused.problem(401, "key-revoked");
    refused.event();
    server.admin().get("/cp/whoami").expect(200);
    let unknown = store.run(
        &["admin-key", "revoke", "adm_01HXKM4000000000000000000A"],
        &[],
    );
    assert!(!unknown.status.success(), "{unknown:#?}");
    let actual: Vec<_> = server.events("action=admin_key.revoke");
    assert_eq!(actual.len(), 1);
    assert_eq!(actual[0]["target"]["id"], *id);
}

/// A restored backup has a key as active whose revocation the log tells of: here the log of another key, with the
/// first one's id in its place.
fn revocations_are_replayed_from_an_exported_log(store: Store) {
    let server = store.start();
    let (gone, restored, other) = (
        server.key(&["orgs:list"]),
        server.key(&["orgs:list"]),
        server.key(&["orgs:list"]),
    );
    assert_eq!(gone.delete(&gone.path()).status, 204);
    let revocation = &server.events("action=key.revoke")[0];
    let at = revocation["occurred_at"].as_str().unwrap();
    thread::sleep(Duration::from_secs(2));
    let log = succeeded(&store.run(&["audit", "export", "--since", at], &[]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let run = |log: &str, since: &str| {
        std::fs::write(&path, log).unwrap();
        let path = path.to_str().unwrap();
        store.run(&["key", "revoke-since", since, "--log", path], &[])
    };
    let unknown = log.replace(gone.id(), "pak_01HXKM4000000000000000000A");
    let log = log.replace(gone.id(), restored.id());
    // A file that is cut off changes nothing.
    let broken = run(&log[..log.len() - 3], at);
    assert!(!broken.status.success(), "{broken:#?}");
    let later = succeeded(&run(&log, "2099-01-01"));
    assert!(later.starts_with("revoked 0 partner keys"), "{later}");
    restored.get("/cp/orgs").expect(200);

    let done = succeeded(&run(&log, at));
    assert!(done.starts_with("revoked 1 partner keys"), "{done}");
    let refused = eventually("a refusal", || {
        Some(restored.get("/cp/orgs")).filter(|response| response.status != 200)
    });
    refused.problem(401, "key-revoked");
    other.get("/cp/orgs").expect(200);
    let event = &server.events("action=key.revoke")[1];
    assert_eq!(event["actor"]["type"], "system");
    assert_eq!(event["target"]["id"], restored.id());
    assert_eq!(event["details"]["replay_of"], revocation["id"]);
    assert!(event["details"]["system_user"].is_string(), "{event:#}");

    let again = succeeded(&run(&log, at));
    assert!(again.contains("; 1 were revoked already"), "{again}");
    let unknown = succeeded(&run(&unknown, at));
    assert!(
        unknown.ends_with(" 1 are not in this database\n"),
        "{unknown}"
    );
    assert_eq!(server.events("action=key.revoke").len(), 2);
}

fn data_outlives_the_server(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let before = server.events("");
    drop(server);
    let server = store.start();
    let key = server.with_token(key.token());
    assert_eq!(key.all("/cp/orgs"), [org]);
    assert!(server.events("").starts_with(&before));
}

fn a_signal_ends_the_server_in_good_order(store: Store) {
    let server = store.start();
    // A client that keeps its connection, and one that has only opened it.
    let mut kept = TcpStream::connect(server.address()).unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: cp\r\n\r\n")
        .unwrap();
    let mut response = [0; 512];
    let read = kept.read(&mut response).unwrap();
    assert!(response[..read].starts_with(b"HTTP/1.1 200"));
    let opened = TcpStream::connect(server.address()).unwrap();
    // Refusals that are only counted so far must be recorded at the end.
    let limit = serde_json::json!({"limit": 1, "window_seconds": 86_400});
    let key = server.issue(serde_json::json!({"scopes": ["orgs:list"], "rate_limit": limit}));
    key.get("/cp/orgs").expect(200);
    for _ in 0..5 {
        key.get("/cp/orgs").problem(429, "rate-limited");
    }
    let began = Instant::now();
    let (status, log) = server.terminate(QUICKLY);
    assert_eq!(
        status.code(),
        Some(0),
        "after {:?}:\n{log}",
        began.elapsed()
    );
    drop((kept, opened));
    let server = store.start();
    // The restart is quicker than the time after which an event that is still open is listed.
    eventually("all refusals are recorded", || {
        let events = server.events(&format!("key_id={}&outcome=denied", key.id()));
        let counts = events
            .iter()
            .map(|event| event["details"]["count"].as_u64());
        (counts.sum::<Option<u64>>() == Some(5)).then_some(())
    });
}

fn settings_are_shown_with_secrets_masked(store: Store) {
    let secrets = [
        (
            "MOLECULE_CP_ADMIN_KEY",
            "an-admin-key-that-must-not-be-shown-00001",
        ),
        (
            "MOLECULE_CP_PEPPER",
            "a-pepper-that-must-not-be-shown-00000002",
        ),
        (
            "MOLECULE_CP_RETIRED_PEPPERS",
            "a-retired-pepper-that-must-not-show-0003,and-another-one-of-thirty-two-bytes-4",
        ),
        (
            "MOLECULE_CP_DATABASE_URL",
            "postgres://cp:the-databases-password@localhost/cp",
        ),
    ];
    let shown = succeeded(&store.run(&["config"], &secrets));
    for secret in ["that-must-not", "and-another", "databases-password"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    for (name, _) in secrets {
        let name = name.trim_start_matches("MOLECULE_CP_").to_lowercase();
        assert!(shown.contains(&name), "{name} in {shown}");
    }
    let parsed = shown.lines().all(|line| line.contains(" = "));
    assert!(parsed, "{shown}");
}

#[test]
fn a_port_in_use_is_an_error_and_costs_no_first_key() {
    let one = Store::sqlite();
    let server = one.start();
    let other = Store::sqlite();
    let settings = [
        ("MOLECULE_CP_LISTEN", server.address()),
        ("MOLECULE_CP_ADMIN_KEY", ""),
    ];
    let output = other.run(&["serve"], &settings);
    assert!(!output.status.success(), "{output:#?}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains(server.address()), "{log}");
    assert!(output.stdout.is_empty());
    server.admin().get("/cp/whoami").expect(200);
    // The key is made by the start that succeeds.
    let server = other.start_with(&[("MOLECULE_CP_ADMIN_KEY", "")]);
    let shown = eventually("the key is shown", || {
        server
            .output()
            .contains("mol_ak_")
            .then(|| word(&server.output(), "mol_ak_"))
    });
    server.with_token(&shown).get("/cp/whoami").expect(200);
}

#[test]
fn settings_that_are_wrong_are_named_and_end_the_program() {
    let store = Store::sqlite();
    for (name, value) in [
        ("MOLECULE_CP_ADMIN_KEY", "short"),
        ("MOLECULE_CP_PEPPER", "short"),
        ("MOLECULE_CP_LISTEN", "nowhere"),
        ("MOLECULE_CP_ADMIN_RATE_LIMIT", "many"),
        ("MOLECULE_CP_DATABASE_URL", "mysql://x"),
    ] {
        let output = store.run(&["serve"], &[(name, value)]);
        assert!(!output.status.success(), "{output:#?}");
        let log = String::from_utf8(output.stderr).unwrap().to_lowercase();
        let setting = name.trim_start_matches("MOLECULE_CP_").to_lowercase();
        assert!(log.contains(&setting), "{setting} in {log}");
    }
}

#[test]
fn servers_that_start_together_create_one_first_key() {
    let Some(store) = Store::empty_postgres() else {
        return;
    };
    let settings = [
        ("MOLECULE_CP_ADMIN_KEY", ""),
        (
            "MOLECULE_CP_PEPPER",
            "one-pepper-for-all-servers-of-32-bytes-or-more",
        ),
    ];
    let outputs: Vec<String> = thread::scope(|scope| {
        let starts: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| store.start_with(&settings)))
            .collect();
        let servers: Vec<_> = starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect();
        servers
            .into_iter()
            .map(|server| {
                assert_eq!(
                    server.anon().get("/readyz").expect(200)["status"],
                    Value::from("ok")
                );
                let (status, log) = server.terminate_with_output(QUICKLY);
                assert!(status.success());
                log
            })
            .collect()
    });
    let shown: Vec<_> = outputs
        .iter()
        .filter(|output| output.contains("mol_ak_"))
        .collect();
    assert_eq!(shown.len(), 1, "{outputs:#?}");
    let server = store.start_with(&settings);
    server
        .with_token(&word(shown[0], "mol_ak_"))
        .get("/cp/whoami")
        .expect(200);
}

/// As after a kill: what the killed one was just about to start still holds its socket.
fn a_port_that_is_let_go_of_late_is_waited_for_and_one_in_use_refused(store: Store) {
    // Below the ports that the system gives away, or somebody may get it in between.
    let mut ports = 20_000..30_000;
    let held = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let held = held.unwrap();
    let address = held.local_addr().unwrap().to_string();
    let settings = [("MOLECULE_CP_LISTEN", &*address)];
    let refused = store.run(&[], &settings);
    assert!(!refused.status.success(), "{refused:#?}");
    let log = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(log.contains(&format!("can't listen on {address}")), "{log}");
    let letting_go = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        drop(held);
    });
    let server = store.start_with(&settings);
    letting_go.join().unwrap();
    server.admin().get("/cp/whoami").expect(200);
}
