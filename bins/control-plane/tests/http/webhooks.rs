//! Webhooks, with receivers on this machine.

mod endpoints;
mod refusals;
mod secrets;

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Reaction, Receiver, Store, eventually};

on_both_engines![
    a_partner_receives_messages_about_its_orgs_and_keys,
    a_refused_message_is_sent_again_with_the_same_id,
    a_receiver_that_is_gone_ends_its_endpoint,
    a_receiver_that_never_answers_holds_up_no_other,
    partners_whose_receivers_never_answer_hold_up_no_other,
    a_message_outlives_the_server,
    a_message_is_sent_again_on_request,
    a_key_that_ends_soon_is_announced_once,
    deliveries_are_counted,
];

/// Whoever receives is on this machine.
pub const ON_THIS_MACHINE: &[(&str, &str)] = &[("MOLECULE_CP_WEBHOOK_ALLOW_PRIVATE", "true")];

pub const EVERYTHING: &[&str] = &[
    "org.ready",
    "org.updated",
    "org.failed",
    "org.suspended",
    "org.resumed",
    "org.deleted",
    "org.expiring",
    "key.leaked",
    "key.revoked",
    "key.expiring",
];

/// An endpoint as its creation shows it.
#[track_caller]
pub fn endpoint(key: &Caller, url: &str, events: &[&str]) -> Value {
    let request = json!({"url": url, "events": events});
    key.post("/cp/webhook-endpoints", request).expect(201)
}

pub fn path(endpoint: &Value) -> String {
    format!("/cp/webhook-endpoints/{}", endpoint["id"].as_str().unwrap())
}

#[track_caller]
pub fn deliveries(key: &Caller, endpoint: &Value) -> Vec<Value> {
    key.all(&format!("{}/deliveries", path(endpoint)))
}

/// The newest delivery, once it has this status and has been tried.
#[track_caller]
pub fn settled(key: &Caller, endpoint: &Value, status: &str) -> Value {
    eventually(&format!("a delivery is {status}"), || {
        let newest = deliveries(key, endpoint).into_iter().next()?;
        (newest["status"] == status && !newest["last_answer"].is_null()).then_some(newest)
    })
}

fn a_partner_receives_messages_about_its_orgs_and_keys(store: Store) {
    let receiver = Receiver::start();
    let proxy = Receiver::start();
    let address = format!("http://127.0.0.1:{}", proxy.port());
    let mut settings = ON_THIS_MACHINE.to_vec();
    settings.extend([
        ("HTTP_PROXY", &*address),
        ("http_proxy", &address),
        ("ALL_PROXY", &address),
    ]);
    let server = store.start_with(&settings);
    let (key, unrelated) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let created = endpoint(&key, &receiver.url(), EVERYTHING);
    let secret = created["secret"].as_str().unwrap();
    unrelated.org("acme-foreign");

    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let of_org = format!("/cp/admin/orgs/{id}");
    let admin = server.admin();
    admin
        .post(&format!("{of_org}/suspend"), Value::Null)
        .expect(200);
    admin
        .post(&format!("{of_org}/resume"), Value::Null)
        .expect(200);
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(id, "deleted");
    let other = server.key_of(key.partner_id(), &["orgs:list"]);
    assert_eq!(other.delete(&other.path()).status, 204);

    let got = receiver.wait(5);
    let mut kinds: Vec<_> = got.iter().map(crate::kit::Message::kind).collect();
    kinds.sort_unstable();
    let expect = [
        "key.revoked",
        "org.deleted",
        "org.ready",
        "org.resumed",
        "org.suspended",
    ];
    assert_eq!(kinds, expect);
    for message in &got {
        assert_eq!(message.asked, "POST /hooks?x=1 HTTP/1.1");
        assert_eq!(message.header("content-type"), "application/json");
        assert_eq!(
            message.header("host"),
            format!("127.0.0.1:{}", receiver.port())
        );
        assert!(
            message.header("webhook-id").starts_with("whd_"),
            "{message:#?}"
        );
        assert!(message.is_signed_with(secret), "{message:#?}");
        let body = message.json();
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["data", "timestamp", "type"], "{message:#?}");
        let about = if message.kind() == "key.revoked" {
            other.id()
        } else {
            id
        };
        assert_eq!(body["data"]["id"], about, "{message:#?}");
        assert!(!message.body.contains("mol_pk_") || message.kind() == "key.revoked");
    }
    let ready = got
        .iter()
        .find(|message| message.kind() == "org.ready")
        .unwrap();
    assert_eq!(ready.json()["data"], org, "the resource as it was then");
    eventually("all are recorded as delivered", || {
        let actual = deliveries(&key, &created);
        (actual.len() == 5 && actual.iter().all(|it| it["status"] == "delivered")).then_some(())
    });
    let actual = settled(&key, &created, "delivered");
    assert_eq!(actual["attempts"], 1);
    assert_eq!(actual["last_answer"]["status_code"], 200);
    assert_eq!(actual["last_answer"]["excerpt"], "so be it");
    assert_eq!(actual["last_answer"]["error"], Value::Null);
    assert_eq!(actual["next_attempt_at"], Value::Null);
    assert_eq!(receiver.got().len(), 5, "each is sent once");
    assert_eq!(proxy.got().len(), 0, "no proxy of the environment is used");
}

fn a_refused_message_is_sent_again_with_the_same_id(store: Store) {
    let receiver = Receiver::reacting(|n| Reaction::Status(if n == 0 { 500 } else { 204 }));
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), &["org.ready"]);
    key.org("acme-corp");
    let put_off = settled(&key, &created, "pending");
    assert_eq!(put_off["last_answer"]["status_code"], 500);
    let error = put_off["last_answer"]["error"].as_str().unwrap();
    assert!(error.contains("500"), "{error}");
    assert_ne!(put_off["next_attempt_at"], Value::Null);
    assert_eq!(put_off["delivered_at"], Value::Null);

    let got = receiver.wait(2);
    let (first, second) = (&got[0], &got[1]);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    let at = |n: usize| got[n].header("webhook-timestamp").parse::<u64>().unwrap();
    assert!((5..=9).contains(&(at(1) - at(0))), "{} {}", at(0), at(1));
    assert!(second.is_signed_with(created["secret"].as_str().unwrap()));
    let actual = settled(&key, &created, "delivered");
    assert_eq!(actual["attempts"], 2);
    assert_eq!(actual["id"], first.header("webhook-id"));
}

fn a_receiver_that_is_gone_ends_its_endpoint(store: Store) {
    let receiver = Receiver::reacting(|n| Reaction::Status(if n == 0 { 410 } else { 200 }));
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), &["org.ready"]);
    key.org("acme-one");
    let actual = settled(&key, &created, "failed");
    assert_eq!(actual["last_answer"]["status_code"], 410);
    let now = key.get(&path(&created)).expect(200);
    assert_eq!(now["status"], "disabled");
    assert_ne!(now["disabled_at"], Value::Null);
    key.org("acme-two");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(receiver.got().len(), 1, "nothing more is sent");

    let test = key
        .post(&format!("{}/test", path(&created)), Value::Null)
        .expect(200);
    assert_eq!(test["type"], "webhook.test");
    settled(&key, &created, "delivered");
    assert_eq!(receiver.wait(2)[1].kind(), "webhook.test");
    assert_eq!(key.get(&path(&created)).expect(200)["status"], "active");
    let actions: Vec<Value> = server
        .events("")
        .into_iter()
        .filter(|event| event["target"]["type"] == "webhook_endpoint")
        .map(|event| json!([event["actor"]["type"], event["action"]]))
        .filter(|actual| actual[0] == "system")
        .collect();
    let expect = [
        json!(["system", "webhook.disabled"]),
        json!(["system", "webhook.enabled"]),
    ];
    assert_eq!(actions, expect);
}

fn a_receiver_that_never_answers_holds_up_no_other(store: Store) {
    let (silent, good) = (Receiver::reacting(|_| Reaction::Silence), Receiver::start());
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    for _ in 0..3 {
        endpoint(&key, &silent.url(), &["org.ready"]);
    }
    endpoint(&key, &good.url(), &["org.ready"]);
    for n in 0..8 {
        key.org(&format!("acme-{n}"));
    }
    let began = std::time::Instant::now();
    good.wait(8);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(silent.got().len() <= 6, "two at a time for each endpoint");
    let (status, log) = server.terminate(Duration::from_secs(10));
    assert!(status.success(), "{log}");
}

/// Four partners with all the endpoints that they can have, of which none answers: another's messages
/// come soon all the same.
fn partners_whose_receivers_never_answer_hold_up_no_other(store: Store) {
    let (silent, good) = (Receiver::reacting(|_| Reaction::Silence), Receiver::start());
    let server = store.start_with(ON_THIS_MACHINE);
    let hostile: Vec<_> = (0..4).map(|_| server.key(ALL_SCOPES)).collect();
    for (n, key) in hostile.iter().enumerate() {
        for _ in 0..16 {
            endpoint(key, &silent.url(), &["org.ready"]);
        }
        for m in 0..3 {
            key.org(&format!("silent-{n}-{m}"));
        }
    }
    silent.wait(4);
    let key = server.key(ALL_SCOPES);
    endpoint(&key, &good.url(), &["org.ready"]);
    for n in 0..20 {
        key.org(&format!("acme-{n}"));
    }
    let began = std::time::Instant::now();
    good.wait(20);
    let took = began.elapsed();
    // An attempt at one that is silent ends after twenty seconds.
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(
        silent.got().len() <= 4 * 8 * 2,
        "each partner has its share"
    );
    let text = server.anon().get("/metrics").body;
    let deferred = "molecule_webhook_endpoints_deferred{reason=\"partner_share\"}";
    assert!(text.contains(deferred), "{text}");
}

/// Killed in the middle of an attempt, and with messages that were never tried.
fn a_message_outlives_the_server(store: Store) {
    let receiver = Receiver::reacting(|n| match n {
        0 => Reaction::Silence,
        _ => Reaction::Status(200),
    });
    let mut server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    endpoint(&key, &receiver.url(), &["org.ready"]);
    key.org("acme-one");
    receiver.wait(1);
    let token = key.token().to_owned();
    server.kill();
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.with_token(&token);
    key.org("acme-two");
    // The first is held for up to ten seconds by whoever was killed.
    let got = receiver.wait(3);
    let ids: Vec<_> = got
        .iter()
        .map(|message| message.header("webhook-id"))
        .collect();
    assert!(ids[1..].contains(&ids[0]), "{ids:?}");
    assert_eq!(got.len(), 3, "{ids:?}");
}

fn a_message_is_sent_again_on_request(store: Store) {
    let receiver = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), &["org.ready"]);
    key.org("acme-corp");
    let first = settled(&key, &created, "delivered");
    let id = first["id"].as_str().unwrap();
    let again = format!("{}/deliveries/{id}/redeliver", path(&created));
    let actual = key.post(&again, Value::Null).expect(200);
    assert_eq!(
        (&actual["id"], &actual["status"]),
        (&json!(id), &json!("pending"))
    );
    let got = receiver.wait(2);
    assert_eq!(got[1].header("webhook-id"), id);
    assert_eq!(got[1].body, got[0].body);
    eventually("it is delivered again", || {
        let actual = settled(&key, &created, "delivered");
        (actual["attempts"] == 2).then_some(())
    });
    let missing = again.replace(id, "whd_01HXKM4000000000000000000A");
    key.post(&missing, Value::Null).problem(404, "not-found");
    let beside = endpoint(&key, &receiver.url(), &["org.ready"]);
    let elsewhere = format!("{}/deliveries/{id}/redeliver", path(&beside));
    key.post(&elsewhere, Value::Null).problem(404, "not-found");
}

fn a_key_that_ends_soon_is_announced_once(store: Store) {
    let receiver = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    endpoint(&key, &receiver.url(), &["key.expiring"]);
    let end = time::OffsetDateTime::now_utc() + Duration::from_secs(300);
    let end = end
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let ending = server.issue(json!({
        "scopes": ["orgs:list"], "partner_id": key.partner_id(), "expires_at": end,
    }));
    let got = receiver.wait(1);
    assert_eq!(got[0].kind(), "key.expiring");
    assert_eq!(got[0].json()["data"]["id"], ending.id());
    thread::sleep(Duration::from_secs(5));
    assert_eq!(receiver.got().len(), 1);
}

fn deliveries_are_counted(store: Store) {
    let receiver = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    endpoint(&key, &receiver.url(), &["org.ready"]);
    endpoint(&key, "http://127.0.0.1:9/", &["org.ready"]);
    key.org("acme-corp");
    receiver.wait(1);
    eventually("the numbers are reported", || {
        let text = server.anon().get("/metrics").body;
        let tells = |line: &str| text.lines().any(|it| it == line);
        (tells("molecule_webhook_attempts_total{outcome=\"delivered\"} 1")
            && text.contains("molecule_webhook_attempts_total{outcome=\"retry\"}")
            && tells("molecule_webhook_deliveries_pending 1")
            && text.contains("molecule_webhook_oldest_due_seconds "))
        .then_some(())
    });
    let text = server.anon().get("/metrics").body;
    for private in ["127.0.0.1:9", "whe_", "whd_", key.partner_id()] {
        assert!(!text.contains(private), "{private}");
    }
}
