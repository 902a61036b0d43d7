//! Secrets that are replaced by others.

use std::{fs, thread, time::Duration};

use serde_json::{Value, json};

use super::{failure, read, step};
use crate::{
    kit::{ALL_SCOPES, Caller, Receiver, Script, Store, eventually},
    webhooks::{ON_THIS_MACHINE, endpoint},
};

on_both_engines![
    the_old_secrets_stay_until_the_new_ones_are_there,
    a_rotation_that_fails_leaves_the_old_secrets,
    a_deletion_ends_a_rotation,
    only_a_ready_org_has_its_secrets_rotated,
];

/// A script whose secret is the number of the rotation, and that waits for a file before each.
const NUMBERED: &str = r#"
    case $1 in
    provision) echo 0 > number ;;
    rotate) while [ ! -e go ]; do sleep 0.02; done
        rm go
        echo $(($(cat number) + 1)) > number ;;
    *) exit 0 ;;
    esac
    n=$(cat number)
    if [ $1 = provision ]; then
        echo "{\"outputs\": {\"host\": \"db-1\"}, \"secrets\": {\"password\": \"secret-$n\", \"user\": \"u\"}}"
    else
        echo "{\"secrets\": {\"password\": \"secret-$n\"}}"
    fi"#;

fn password(key: &Caller, org: &str) -> Value {
    let secrets = key.get(&format!("/cp/orgs/{org}/secrets")).expect(200);
    secrets["secrets"]["password"].clone()
}

#[track_caller]
fn rotate(key: &Caller, org: &str) -> Value {
    let path = format!("/cp/orgs/{org}/rotate-secrets");
    key.post(&path, Value::Null).expect(202)
}

fn the_old_secrets_stay_until_the_new_ones_are_there(store: Store) {
    let script = Script::new(&store, NUMBERED);
    let server = script.start(&store, ON_THIS_MACHINE);
    store.refuse_second_updates();
    let key = server.key(ALL_SCOPES);
    let receiver = Receiver::start();
    endpoint(&key, &receiver.url(), &["org.secrets_rotated"]);
    let id = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    for n in 1..=2 {
        let org = rotate(&key, &id);
        assert_eq!(org["status"], "updating");
        eventually("the program runs", || {
            (step(&key, &id, "rotate")["status"] == "running").then_some(())
        });
        thread::sleep(Duration::from_millis(100));
        assert_eq!(password(&key, &id), format!("secret-{}", n - 1));
        // One at a time.
        key.post(&format!("/cp/orgs/{id}/rotate-secrets"), Value::Null)
            .problem(409, "org-state-conflict");
        // The org can be used meanwhile.
        let workspace = json!({"name": format!("w-{n}")});
        key.post(&format!("/cp/orgs/{id}/workspaces"), workspace)
            .expect(201);
        fs::write(script.file("go"), "").unwrap();
        key.wait(&id, "ready");
        assert_eq!(password(&key, &id), format!("secret-{n}"));
        assert_eq!(step(&key, &id, "rotate")["status"], "succeeded");
    }
    let org = read(&key, &id);
    assert_eq!(
        (&org["failure"], &org["outputs"], &org["secret_names"]),
        (&Value::Null, &json!({"host": "db-1"}), &json!(["password"]))
    );
    let messages = receiver.wait(2);
    for message in &messages {
        let message = message.json();
        assert_eq!(message["type"], "org.secrets_rotated");
        assert_eq!(message["data"]["secret_names"], json!(["password"]));
        assert!(!message.to_string().contains("secret-1"), "{message}");
    }
    let events = server.events(&format!("org_id={id}"));
    let actions: Vec<_> = events.iter().map(|event| &event["action"]).collect();
    let count = |action: &str| actions.iter().filter(|other| **other == action).count();
    assert_eq!(
        (count("org.secrets.rotate"), count("org.secrets.rotated")),
        (4, 2),
        "{actions:?}"
    );
}

fn a_rotation_that_fails_leaves_the_old_secrets(store: Store) {
    let script = Script::new(&store, NUMBERED);
    let server = script.start(&store, ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let receiver = Receiver::start();
    endpoint(&key, &receiver.url(), &["org.secrets_rotated"]);
    let id = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    for (lines, reason) in [
        (
            "echo secret-0 is in use >&2; exit 1",
            "[redacted] is in use",
        ),
        ("exit 0", "the provisioner handed back no secrets"),
        (
            r#"echo '{"secrets": {"password": "secret-9"'"#,
            "the answer of the provisioner can't be used: its JSON is cut off",
        ),
    ] {
        script.write(lines);
        rotate(&key, &id);
        assert_eq!(failure(&key, &id, "rotation-failed"), reason);
        let org = read(&key, &id);
        assert_eq!(org["status"], "ready");
        assert_eq!(org["secret_names"], json!(["password", "user"]));
        assert_eq!(password(&key, &id), "secret-0");
        assert_eq!(step(&key, &id, "rotate")["status"], "failed");
    }
    script.write(NUMBERED);
    fs::write(script.file("go"), "").unwrap();
    rotate(&key, &id);
    key.wait(&id, "ready");
    assert_eq!(password(&key, &id), "secret-1");
    assert_eq!(read(&key, &id)["failure"], Value::Null);
    assert_eq!(receiver.wait(1).len(), 1, "failures are no rotations");
}

fn a_deletion_ends_a_rotation(store: Store) {
    let script = Script::new(&store, NUMBERED);
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    rotate(&key, &id);
    eventually("the program runs", || {
        (step(&key, &id, "rotate")["status"] == "running").then_some(())
    });
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(&id, "deleted");
    let secrets = key.get(&format!("/cp/orgs/{id}/secrets")).expect(200);
    assert_eq!(secrets["secrets"], json!({}));
    assert_eq!(read(&key, &id)["failure"], Value::Null);
    key.post(&format!("/cp/orgs/{id}/rotate-secrets"), Value::Null)
        .problem(409, "org-state-conflict");
}

fn only_a_ready_org_has_its_secrets_rotated(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    let path = format!("/cp/orgs/{id}/rotate-secrets");
    // An org without secrets has nothing to be replaced.
    rotate(&key, &id);
    key.wait(&id, "ready");
    assert_eq!(read(&key, &id)["failure"], Value::Null);
    let admin = server.admin();
    let suspend = format!("/cp/admin/orgs/{id}/suspend");
    admin.post(&suspend, Value::Null).expect(200);
    key.post(&path, Value::Null)
        .problem(409, "org-state-conflict");
    admin.post(&path, Value::Null).problem(403, "not-permitted");
    server
        .key(ALL_SCOPES)
        .post(&path, Value::Null)
        .problem(404, "not-found");
    server
        .key_of(
            key.partner_id(),
            &["orgs:list", "orgs:create", "orgs:delete"],
        )
        .post(&path, Value::Null)
        .problem(403, "insufficient-scope");
    let tier = server.issue(json!({
        "scopes": ["orgs:secrets"], "org_plans": ["free"], "partner_id": key.partner_id(),
    }));
    tier.post(&path, Value::Null)
        .problem(403, "org-plan-not-allowed");
}
