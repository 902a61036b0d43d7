//! What a program says, and what becomes of its org.

use std::fs;

use serde_json::{Value, json};
use testkit::process::{MemoryUse, mebibytes};

use super::{create, failure, read, step};
use crate::kit::{ALL_SCOPES, Script, Store, within};

on_both_engines![
    a_program_provisions_and_deprovisions_an_org,
    a_program_that_asks_for_a_retry_gets_it,
    the_last_line_on_standard_error_is_the_reason,
    a_deletion_that_fails_is_retried_and_says_why,
    a_program_that_is_killed_by_a_signal_is_retried,
    attempts_are_counted_for_the_operator,
];

fn a_program_provisions_and_deprovisions_an_org(store: Store) {
    let script = Script::new(
        &store,
        "cat > $1.json
         env > $1.env
         echo '{}'",
    );
    let passed = [
        ("MOLECULE_CP_PROVISIONER_ENV", "GREETING"),
        ("GREETING", "good morning"),
        ("UNSAID", "nothing"),
    ];
    let server = script.start(&store, &passed);
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let mut actual: Value = serde_json::from_str(&script.read("provision.json")).unwrap();
    assert_eq!(actual["status"], "provisioning");
    for member in ["status", "ready_at"] {
        actual[member] = org[member].clone();
    }
    assert_eq!(actual, org, "it is the org's resource");
    let environment = script.read("provision.env");
    let has = |line: &str| environment.lines().any(|other| other == line);
    for line in [
        &format!("MOLECULE_ORG_ID={id}"),
        "MOLECULE_ORG_SLUG=acme-corp",
        "MOLECULE_ORG_PLAN=standard",
        &format!("MOLECULE_PARTNER_ID={}", key.partner_id()),
        "MOLECULE_ATTEMPT=1",
        "GREETING=good morning",
    ] {
        assert!(has(line), "{line} in\n{environment}");
    }
    assert!(environment.contains("PATH="), "{environment}");
    for word in ["MOLECULE_CP_", "UNSAID", crate::kit::ADMIN_KEY] {
        assert!(!environment.contains(word), "{word} in\n{environment}");
    }
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(id, "deleted");
    let actual: Value = serde_json::from_str(&script.read("deprovision.json")).unwrap();
    assert_eq!(
        (&actual["id"], &actual["status"]),
        (&json!(id), &json!("deprovisioning"))
    );
}

fn a_program_that_asks_for_a_retry_gets_it(store: Store) {
    let script = Script::new(
        &store,
        "echo $MOLECULE_ATTEMPT >> attempts
         [ $MOLECULE_ATTEMPT -ge 3 ] && exit 0
         echo the database is starting >&2
         exit 75",
    );
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let message = failure(&key, &id, "provisioner-busy");
    assert_eq!(message, "the database is starting");
    assert_eq!(read(&key, &id)["status"], "provisioning");
    key.wait(&id, "ready");
    assert_eq!(read(&key, &id)["failure"], Value::Null);
    assert_eq!(script.read("attempts"), "1\n2\n3\n");
    let step = step(&key, &id, "provision");
    assert_eq!(
        (&step["status"], &step["attempts"]),
        (&json!("succeeded"), &json!(3))
    );
}

fn the_last_line_on_standard_error_is_the_reason(store: Store) {
    let script = Script::new(
        &store,
        r"echo not this line >&2
          printf 'the region\t is \033[1mfull\007\n\n' >&2
          exit 3",
    );
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    key.wait(&id, "failed");
    let actual = read(&key, &id);
    let expect = json!({"code": "provisioner-failed", "message": "the region  is  [1mfull"});
    assert_eq!(actual["failure"], expect);
    assert_eq!(step(&key, &id, "provision")["status"], "failed");
    let status = key.get(&format!("/cp/orgs/{id}/status")).expect(200);
    assert_eq!(status["failure"], expect);

    script.write("exit 4");
    let retry = format!("/cp/admin/orgs/{id}/retry");
    server.admin().post(&retry, Value::Null).expect(200);
    let message = failure(&key, &id, "provisioner-failed");
    assert!(message.contains("exit code 4"), "{message}");
    key.wait(&id, "failed");
    script.write("exit 0");
    server.admin().post(&retry, Value::Null).expect(200);
    key.wait(&id, "ready");
    let events = server.events(&format!("org_id={id}&action=org.failed"));
    assert_eq!(events.len(), 2, "{events:#?}");
}

fn a_deletion_that_fails_is_retried_and_says_why(store: Store) {
    let script = Script::new(
        &store,
        "[ $1 = provision ] || { echo the disk is in use >&2; exit 1; }",
    );
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    assert_eq!(
        failure(&key, &id, "provisioner-failed"),
        "the disk is in use"
    );
    assert_eq!(read(&key, &id)["status"], "deprovisioning");
    script.write("exit 0");
    key.wait(&id, "deleted");
    assert_eq!(read(&key, &id)["failure"], Value::Null);
}

fn a_program_that_is_killed_by_a_signal_is_retried(store: Store) {
    let script = Script::new(
        &store,
        "[ -e begun ] && exit 0
         echo > begun
         kill -9 $$",
    );
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let message = failure(&key, &id, "provisioner-killed");
    assert!(message.contains("signal 9"), "{message}");
    key.wait(&id, "ready");
    assert_eq!(step(&key, &id, "provision")["attempts"], 2);
}

fn attempts_are_counted_for_the_operator(store: Store) {
    let script = Script::new(&store, "[ $MOLECULE_ORG_SLUG = acme-corp ]");
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    key.org("acme-corp");
    let other = create(&key, "acme-two");
    key.wait(&other, "failed");
    let metrics = server.anon().get("/metrics").body;
    for line in [
        r#"molecule_provisioning_attempts_total{plan="standard",result="done",step="provision"} 1"#,
        r#"molecule_provisioning_attempts_total{plan="standard",result="failed",step="provision"} 1"#,
        r#"molecule_provisioning_duration_seconds_count{plan="standard",step="provision"} 2"#,
        "molecule_orgs_due 0",
        "molecule_orgs_due_oldest_age_seconds 0",
    ] {
        assert!(
            metrics.lines().any(|other| other == line),
            "{line} in\n{metrics}"
        );
    }
}

#[test]
fn a_program_that_can_not_be_run_is_an_error_at_the_start() {
    let store = Store::sqlite();
    let plain = store.folder().join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let folder = store.folder().to_str().unwrap();
    for (program, word) in [
        (plain.to_str().unwrap(), "chmod +x"),
        ("/nowhere/at-all", "/nowhere/at-all"),
        ("no-such-program-anywhere", "search path"),
        (folder, "not a file"),
        ("", "provisioner_exec"),
    ] {
        let settings = [
            ("MOLECULE_CP_PROVISIONER", "exec"),
            ("MOLECULE_CP_PROVISIONER_EXEC", program),
        ];
        let output = store.run(&["serve"], &settings);
        assert!(!output.status.success(), "{output:#?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(
            log.contains("provisioner_exec") && log.contains(word),
            "{word} in {log}"
        );
    }
}

#[test]
fn a_program_that_vanishes_is_waited_for() {
    let store = Store::sqlite();
    let script = Script::new(&store, "exit 0");
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    fs::remove_file(script.path()).unwrap();
    let id = create(&key, "acme-corp");
    let message = failure(&key, &id, "provisioner-unavailable");
    assert!(message.contains("No such file"), "{message}");
    script.write("exit 0");
    key.wait(&id, "ready");
}

#[test]
fn a_program_that_writes_without_end_fills_nothing_and_blocks_nothing() {
    let store = Store::sqlite();
    let script = Script::new(
        &store,
        "head -c 1073741824 /dev/zero
         head -c 1073741824 /dev/zero >&2
         echo >&2
         echo that was a gigabyte >&2
         exit 1",
    );
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    within(
        std::time::Duration::from_secs(60),
        "the program has ended",
        || (read(&key, &id)["status"] == "failed").then_some(()),
    );
    assert_eq!(read(&key, &id)["failure"]["message"], "that was a gigabyte");
    let peak = mebibytes(MemoryUse::of(server.process()).unwrap().peak);
    assert!(peak < 300, "{peak} MiB");
}
