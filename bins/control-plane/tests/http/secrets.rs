//! Secrets are nowhere but with their holders: not in the log, not in the database's files.

use std::time::Duration;

use serde_json::json;
use testkit::search::files_with;

use crate::kit::{ADMIN_KEY, ALL_SCOPES, Store, tokens};

on_both_engines![secrets_are_never_logged, secrets_are_never_shown_again,];

const PEPPER: &str = "a-pepper-of-the-tests-with-32-bytes-or-more";
const RETIRED: &str = "a-retired-pepper-of-the-tests-32-bytes-or-more";

fn settings() -> [(&'static str, &'static str); 3] {
    [
        ("RUST_LOG", "debug"),
        ("MOLECULE_CP_PEPPER", PEPPER),
        ("MOLECULE_CP_RETIRED_PEPPERS", RETIRED),
    ]
}

fn secrets_are_never_logged(store: Store) {
    let server = store.start_with(&settings());
    let key = server.key(ALL_SCOPES);
    key.org("acme-corp");
    let unknown = tokens::well_formed("mol_pk_");
    let cut = &key.token()[..40];
    let mut secrets = vec![ADMIN_KEY, PEPPER, RETIRED, key.token(), &unknown, cut];
    server
        .with_token(&unknown)
        .get("/cp/orgs")
        .problem(401, "invalid-key");
    server
        .with_token(cut)
        .get("/cp/orgs")
        .problem(401, "invalid-key");
    server
        .with_token("a-password-by-mistake")
        .get("/cp/orgs")
        .problem(401, "invalid-key");
    secrets.push("a-password-by-mistake");
    // Where it does not belong.
    let token = key.token();
    key.get(&format!("/cp/orgs?access_token={token}"))
        .problem(400, "invalid-request");
    key.get(&format!("/cp/orgs?cursor={token}"))
        .problem(400, "invalid-request");
    key.get(&format!("/cp/orgs/{token}"))
        .problem(404, "not-found");
    key.get(&format!("/cp/{token}")).problem(404, "not-found");
    key.get(&format!("/{token}")).problem(404, "not-found");
    key.post("/cp/orgs", json!({"name": "a", token: token}))
        .pointers();
    assert_eq!(server.admin().delete(&key.path()).status, 204);
    key.get("/cp/orgs").problem(401, "key-revoked");
    let shown = store.run(&["admin-key", "create"], &settings());
    assert!(shown.status.success(), "{shown:#?}");
    let (status, mut log) = server.terminate(Duration::from_secs(20));
    assert!(status.success());
    log += &String::from_utf8(shown.stderr).unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let start = shown.find("mol_ak_").unwrap();
    secrets.push(&shown[start..start + 57]);
    assert!(
        log.contains("\"DEBUG\""),
        "the log says too little to be a test"
    );
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

fn secrets_are_never_shown_again(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let token = key.token();
    key.get(&format!("/cp/orgs/{token}"))
        .problem(404, "not-found");
    let agent = [("user-agent", "acme/1"), ("x-request-id", "r-1")];
    key.send("GET", "/cp/whoami", &agent, b"").expect(200);
    let admin = server.admin();
    for path in [
        "/cp/admin/partner-keys".to_owned(),
        key.path(),
        "/cp/admin/partners".to_owned(),
        "/cp/admin/audit-events?limit=100".to_owned(),
        "/cp/whoami".to_owned(),
        "/metrics".to_owned(),
    ] {
        let body = admin.get(&path).body;
        assert!(
            !body.contains(token) && !body.contains(ADMIN_KEY),
            "{path}: {body}"
        );
        assert!(!body.contains("digest"), "{path}: {body}");
    }
}

#[test]
fn the_files_of_sqlite_hold_no_secret() {
    let store = Store::sqlite();
    let server = store.start_with(&settings());
    let key = server.key(ALL_SCOPES);
    key.org("acme-corp");
    key.get(&format!("/cp/orgs/{}", key.token()))
        .problem(404, "not-found");
    key.get(&format!("/cp/{}", key.token()))
        .problem(404, "not-found");
    assert_eq!(key.delete(&key.path()).status, 204);
    let check = || {
        let holds = |text: &str| !files_with(store.folder(), text).is_empty();
        assert!(holds("acme-corp"));
        for secret in [key.token(), &key.token()[12..], ADMIN_KEY, PEPPER, RETIRED] {
            assert!(!holds(secret), "{secret}");
        }
    };
    check();
    drop(server);
    check();
}
