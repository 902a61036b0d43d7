//! Rotation of keys: two secrets for a while, and then one.

mod ends;

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::kit::{Caller, Response, Server, Store, eventually, tokens};

on_both_engines![
    both_secrets_work_until_the_older_one_ends,
    an_overlap_of_zero_ends_the_old_secret_at_once,
    a_cancelled_rotation_leaves_the_key_as_it_was,
    a_key_has_two_secrets_at_the_most,
    only_a_key_that_can_be_used_is_rotated,
    requests_that_make_no_sense_are_refused,
    a_key_rotates_itself_alone,
    a_key_rotates_itself_six_times_an_hour_apart_from_its_limit,
];

fn path(key: &Caller, verb: &str) -> String {
    format!("{}/rotate{verb}", key.path())
}

/// Rotates a key by an admin; the caller with the new secret.
#[track_caller]
fn rotate(server: &Server, key: &Caller, body: Value) -> (Caller, Value) {
    let issued = server.admin().post(&path(key, ""), body).expect(201);
    let token = issued["key"].as_str().unwrap();
    assert!(tokens::is_well_formed(token, "mol_pk_"));
    assert!(token.starts_with(issued["key_prefix"].as_str().unwrap()));
    (server.with_token(token), issued)
}

fn prefixes(key: &Value) -> Vec<&str> {
    let secrets = key["secrets"].as_array().unwrap().iter();
    secrets
        .map(|secret| secret["key_prefix"].as_str().unwrap())
        .collect()
}

fn prefix(key: &Caller) -> &str {
    &key.token()[..12]
}

#[track_caller]
fn is_rotated_out(response: &Response) {
    let problem = response.problem(401, "key-expired");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("rotated out"), "{detail}");
    let challenge = response.header("www-authenticate");
    assert!(challenge.contains("invalid_token"), "{challenge}");
    response.event();
}

fn both_secrets_work_until_the_older_one_ends(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    assert_eq!(prefixes(key.resource()), [prefix(&key)]);
    assert_eq!(
        key.get("/cp/whoami").header_if_any("deprecation"),
        None,
        "it has no successor"
    );
    let before = OffsetDateTime::now_utc().unix_timestamp();
    let (new, issued) = rotate(&server, &key, Value::Null);
    for (member, value) in key.resource().as_object().unwrap() {
        if !["key", "key_prefix", "secrets", "last_used_at"].contains(&member.as_str()) {
            assert_eq!(&issued[member], value, "{member}");
        }
    }
    assert_eq!(prefixes(&issued), [prefix(&new), prefix(&key)]);
    assert_eq!(issued["secrets"][0]["expires_at"], Value::Null);
    let end = issued["secrets"][1]["expires_at"].as_str().unwrap();
    let end = OffsetDateTime::parse(end, &Rfc3339).unwrap();
    assert!((86_400..86_410).contains(&(end.unix_timestamp() - before)));
    new.get("/cp/orgs").expect(200);
    let old = key.get("/cp/orgs");
    old.expect(200);
    let since = old.header("deprecation").strip_prefix('@').unwrap();
    let since: i64 = since.parse().unwrap();
    assert!((before..before + 10).contains(&since), "{since}");
    let sunset = old.header("sunset");
    assert!(sunset.ends_with(" GMT") && sunset.len() == 29, "{sunset}");
    let day = end.day();
    assert!(sunset.contains(&format!(", {day:02} ")), "{sunset} {end}");
    // Refusals too; nothing to those with the new one, nor to admins.
    let refused = key.post("/cp/orgs", json!({}));
    refused.problem(403, "insufficient-scope");
    assert_eq!(refused.header("sunset"), sunset);
    for response in [new.get("/cp/orgs"), admin.get(&key.path())] {
        assert_eq!(response.header_if_any("deprecation"), None);
        assert_eq!(response.header_if_any("sunset"), None);
    }
    let read = admin.get(&key.path()).expect(200);
    for place in 0..2 {
        let used = &read["secrets"][place]["last_used_at"];
        assert!(used.is_string(), "{read:#}");
    }
    assert_eq!(admin.all("/cp/admin/partner-keys")[0], read);

    let finished = admin.post(&path(&key, "/finish"), Value::Null).expect(200);
    assert_eq!(prefixes(&finished), [prefix(&new)]);
    is_rotated_out(&key.get("/cp/orgs"));
    is_rotated_out(&key.get("/cp/nothing"));
    new.get("/cp/orgs").expect(200);
    let event = &server.events("action=key.rotate_finish")[0];
    assert_eq!(event["details"]["ended_key_prefix"], prefix(&key));
    let events = server.events("outcome=denied&action=request.unrouted");
    assert_eq!(events[0]["actor"]["id"], key.id(), "a known key");
    assert_eq!(events[0]["actor"]["key_prefix"], prefix(&key));
    // Until the next rotation, which ends what is known of it.
    rotate(&server, &key, json!({}));
    key.get("/cp/orgs").problem(401, "invalid-key");
}

fn an_overlap_of_zero_ends_the_old_secret_at_once(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    key.get("/cp/orgs").expect(200);
    let (new, issued) = rotate(&server, &key, json!({"overlap_seconds": 0}));
    assert_eq!(prefixes(&issued), [prefix(&new)]);
    is_rotated_out(&key.get("/cp/orgs"));
    new.get("/cp/orgs").expect(200);
    let event = &server.events("action=key.rotate")[0];
    assert_eq!(event["details"]["ended_key_prefix"], prefix(&key));
    assert_eq!(event["details"]["key_prefix"], prefix(&new));
    assert_eq!(event["target"]["id"], key.id());
    // The overlap that is over by itself has its event too.
    let (third, _) = rotate(&server, &key, json!({"overlap_seconds": 1}));
    eventually("the end of the overlap", || {
        (new.get("/cp/orgs").status == 401).then_some(())
    });
    is_rotated_out(&new.get("/cp/orgs"));
    let event = eventually("its event", || {
        server.events("action=key.rotate_finish").pop()
    });
    assert_eq!(event["actor"]["type"], "system");
    assert_eq!(event["actor"]["partner_id"], key.partner_id());
    assert_eq!(event["details"]["reason"], "overlap");
    assert_eq!(event["details"]["ended_key_prefix"], prefix(&new));
    third.get("/cp/orgs").expect(200);
}

fn a_cancelled_rotation_leaves_the_key_as_it_was(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    let (new, _) = rotate(&server, &key, json!({}));
    new.get("/cp/orgs").expect(200);
    let cancelled = admin.post(&path(&key, "/cancel"), json!({})).expect(200);
    assert_eq!(cancelled["key_prefix"], prefix(&key));
    assert_eq!(prefixes(&cancelled), [prefix(&key)]);
    is_rotated_out(&new.get("/cp/orgs"));
    let response = key.get("/cp/orgs");
    response.expect(200);
    assert_eq!(response.header_if_any("deprecation"), None);
    let event = &server.events("action=key.rotate_cancel")[0];
    assert_eq!(event["details"]["ended_key_prefix"], prefix(&new));
    for verb in ["/cancel", "/finish"] {
        let refused = admin.post(&path(&key, verb), json!({}));
        refused.problem(409, "key-state-conflict");
    }
    let (third, issued) = rotate(&server, &key, json!({}));
    assert_eq!(prefixes(&issued), [prefix(&third), prefix(&key)]);
    new.get("/cp/orgs").problem(401, "invalid-key");
    key.get("/cp/orgs").expect(200);
    third.get("/cp/orgs").expect(200);
}

fn a_key_has_two_secrets_at_the_most(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let (new, _) = rotate(&server, &key, json!({}));
    let refused = server.admin().post(&path(&key, ""), json!({}));
    let problem = refused.problem(409, "key-state-conflict");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("finish or cancel"), "{detail}");
    for caller in [&key, &new] {
        caller.get("/cp/orgs").expect(200);
    }
}

fn only_a_key_that_can_be_used_is_rotated(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    let conflict = |verb: &str| {
        let refused = admin.post(&path(&key, verb), json!({}));
        let problem = refused.problem(409, "key-state-conflict");
        problem["detail"].as_str().unwrap().to_owned()
    };
    let set = |disabled: bool| {
        let change = json!({"disabled": disabled});
        admin.patch(&key.path(), change).expect(200)
    };
    set(true);
    assert!(conflict("").contains("disabled"));
    set(false);
    let (new, _) = rotate(&server, &key, json!({}));
    // What takes rights away is allowed.
    set(true);
    admin.post(&path(&key, "/finish"), json!({})).expect(200);
    new.get("/cp/orgs").problem(401, "key-disabled");
    key.get("/cp/orgs").problem(401, "key-disabled");
    assert_eq!(admin.delete(&key.path()).status, 204);
    for verb in ["", "/finish", "/cancel"] {
        assert!(conflict(verb).contains("revoked"), "{verb}");
    }
    // The key itself is the stronger reason.
    key.get("/cp/orgs").problem(401, "key-revoked");
    let unknown = "/cp/admin/partner-keys/pak_01HXKM4000000000000000000A/rotate";
    admin.post(unknown, json!({})).problem(404, "not-found");
}

fn requests_that_make_no_sense_are_refused(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    for (body, pointers) in [
        (json!({"overlap_seconds": -1}), ["/overlap_seconds"]),
        (json!({"overlap_seconds": 2_592_001}), ["/overlap_seconds"]),
        (json!({"overlap_seconds": "60"}), ["/overlap_seconds"]),
        (json!({"overlap_seconds": 1.5}), ["/overlap_seconds"]),
        (
            json!({"finish_when_idle_seconds": 0}),
            ["/finish_when_idle_seconds"],
        ),
        (
            json!({"finish_when_idle_seconds": 2_592_001}),
            ["/finish_when_idle_seconds"],
        ),
        (json!({"key": "mol_pk_mine"}), ["/key"]),
    ] {
        let refused = admin.post(&path(&key, ""), body);
        refused.problem(422, "validation-failed");
        assert_eq!(refused.pointers(), pointers);
    }
    let sent = |verb: &str, body: &[u8]| admin.send("POST", &path(&key, verb), &[], body);
    sent("", b"[]").problem(422, "validation-failed");
    sent("", b"{").problem(400, "invalid-request");
    for verb in ["/finish", "/cancel"] {
        sent(verb, b"{\"now\": true}").problem(422, "validation-failed");
    }
    let with_query = format!("{}?overlap_seconds=0", path(&key, ""));
    admin
        .post(&with_query, json!({}))
        .problem(400, "invalid-request");
    admin
        .get(&path(&key, ""))
        .problem(405, "method-not-allowed");
    assert_eq!(
        prefixes(&admin.get(&key.path()).expect(200)),
        [prefix(&key)]
    );
    let allowed = json!({"overlap_seconds": 2_592_000, "finish_when_idle_seconds": 2_592_000});
    rotate(&server, &key, allowed);
}

fn a_key_rotates_itself_alone(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let sister = server.key_of(key.partner_id(), &["orgs:list"]);
    let foreign = server.key(&["orgs:list"]);
    for verb in ["", "/finish", "/cancel"] {
        let of = |other| key.post(&path(other, verb), json!({}));
        of(&sister).problem(403, "not-permitted");
        of(&foreign).problem(404, "not-found");
    }
    let issued = key.post(&path(&key, ""), json!({})).expect(201);
    let new = server.with_token(issued["key"].as_str().unwrap());
    // The one that has lost the new secret still has the older one.
    key.post(&path(&key, "/cancel"), json!({})).expect(200);
    is_rotated_out(&new.get("/cp/orgs"));
    let issued = key.post(&path(&key, ""), json!({})).expect(201);
    let new = server.with_token(issued["key"].as_str().unwrap());
    let finished = new.post(&path(&key, "/finish"), json!({})).expect(200);
    assert_eq!(prefixes(&finished), [prefix(&new)]);
    is_rotated_out(&key.get("/cp/orgs"));
    let event = &server.events("action=key.rotate_finish&outcome=success")[0];
    assert_eq!(event["actor"]["key_prefix"], prefix(&new));
}

fn a_key_rotates_itself_six_times_an_hour_apart_from_its_limit(store: Store) {
    let server = store.start();
    let limit = json!({"limit": 1, "window_seconds": 3600});
    let mut key = server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit}));
    key.get("/cp/orgs").expect(200);
    key.get("/cp/orgs").problem(429, "rate-limited");
    let own = path(&key, "");
    for left in (0..6).rev() {
        let response = key.post(&own, json!({"overlap_seconds": 0}));
        let issued = response.expect(201);
        let limits = response.header("ratelimit");
        assert!(
            limits.starts_with(&format!("\"rotation\";r={left};")),
            "{limits}"
        );
        key = server.with_token(issued["key"].as_str().unwrap());
    }
    let refused = key.post(&own, json!({"overlap_seconds": 0}));
    let problem = refused.problem(429, "rate-limited");
    assert_eq!(problem["violated-policies"], json!(["rotation"]));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() <= 600);
    // Its ends have another, and an admin has its own limit.
    key.post(&format!("{own}/finish"), json!({}))
        .problem(409, "key-state-conflict");
    let admin = server.admin();
    admin.post(&own, json!({})).expect(201);
    key.post(&format!("{own}/finish"), json!({})).expect(200);
}
