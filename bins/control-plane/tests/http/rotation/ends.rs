//! What the end of a secret reaches: kept responses, events, messages, other instances, restored backups.

use std::{
    collections::BTreeSet,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{is_rotated_out, path, prefix, prefixes, rotate};
use crate::{
    again::{is_replay, post},
    kit::{ALL_SCOPES, Caller, Receiver, Store, eventually, within},
    webhooks::{ON_THIS_MACHINE, endpoint},
};

on_both_engines![
    a_rotation_sent_again_gives_the_same_secret_until_that_ends,
    every_event_names_the_secret_that_was_used,
    the_older_secret_ends_once_only_the_new_one_is_used,
    messages_tell_of_a_rotation_and_its_end,
    the_end_of_a_secret_reaches_every_instance_within_two_seconds,
    both_secrets_get_a_digest_under_the_new_pepper,
    ends_of_secrets_are_replayed_from_an_exported_log,
];

fn a_rotation_sent_again_gives_the_same_secret_until_that_ends(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let request = json!({"name": "sealed", "scopes": ["orgs:list"]});
    let list = "/cp/admin/partner-keys";
    let create = || post(&admin, list, "create", &request);
    let first = create();
    let created = first.expect(201);
    let own = format!("{list}/{}/rotate", created["id"].as_str().unwrap());
    let rotate = || post(&admin, &own, "rotate", &json!({}));
    let (rotated, again) = (rotate(), rotate());
    let issued = rotated.expect(201);
    is_replay(&rotated, &again);
    assert_eq!(server.events("action=key.rotate").len(), 2);
    is_replay(&first, &create());
    post(&admin, &own, "rotate", &json!({"overlap_seconds": 1}))
        .problem(422, "idempotency-key-reused");
    // The first secret ends, and with it the response that shows it; the other stays.
    let finish = format!("{own}/finish");
    let finished = post(&admin, &finish, "finish", &Value::Null);
    finished.expect(200);
    is_replay(&finished, &post(&admin, &finish, "finish", &Value::Null));
    create().problem(409, "key-state-conflict");
    is_replay(&rotated, &rotate());
    let third = post(&admin, &own, "third", &json!({}));
    let third = server.with_token(third.expect(201)["key"].as_str().unwrap());
    admin.post(&format!("{own}/cancel"), json!({})).expect(200);
    post(&admin, &own, "third", &json!({})).problem(409, "key-state-conflict");
    is_rotated_out(&third.get("/cp/orgs"));
    let key = server.with_token(issued["key"].as_str().unwrap());
    key.get("/cp/orgs").expect(200);
    is_replay(&rotated, &rotate());
    let last = json!({"overlap_seconds": 0});
    post(&admin, &own, "last", &last).expect(201);
    rotate().problem(409, "key-state-conflict");
    admin.delete(&format!("{list}/{}", created["id"].as_str().unwrap()));
    post(&admin, &own, "last", &last).problem(409, "key-state-conflict");
}

fn every_event_names_the_secret_that_was_used(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let (new, _) = rotate(&server, &key, json!({}));
    for caller in [&key, &new] {
        let slug = format!(
            "acme-{}",
            if std::ptr::eq(caller, &key) { "a" } else { "b" }
        );
        let ids: BTreeSet<String> = [
            caller.get("/cp/whoami"),
            caller.get("/cp/nothing"),
            caller.get("/cp/orgs"),
            caller.post(
                "/cp/orgs",
                json!({"name": "Acme", "slug": slug, "plan": "free"}),
            ),
            caller.post("/cp/orgs", json!({})),
        ]
        .iter()
        .map(|response| response.event().to_owned())
        .collect();
        assert_eq!(ids.len(), 5);
        for id in ids {
            let event = server
                .admin()
                .get(&format!("/cp/admin/audit-events/{id}"))
                .expect(200);
            assert_eq!(event["actor"]["key_prefix"], prefix(caller), "{event:#}");
        }
    }
    let event = &server.events("action=key.rotate")[0];
    assert_eq!(event["actor"]["key_prefix"], Value::Null, "an admin's");
}

/// It takes until the end of the minute in which the older one was used.
fn the_older_secret_ends_once_only_the_new_one_is_used(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let (new, issued) = rotate(&server, &key, json!({"finish_when_idle_seconds": 1}));
    key.get("/cp/orgs").expect(200);
    let last_use = OffsetDateTime::now_utc();
    new.get("/cp/orgs").expect(200);
    let read = within(Duration::from_secs(80), "the end by evidence", || {
        let read = server.admin().get(&key.path()).expect(200);
        sleep(Duration::from_millis(200));
        (prefixes(&read).len() == 1).then_some(read)
    });
    let ended = OffsetDateTime::now_utc();
    let minute_of = |at: OffsetDateTime| at.unix_timestamp() / 60;
    assert!(minute_of(ended) > minute_of(last_use), "never too early");
    assert_eq!(prefixes(&read), [prefix(&new)]);
    assert_eq!(prefixes(&issued).len(), 2);
    is_rotated_out(&key.get("/cp/orgs"));
    new.get("/cp/orgs").expect(200);
    let events = server.events("action=key.rotate_finish");
    let [event] = &events[..] else {
        panic!("{events:#?}")
    };
    assert_eq!(event["actor"]["type"], "system");
    assert_eq!(event["details"]["reason"], "idle");
    assert_eq!(event["details"]["ended_key_prefix"], prefix(&key));
}

fn messages_tell_of_a_rotation_and_its_end(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let receiver = Receiver::start();
    endpoint(
        &key,
        &receiver.url(),
        &["key.rotated", "key.rotation_ended"],
    );
    let (new, _) = rotate(&server, &key, json!({}));
    let messages = receiver.wait(1);
    let body = messages[0].json();
    assert_eq!(messages[0].kind(), "key.rotated");
    assert_eq!(prefixes(&body["data"]), [prefix(&new), prefix(&key)]);
    assert!(!body.to_string().contains(new.token()), "no secret");
    new.post(&path(&key, "/finish"), json!({})).expect(200);
    let messages = receiver.wait(2);
    assert_eq!(messages[1].kind(), "key.rotation_ended");
    assert_eq!(prefixes(&messages[1].json()["data"]), [prefix(&new)]);
}

fn the_end_of_a_secret_reaches_every_instance_within_two_seconds(store: Store) {
    let (first, second) = (store.start(), store.start());
    let key = first.key(&["orgs:list"]);
    for round in 0..5 {
        let (new, _) = rotate(&first, &key, json!({}));
        let on_second = [
            second.with_token(new.token()),
            second.with_token(key.token()),
        ];
        for caller in &on_second {
            caller.get("/cp/orgs").expect(200);
        }
        let [new, old] = on_second;
        // Which of the two ends, each in turn.
        let (verb, ended, kept) = if round == 4 {
            ("/finish", old, new)
        } else {
            ("/cancel", new, old)
        };
        first.admin().post(&path(&key, verb), json!({})).expect(200);
        let answered = Instant::now();
        let refused = loop {
            let response = ended.get("/cp/orgs");
            if response.status == 401 {
                break response;
            }
            assert!(answered.elapsed() < Duration::from_secs(2), "{response:#?}");
        };
        is_rotated_out(&refused);
        kept.get("/cp/orgs").expect(200);
    }
}

fn both_secrets_get_a_digest_under_the_new_pepper(store: Store) {
    const OLD: &str = "the-first-pepper-has-32-bytes-or-more";
    const NEW: &str = "the-second-pepper-has-32-bytes-or-more";
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", OLD)]);
    let key = server.key(&["orgs:list"]);
    let (new, _) = rotate(&server, &key, json!({}));
    drop(server);
    let both = [
        ("MOLECULE_CP_PEPPER", NEW),
        ("MOLECULE_CP_RETIRED_PEPPERS", OLD),
    ];
    let server = store.start_with(&both);
    let retired = || {
        let output = store.run(&["pepper", "status"], &both).stdout;
        let text = String::from_utf8(output).unwrap();
        let line = text.lines().find(|line| line.contains("  retired"));
        line.unwrap().to_owned()
    };
    server.with_token(new.token()).get("/cp/orgs").expect(200);
    assert!(retired().contains(" 1 partner keys"), "{}", retired());
    server.with_token(key.token()).get("/cp/orgs").expect(200);
    assert!(retired().contains(" 0 partner keys"), "{}", retired());
    drop(server);
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", NEW)]);
    for token in [new.token(), key.token()] {
        server.with_token(token).get("/cp/orgs").expect(200);
    }
}

/// The log of one key, with the id and the prefixes of another in its place, stands for that of a restored backup.
fn ends_of_secrets_are_replayed_from_an_exported_log(store: Store) {
    let server = store.start();
    let gone = server.key(&["orgs:list"]);
    rotate(&server, &gone, json!({"overlap_seconds": 0}));
    let rotation = &server.events("action=key.rotate")[0];
    let at = rotation["occurred_at"].as_str().unwrap();
    sleep(Duration::from_secs(2));
    let log = store.run(&["audit", "export", "--since", at], &[]).stdout;
    let log = String::from_utf8(log).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let replay = |of: &Caller| {
        let log = log
            .replace(gone.id(), of.id())
            .replace(prefix(&gone), prefix(of));
        std::fs::write(&file, log).unwrap();
        let path = file.to_str().unwrap();
        let output = store.run(&["key", "revoke-since", at, "--log", path], &[]);
        assert!(output.status.success(), "{output:#?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let is_refused = |key: &Caller| {
        let refused = eventually("a refusal", || {
            Some(key.get("/cp/orgs")).filter(|response| response.status != 200)
        });
        is_rotated_out(&refused);
    };
    // The backup has the rotation, and not its end.
    let rotated = server.key(&["orgs:list"]);
    let (new, _) = rotate(&server, &rotated, json!({}));
    let told = replay(&rotated);
    assert!(told.contains("ended 1 secrets"), "{told}");
    is_refused(&rotated);
    new.get("/cp/orgs").expect(200);
    assert!(replay(&rotated).contains("ended 0 secrets"));
    // The backup is from before the rotation: nobody has the newer secret any more.
    let restored = server.key(&["orgs:list"]);
    let told = replay(&restored);
    assert!(
        told.contains("ended 1 secrets") && told.contains(restored.id()),
        "{told}"
    );
    is_refused(&restored);
    let (new, _) = rotate(&server, &restored, json!({}));
    new.get("/cp/orgs").expect(200);
}
