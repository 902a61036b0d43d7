//! Where messages do not go: to addresses that are not public, and to where a receiver leads.

use serde_json::{Value, json};

use super::{ON_THIS_MACHINE, endpoint, path, settled};
use crate::kit::{ALL_SCOPES, Reaction, Receiver, Store, eventually};

on_both_engines![
    an_address_that_is_not_public_is_not_called,
    a_redirect_is_not_followed,
    an_unreachable_receiver_is_explained,
];

/// What was allowed when the endpoint was made is looked at again when it is called.
fn an_address_that_is_not_public_is_not_called(store: Store) {
    let receiver = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let port = receiver.port();
    let by_name = endpoint(&key, &format!("https://localhost.:{port}/"), &["org.ready"]);
    let by_address = endpoint(&key, &format!("https://127.0.0.1:{port}/"), &["org.ready"]);
    let plain = endpoint(&key, &receiver.url(), &["org.ready"]);
    let token = key.token().to_owned();
    drop(server);

    let server = store.start();
    let key = server.with_token(&token);
    key.org("acme-corp");
    for (created, words) in [
        (&by_name, "the public internet"),
        (&by_address, "a loopback address"),
        (&plain, "https://"),
    ] {
        let actual = settled(&key, created, "pending");
        let response = &actual["last_answer"];
        assert_eq!(response["status_code"], Value::Null, "{actual:#}");
        let error = response["error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
        let test = key.post(&format!("{}/test", path(created)), Value::Null);
        test.expect(200);
        let actual = settled(&key, created, "failed");
        assert_eq!(actual["type"], "webhook.test", "{actual:#}");
    }
    assert_eq!(receiver.got().len(), 0);
}

fn a_redirect_is_not_followed(store: Store) {
    let inner = Receiver::start();
    let to = inner.url();
    let outer = Receiver::reacting(move |_| Reaction::Redirect(to.clone()));
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &outer.url(), &["org.ready"]);
    key.post(&format!("{}/test", path(&created)), Value::Null)
        .expect(200);
    let actual = settled(&key, &created, "failed");
    assert_eq!(actual["last_answer"]["status_code"], 302);
    let error = actual["last_answer"]["error"].as_str().unwrap();
    assert!(error.contains("redirects are not followed"), "{error}");
    assert_eq!(outer.got().len(), 1);
    assert_eq!(inner.got().len(), 0);
}

fn an_unreachable_receiver_is_explained(store: Store) {
    let plain = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let port = plain.port();
    for (url, words) in [
        ("http://127.0.0.1:9/".to_owned(), "refused"),
        ("http://no-such-host.invalid/".to_owned(), "address"),
        (format!("https://127.0.0.1:{port}/"), "TLS"),
    ] {
        let created = endpoint(&key, &url, &["org.ready"]);
        key.post(&format!("{}/test", path(&created)), Value::Null)
            .expect(200);
        let actual = eventually("the test has failed", || {
            let actual = settled(&key, &created, "failed");
            (actual["attempts"] == 1).then_some(actual)
        });
        let error = actual["last_answer"]["error"].as_str().unwrap();
        assert!(error.contains(words), "{url}: {error}");
        assert_eq!(actual["last_answer"]["excerpt"], json!(null));
    }
}
