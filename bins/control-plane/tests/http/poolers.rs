//! Through PgBouncer in transaction mode, with the server itself for what needs a session of its own.

use std::thread;

use serde_json::json;
use testkit::postgres::{PgBouncer, Server as Postgres};

use crate::kit::{ALL_SCOPES, Store};

const CALLERS: usize = 4;
const ORGS: usize = 5;

#[test]
fn a_pipeline_runs_on_two_instances_through_a_pooler_in_transaction_mode() {
    let Some(postgres) = Postgres::shared() else {
        return;
    };
    let Some(pooler) = PgBouncer::start(postgres, "transaction") else {
        return;
    };
    let direct = postgres.new_database();
    let store = Store::at(pooler.url(postgres, &direct));
    let settings = [("MOLECULE_CP_DIRECT_DATABASE_URL", direct.as_str())];
    let servers = [store.start_with(&settings), store.start_with(&settings)];
    // Quotas take locks, and the sessions of the pooler are fewer than the callers' transactions.
    let key = servers[0].issue(json!({
        "scopes": ALL_SCOPES,
        "max_live_orgs": CALLERS * ORGS,
        "rate_limit": {"limit": 100_000, "window_seconds": 60},
    }));
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let client = servers[caller % 2].with_token(key.token());
            scope.spawn(move || {
                for n in 0..ORGS {
                    let slug = format!("org-{caller}-{n}");
                    let request = json!({"name": slug, "slug": slug, "plan": "standard"});
                    let org = client.post("/cp/orgs", request).expect(201);
                    client.wait(org["id"].as_str().unwrap(), "ready");
                }
            });
        }
    });
    let one_more = json!({"name": "one more", "slug": "one-more", "plan": "standard"});
    key.post("/cp/orgs", one_more)
        .problem(409, "org-quota-exceeded");
    assert_eq!(key.all("/cp/orgs").len(), CALLERS * ORGS);
    let created = servers[1].events(&format!("key_id={}&action=org.create", key.id()));
    assert_eq!(created.len(), CALLERS * ORGS + 1);
    // A revocation is in force on both, and both have confirmed it.
    let revoked = servers[1]
        .admin()
        .send("DELETE", &key.path(), &[("prefer", "wait=10")], b"")
        .expect(200);
    assert_eq!(revoked["confirmed"].as_array().unwrap().len(), 2);
    for server in &servers {
        server
            .with_token(key.token())
            .get("/cp/whoami")
            .problem(401, "key-revoked");
    }
}
