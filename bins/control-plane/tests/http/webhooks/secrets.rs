//! The secret of an endpoint: shown once, rotated, and nowhere else.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::search::files_with;

use super::{EVERYTHING, ON_THIS_MACHINE, endpoint, path, settled};
use crate::kit::{ALL_SCOPES, Receiver, Store};

on_both_engines![
    while_secrets_rotate_all_that_overlap_sign,
    an_endpoint_that_is_requested_twice_is_created_once,
    a_webhook_secret_is_never_logged_and_never_shown_again,
];

fn while_secrets_rotate_all_that_overlap_sign(store: Store) {
    let receiver = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), EVERYTHING);
    let rotated = key.post(&format!("{}/rotate-secret", path(&created)), json!({}));
    let rotated = rotated.expect(200);
    assert_eq!(rotated["id"], created["id"]);
    assert_ne!(rotated["secret"], created["secret"]);
    assert_ne!(rotated["old_secret_expires_at"], Value::Null);
    let again = key.post(&format!("{}/rotate-secret", path(&created)), json!({}));
    let again = again.expect(200);
    key.post(&format!("{}/test", path(&created)), Value::Null)
        .expect(200);
    let message = receiver.wait(1).remove(0);
    for shown in [&created, &rotated, &again] {
        assert!(message.is_signed_with(shown["secret"].as_str().unwrap()));
    }
    assert_eq!(message.header("webhook-signature").split(' ').count(), 3);
    assert!(!message.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
}

fn an_endpoint_that_is_requested_twice_is_created_once(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let body = json!({"url": "https://hooks.invalid/", "events": ["org.ready"]}).to_string();
    let send = |path: &str, body: &str| {
        let headers = [("idempotency-key", "a-new-endpoint")];
        key.send("POST", path, &headers, body.as_bytes())
    };
    let first = send("/cp/webhook-endpoints", &body);
    let again = send("/cp/webhook-endpoints", &body);
    let created = first.expect(201);
    assert_eq!(again.body, first.body, "the secret too, byte for byte");
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(key.all("/cp/webhook-endpoints").len(), 1);
    let rotate = format!("{}/rotate-secret", path(&created));
    let (first, again) = (send(&rotate, ""), send(&rotate, ""));
    assert_ne!(first.expect(200)["secret"], created["secret"]);
    assert_eq!(again.body, first.body);
}

fn a_webhook_secret_is_never_logged_and_never_shown_again(store: Store) {
    let receiver = Receiver::start();
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.push(("RUST_LOG", "trace"));
    let server = store.start_with(&settings);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), EVERYTHING);
    let rotated = key.post(&format!("{}/rotate-secret", path(&created)), json!({}));
    let rotated = rotated.expect(200);
    key.post(&format!("{}/test", path(&created)), Value::Null)
        .expect(200);
    settled(&key, &created, "delivered");
    // Neither the text nor the base64 alone.
    let secrets: Vec<&str> = [&created, &rotated]
        .iter()
        .map(|shown| {
            shown["secret"]
                .as_str()
                .unwrap()
                .trim_start_matches("whsec_")
        })
        .collect();
    let of = path(&created);
    for response in [
        key.get("/cp/webhook-endpoints"),
        key.get(&of),
        key.get(&format!("{of}/deliveries")),
        key.get("/cp/audit-events"),
        server.admin().get("/cp/admin/audit-events?limit=100"),
    ] {
        for secret in &secrets {
            assert!(!response.body.contains(secret), "{response:#?}");
        }
    }
    let (status, log) = server.terminate(Duration::from_secs(20));
    assert!(status.success());
    assert!(
        log.contains("\"TRACE\"") || log.contains("\"DEBUG\""),
        "{log}"
    );
    for secret in secrets {
        assert!(!log.contains(secret), "{secret}");
        let found = files_with(store.folder(), secret);
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
}
