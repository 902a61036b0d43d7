//! The secret that a response kept for a replay shows.

use serde_json::{Value, json};
use testkit::search::files_with;

use super::{is_replay, post};
use crate::kit::{ADMIN_KEY, Response, Server, Store};

on_both_engines![
    a_revoked_keys_creation_is_not_replayed,
    a_kept_answer_outlives_a_restart,
];

const PATH: &str = "/cp/admin/partner-keys";

fn request() -> Value {
    json!({"name": "k", "scopes": ["orgs:list"]})
}

fn create(server: &Server, key: &str) -> Response {
    post(&server.admin(), PATH, key, &request())
}

fn a_revoked_keys_creation_is_not_replayed(store: Store) {
    let server = store.start();
    let (by_admin, by_itself) = (create(&server, "one"), create(&server, "two"));
    let stays = create(&server, "three");
    for (created, admin) in [(&by_admin, true), (&by_itself, false)] {
        let key = created.expect(201);
        let token = if admin {
            ADMIN_KEY
        } else {
            key["key"].as_str().unwrap()
        };
        let path = format!("{PATH}/{}", key["id"].as_str().unwrap());
        assert_eq!(server.with_token(token).delete(&path).status, 204);
    }
    for key in ["one", "two"] {
        for _ in 0..2 {
            let response = create(&server, key);
            response.problem(409, "key-state-conflict");
            response.event();
        }
        // Which body it was is still known.
        let other = json!({"name": "other", "scopes": ["orgs:list"]});
        let response = post(&server.admin(), PATH, key, &other);
        assert_eq!(response.json()["code"], "idempotency-key-reused");
    }
    is_replay(&stays, &create(&server, "three"));
    assert_eq!(server.admin().all(PATH).len(), 3);
}

fn a_kept_answer_outlives_a_restart(store: Store) {
    let server = store.start();
    let first = create(&server, "one");
    first.expect(201);
    drop(server);
    let server = store.start();
    is_replay(&first, &create(&server, "one"));
    assert_eq!(server.admin().all(PATH).len(), 1);
}

#[test]
fn the_files_of_sqlite_hold_no_secret_that_can_be_replayed() {
    let store = Store::sqlite();
    let server = store.start();
    let first = create(&server, "an-idempotency-key-of-the-tests");
    let key = first.expect(201);
    let token = key["key"].as_str().unwrap();
    is_replay(&first, &create(&server, "an-idempotency-key-of-the-tests"));
    let check = || {
        let holds = |text: &str| !files_with(store.folder(), text).is_empty();
        // The id is there, so this is where the secret would be.
        assert!(holds(key["id"].as_str().unwrap()));
        assert!(!holds(token) && !holds(&token[12..]));
    };
    check();
    assert_eq!(
        server
            .admin()
            .delete(&format!("{PATH}/{}", key["id"].as_str().unwrap()))
            .status,
        204
    );
    check();
    drop(server);
    check();
    let _server = store.start();
    check();
}
