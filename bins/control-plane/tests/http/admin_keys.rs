//! Admin keys that may not do everything.

use serde_json::Value;

use crate::{
    kit::Store,
    program::{succeeded, word},
};

on_both_engines![
    admin_keys_have_roles_ends_and_networks,
    an_admin_key_that_can_not_be_is_refused_on_the_command_line,
];

fn admin_keys_have_roles_ends_and_networks(store: Store) {
    let server = store.start();
    let create = |more: &[&str]| store.run(&[&["admin-key", "create"], more].concat(), &[]);
    let shown = succeeded(&create(&[
        "--name",
        "auditor of 2026",
        "--role",
        "auditor",
        "--expires-in-days",
        "30",
        "--allowed-cidrs",
        "127.0.0.0/8, 2001:db8::/32",
    ]));
    let auditor = server.with_token(&word(&shown, "mol_ak_"));
    let id = word(&shown, "adm_");
    let credential = auditor.get("/cp/whoami").expect(200)["credential"].clone();
    assert_eq!(credential["type"], "admin");
    assert_eq!(credential["role"], "auditor");
    assert_eq!(
        credential["allowed_cidrs"],
        serde_json::json!(["127.0.0.0/8", "2001:db8::/32"])
    );
    let end = credential["expires_at"].as_str().unwrap();
    auditor.get("/cp/admin/orgs").expect(200);
    assert_eq!(auditor.send("HEAD", "/cp/admin/orgs", &[], b"").status, 200);
    let key = server.key(&["orgs:list"]);
    auditor.delete(&key.path()).problem(403, "not-permitted");
    auditor.get("/cp/orgs").problem(403, "not-permitted");
    key.get("/cp/orgs").expect(200);

    let list = succeeded(&store.run(&["admin-key", "list"], &[]));
    let line = list.lines().find(|line| line.contains(&id)).unwrap();
    for part in [
        "auditor",
        end,
        "127.0.0.0/8,2001:db8::/32",
        "auditor of 2026",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let events = server.events("action=admin_key.create");
    let created = events.last().unwrap();
    assert_eq!(created["target"]["id"], *id);
    assert_eq!(created["details"]["role"], "auditor");
    assert_eq!(created["details"]["expires_at"], end);
    let operator = server.admin().get("/cp/whoami").expect(200)["credential"].clone();
    assert_eq!(operator["role"], "operator");
    assert_eq!(
        key.get("/cp/whoami").expect(200)["credential"]["role"],
        Value::Null
    );
}

fn an_admin_key_that_can_not_be_is_refused_on_the_command_line(store: Store) {
    let create = |more: &[&str]| store.run(&[&["admin-key", "create"], more].concat(), &[]);
    for wrong in [
        &["--role", "root"][..],
        &["--role", ""],
        &["--expires-in-days", "0"],
        &["--expires-in-days", "-1"],
        &["--expires-in-days", "4000"],
        &["--allowed-cidrs", "10.0.0.1/8"],
        &["--allowed-cidrs", ""],
        &["--allowed-cidrs", "everywhere"],
    ] {
        let refused = create(wrong);
        assert!(!refused.status.success(), "{wrong:?}");
        assert!(refused.stdout.is_empty(), "{wrong:?}");
    }
}
