//! GitHub's secret scanning partner program, with keys of our own in the place of GitHub's.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::{EncodePublicKey as _, LineEnding},
};
use serde_json::{Value, json};

use super::is_revoked;
use crate::kit::{Response, Server, Store, tokens};

on_both_engines![
    it_is_off_until_the_keys_are_named,
    a_signed_report_revokes_and_says_what_is_real,
    what_is_not_signed_as_it_is_changes_nothing,
    a_list_that_can_not_be_read_denies_nothing,
    a_report_larger_than_other_bodies_is_read,
    whoever_sends_no_report_is_limited,
];

const GITHUB: &str = "/cp/leaks/github";

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

/// A list with the keys of these seeds, under their names.
fn list(folder: &tempfile::TempDir, keys: &[(&str, u8)]) -> PathBuf {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(name, seed)| {
            let pem = signing_key(*seed)
                .verifying_key()
                .to_public_key_pem(LineEnding::LF)
                .unwrap();
            json!({"key_identifier": name, "key": pem, "is_current": true})
        })
        .collect();
    let path = folder.path().join("keys.json");
    fs::write(&path, json!({"public_keys": keys}).to_string()).unwrap();
    path
}

fn start(store: &Store, path: &std::path::Path) -> Server {
    store.start_with(&[("MOLECULE_CP_GITHUB_KEYS_FILE", path.to_str().unwrap())])
}

fn sign(seed: u8, body: &[u8]) -> String {
    let signature: Signature = signing_key(seed).sign(body);
    STANDARD.encode(signature.to_der())
}

#[track_caller]
fn send(server: &Server, identifier: &str, signature: &str, body: &[u8]) -> Response {
    let headers = [
        ("content-type", "application/json"),
        ("github-public-key-identifier", identifier),
        ("github-public-key-signature", signature),
    ];
    server.anon().send("POST", GITHUB, &headers, body)
}

fn found(token: &str) -> Value {
    json!({
        "token": token, "type": "molecule_partner_key",
        "url": "https://github.com/octocat/Hello-World/blob/12345600b9cbe38a219f39a9941c9319b600c002/foo/bar.txt",
        "source": "content",
    })
}

fn it_is_off_until_the_keys_are_named(store: Store) {
    let server = store.start();
    let body = json!([found("x")]).to_string();
    let signature = sign(1, body.as_bytes());
    send(&server, "one", &signature, body.as_bytes()).problem(404, "not-found");
}

fn a_signed_report_revokes_and_says_what_is_real(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&store, &list(&folder, &[("old", 1), ("new", 2)]));
    let (first, second) = (server.key(&["orgs:list"]), server.key(&["orgs:list"]));
    let unknown = tokens::well_formed("mol_pk_");
    let mistyped = tokens::mistyped(first.token());
    let texts = [
        "some_token",
        first.token(),
        unknown.as_str(),
        second.token(),
        first.token(),
        mistyped.as_str(),
    ];
    let body = Value::from_iter(texts.map(found)).to_string();
    for (identifier, seed) in [("new", 2), ("old", 1)] {
        let signature = sign(seed, body.as_bytes());
        let answer = send(&server, identifier, &signature, body.as_bytes()).expect(200);
        let labels = ["false", "true", "false", "true", "true", "false"];
        let expect = std::iter::zip(texts, labels).map(|(text, label)| {
            json!({
                "token_raw": text, "token_type": "molecule_partner_key",
                "label": format!("{label}_positive"),
            })
        });
        assert_eq!(answer, Value::from_iter(expect));
        // It is in force when it is answered.
        for key in [&first, &second] {
            key.get("/cp/whoami").problem(401, "key-revoked");
            is_revoked(&server, key);
        }
    }
    let events = server.events("action=key.leaked");
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["details"]["source"], "github: content");
    assert_eq!(events[0]["details"]["url"], found("x")["url"]);
}

fn what_is_not_signed_as_it_is_changes_nothing(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&store, &list(&folder, &[("one", 1)]));
    let key = server.key(&["orgs:list"]);
    let body = json!([found(key.token())]).to_string();
    let good = sign(1, body.as_bytes());
    let refused = |identifier: &str, signature: &str, body: &str| {
        let response = send(&server, identifier, signature, body.as_bytes());
        response.problem(403, "not-permitted");
        assert!(!response.body.contains(key.token()));
    };
    refused("one", &sign(2, body.as_bytes()), &body);
    refused("two", &good, &body);
    refused("", &good, &body);
    refused("one", "", &body);
    refused("one", "not base64!", &body);
    refused("one", &good[..good.len() - 4], &body);
    refused("one", &good, &format!("{body} "));
    refused("one", &good, &body.replace("content", "commit"));
    let anon = server.anon();
    let json_type = [("content-type", "application/json")];
    anon.send("POST", GITHUB, &json_type, body.as_bytes())
        .problem(403, "not-permitted");
    let twice = [
        ("github-public-key-identifier", "one"),
        ("github-public-key-signature", good.as_str()),
        ("github-public-key-signature", good.as_str()),
    ];
    anon.send("POST", GITHUB, &twice, body.as_bytes())
        .problem(403, "not-permitted");
    // What is signed and no report.
    for wrong in ["{}", "[1]", "", "[{\"token\": \"x\"}]"] {
        let response = send(&server, "one", &sign(1, wrong.as_bytes()), wrong.as_bytes());
        response.problem(400, "invalid-request");
    }
    key.get("/cp/whoami").expect(200);
    // Whoever goes on so is limited; a report that is signed is not.
    let statuses = (0..70).map(|_| send(&server, "one", &sign(2, b"[]"), b"[]").status);
    assert!(statuses.collect::<Vec<_>>().contains(&429));
}

fn a_list_that_can_not_be_read_denies_nothing(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let server = store.start_with(&[
        ("MOLECULE_CP_WEBHOOK_ALLOW_PRIVATE", "true"),
        ("MOLECULE_CP_GITHUB_KEYS_URL", "http://127.0.0.1:9/keys"),
    ]);
    let body = json!([found("x")]).to_string();
    let response = send(&server, "one", &sign(1, body.as_bytes()), body.as_bytes());
    response.problem(503, "unavailable");
    response.header("retry-after");
    drop(server);
    let path = folder.path().join("none.json");
    let refused = store.run(
        &["serve"],
        &[("MOLECULE_CP_GITHUB_KEYS_FILE", path.to_str().unwrap())],
    );
    assert!(!refused.status.success());
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("github_keys_file"), "{text}");
}

fn a_report_larger_than_other_bodies_is_read(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&store, &list(&folder, &[("one", 1)]));
    let key = server.key(&["orgs:list"]);
    let mut leaks = vec![found("some_token"); 2000];
    leaks.push(found(key.token()));
    let body = Value::from(leaks).to_string();
    assert!(body.len() > 256 * 1024);
    let answer = send(&server, "one", &sign(1, body.as_bytes()), body.as_bytes()).expect(200);
    assert_eq!(answer.as_array().unwrap().len(), 2001);
    assert_eq!(answer[2000]["label"], "true_positive");
    is_revoked(&server, &key);
    let large = "x".repeat(1024 * 1024 + 1);
    send(&server, "one", &sign(1, b"x"), large.as_bytes()).problem(413, "payload-too-large");
}

fn whoever_sends_no_report_is_limited(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&store, &list(&folder, &[("one", 1)]));
    let headers = [
        ("github-public-key-identifier", "one"),
        ("github-public-key-signature", "x"),
        ("content-type", "text/plain"),
    ];
    let anon = server.anon();
    let statuses = (0..70).map(|_| anon.send("POST", GITHUB, &headers, b"[]").status);
    let statuses: Vec<_> = statuses.collect();
    assert_eq!(statuses[0], 415);
    assert_eq!(statuses[69], 429);
}
