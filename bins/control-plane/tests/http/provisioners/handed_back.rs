//! Outputs and secrets that a program hands back, and who may read them.

use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::{
    process::{MemoryUse, mebibytes},
    search,
};

use super::{create, failure, read};
use crate::{
    kit::{ALL_SCOPES, Receiver, Script, Store},
    webhooks::{EVERYTHING, ON_THIS_MACHINE, endpoint},
};

on_both_engines![
    outputs_and_secrets_reach_the_partner,
    secrets_are_empty_until_an_org_is_ready_and_gone_with_it,
    an_answer_that_can_t_be_used_fails_the_org_and_shows_no_value,
    secrets_are_hidden_in_what_a_program_says,
    no_secret_stands_anywhere_in_plain_text,
];

/// A value that nothing else has.
const SECRET: &str = "hunter2-Zq81xWm5";

/// Lines of a script that hands back an output and two secrets.
fn handing_back() -> String {
    format!(
        r#"[ $1 = provision ] || exit 0
           cat <<'JSON'
           {{"outputs": {{"host": "db-1.internal", "_port": "5432"}},
             "secrets": {{"PASSWORD": "{SECRET}", "note": "Zürich \"1\"\n"}}}}
JSON"#
    )
}

fn outputs_and_secrets_reach_the_partner(store: Store) {
    let script = Script::new(&store, &handing_back());
    let server = script.start(&store, ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let receiver = Receiver::start();
    endpoint(&key, &receiver.url(), EVERYTHING);
    let org = key.org("acme-corp");
    let (id, outputs) = (
        org["id"].as_str().unwrap(),
        json!({"host": "db-1.internal", "_port": "5432"}),
    );
    assert_eq!(org["outputs"], outputs);
    assert_eq!(org["secret_names"], json!(["PASSWORD", "note"]));
    let listed = key.all("/cp/orgs");
    assert_eq!(listed[0], read(&key, id));

    let response = key.get(&format!("/cp/orgs/{id}/secrets"));
    assert_eq!(response.header("cache-control"), "no-store");
    let secrets = response.expect(200);
    let expect = json!({"PASSWORD": SECRET, "note": "Zürich \"1\"\n"});
    assert_eq!(
        secrets,
        json!({"org_id": id, "secrets": expect, "updated_at": org["ready_at"]})
    );
    let events = server.events("action=org.secrets.read");
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["id"], response.event());
    assert_eq!(events[0]["target"], json!({"type": "org", "id": id}));
    assert_eq!(events[0]["details"], json!({"names": ["PASSWORD", "note"]}));

    let message = receiver.wait(1)[0].json();
    assert_eq!(
        (&message["type"], &message["data"]["outputs"]),
        (&json!("org.ready"), &outputs)
    );

    // Nobody else gets them.
    let reader = server.key_of(key.partner_id(), &["orgs:list", "orgs:create"]);
    let path = format!("/cp/orgs/{id}/secrets");
    reader.get(&path).problem(403, "insufficient-scope");
    server.admin().get(&path).problem(403, "not-permitted");
    server
        .key(&["orgs:secrets"])
        .get(&path)
        .problem(404, "not-found");
    let only = server.key_of(key.partner_id(), &["orgs:secrets"]);
    only.get(&path).expect(200);
    only.get(&format!("/cp/orgs/{id}"))
        .problem(403, "insufficient-scope");
    let bound = server.issue(json!({
        "scopes": ["orgs:secrets"], "org_id": id, "partner_id": key.partner_id(),
    }));
    bound.get(&path).expect(200);
    let other = create(&key, "acme-two");
    bound
        .get(&format!("/cp/orgs/{other}/secrets"))
        .problem(404, "not-found");
}

fn secrets_are_empty_until_an_org_is_ready_and_gone_with_it(store: Store) {
    let script = Script::new(&store, "exit 75");
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let secrets = || key.get(&format!("/cp/orgs/{id}/secrets")).expect(200);
    let empty = json!({"org_id": id, "secrets": {}, "updated_at": null});
    assert_eq!(secrets(), empty);
    assert_eq!(read(&key, &id)["outputs"], json!({}));
    script.write(&handing_back());
    key.wait(&id, "ready");
    let before = secrets();
    assert_eq!(before["secrets"]["PASSWORD"], SECRET);
    // An org that can't be used for now keeps its secrets.
    let suspend = format!("/cp/admin/orgs/{id}/suspend");
    server.admin().post(&suspend, Value::Null).expect(200);
    assert_eq!(secrets(), before);
    script.write("exit 75");
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    assert_eq!(secrets(), before, "they are there while the org is");
    script.write("exit 0");
    key.wait(&id, "deleted");
    assert_eq!(secrets(), empty);
    let org = read(&key, &id);
    assert_eq!(org["secret_names"], json!([]));
    assert_eq!(
        org["outputs"]["host"], "db-1.internal",
        "they are its record"
    );
}

fn an_answer_that_can_t_be_used_fails_the_org_and_shows_no_value(store: Store) {
    let script = Script::new(&store, "exit 0");
    let server = script.start(&store, &[("RUST_LOG", "debug")]);
    let key = server.key(ALL_SCOPES);
    let long = format!(r#"printf '{{"secrets": {{"a": "{SECRET}%05000d"}}}}' 0"#);
    for (n, (lines, reason)) in [
        (format!("echo {SECRET}"), "it is not JSON: line 1, column 1"),
        (
            format!(r#"printf '{{"secrets": {{"a": "{SECRET}"'"#),
            "its JSON is cut off",
        ),
        (
            format!(r#"printf '{{"secrets": {{"a": "{SECRET}\377"}}}}'"#),
            "it is not UTF-8 text",
        ),
        (
            format!(r#"echo '{{"secrets": {{"a": "{SECRET}", "a": "{SECRET}"}}}}'"#),
            "secrets has the name a twice",
        ),
        (
            format!(r#"echo '{{"secrets": {{"a": ["{SECRET}"]}}}}'"#),
            "the value of a in secrets is not a string",
        ),
        (
            format!(r#"echo '{{"{SECRET}": "{SECRET}"}}'"#),
            "it has a member that is neither outputs nor secrets",
        ),
        (
            long,
            "the value of a in secrets is longer than 4096 characters",
        ),
        (
            format!("echo {SECRET}; head -c 1073741824 /dev/zero"),
            "it is longer than 64 KiB",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        script.write(&lines);
        let id = create(&key, &format!("acme-{n}"));
        let message = failure(&key, &id, "provisioner-output-invalid");
        let expect = format!("the answer of the provisioner can't be used: {reason}");
        assert_eq!(message, expect, "{lines}");
        key.wait(&id, "failed");
        let secrets = key.get(&format!("/cp/orgs/{id}/secrets")).expect(200);
        assert_eq!(secrets["secrets"], json!({}));
    }
    let peak = mebibytes(MemoryUse::of(server.process()).unwrap().peak);
    assert!(peak < 300, "{peak} MiB");
    let log = server.log();
    assert!(!log.contains(SECRET), "{log}");
}

fn secrets_are_hidden_in_what_a_program_says(store: Store) {
    let answer = format!(r#"{{"secrets": {{"a": "{SECRET}"}}}}"#);
    let says = format!("echo 'no role with {SECRET}, host db-1' >&2; exit 1");
    let script = Script::new(&store, &format!("echo '{answer}'; {says}"));
    let server = script.start(&store, &[("RUST_LOG", "debug")]);
    let key = server.key(ALL_SCOPES);
    let expect = "no role with [redacted], host db-1";
    let id = create(&key, "acme-one");
    assert_eq!(failure(&key, &id, "provisioner-failed"), expect);
    // Half an answer is enough to know what is secret.
    script.write(&format!("printf '{}'; {says}", &answer[..answer.len() - 3]));
    let id = create(&key, "acme-two");
    assert_eq!(failure(&key, &id, "provisioner-failed"), expect);
    // What the org has is secret as well, though this run does not name it.
    script.write(&format!("echo '{answer}'"));
    let id = key.org("acme-three")["id"].as_str().unwrap().to_owned();
    script.write(&says);
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    assert_eq!(failure(&key, &id, "provisioner-failed"), expect);
    let log = server.log();
    assert!(
        log.contains("no role with"),
        "the log says too little to be a test"
    );
    assert!(!log.contains(SECRET), "{log}");
}

fn no_secret_stands_anywhere_in_plain_text(store: Store) {
    let script = Script::new(&store, &handing_back());
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.push(("RUST_LOG", "debug"));
    let server = script.start(&store, &settings);
    let key = server.key(ALL_SCOPES);
    let receiver = Receiver::start();
    endpoint(&key, &receiver.url(), EVERYTHING);
    let id = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    let path = format!("/cp/orgs/{id}");
    key.get(&format!("{path}/secrets")).expect(200);
    let again = [
        ("idempotency-key", "once"),
        ("content-type", "application/json"),
    ];
    for _ in 0..2 {
        let rotated = key.send("POST", &format!("{path}/rotate-secrets"), &again, b"{}");
        rotated.expect(202);
    }
    // The program does not know the verb, so the old secrets stay.
    failure(&key, &id, "rotation-failed");
    key.delete(&path).expect(202);
    key.wait(&id, "deleted");
    let messages = receiver.wait(2);
    let bodies: String = messages.into_iter().map(|message| message.body).collect();
    let events = serde_json::to_string(&server.events("")).unwrap();
    let log = server.log();
    for (what, text) in [("messages", &bodies), ("events", &events), ("log", &log)] {
        assert!(text.contains(&id), "{what}");
        assert!(!text.contains(SECRET), "{what}: {text}");
    }
    let found = files_with(&store, "db-1.internal");
    assert!(!found.is_empty(), "the search finds what is there");
    let found = files_with(&store, SECRET);
    assert!(found.is_empty(), "{found:?}");
}

/// The files of the database that hold a text, also in what is deleted.
fn files_with(store: &Store, text: &str) -> Vec<PathBuf> {
    let url = store.database_url();
    let mut found = if let Some(server) = testkit::postgres::Server::shared()
        && url.starts_with("postgres")
    {
        server.ask(&url, "checkpoint");
        let own = "select oid from pg_database where datname = current_database()";
        let own = server.ask(&url, own);
        let data = server.folder().join("data");
        [data.join("base").join(own.trim()), data.join("pg_wal")]
            .iter()
            .flat_map(|folder| search::files_with(folder, text))
            .collect()
    } else {
        search::files_with(store.folder(), text)
    };
    // The script holds it.
    let script = store.folder().join("it's a folder; with $SPECIAL letters");
    found.retain(|path| !path.starts_with(&script));
    found
}
