//! What a partner and an operator do, against the real server, on SQLite and on PostgreSQL.

mod parts;

use std::{env, fs, path::PathBuf};

use serde_json::Value;
use testkit::{
    postgres,
    server::{ADMIN_KEY, Server, Setup},
};

use self::parts::{any_call, operators, protected_orgs};
use crate::kit::Home;

/// The server that was built beside this test.
fn program() -> PathBuf {
    let own = env::current_exe().unwrap();
    let program = own.parent().unwrap().with_file_name("molecule-cp");
    assert!(
        program.exists(),
        "build the server first: cargo build -p molecule-cp"
    );
    program
}

pub fn start(home: &Home, database_url: Option<String>) -> Server {
    let mut setup = Setup::new(program(), home.path())
        .with("WEBHOOK_ALLOW_PRIVATE", "true")
        .with("OIDC_ALLOW_PRIVATE", "true");
    setup.database_url = database_url;
    setup.start().unwrap()
}

#[test]
fn partners_and_operators_on_sqlite() {
    let home = Home::new();
    let server = start(&home, None);
    flow(&server);
}

#[test]
fn partners_and_operators_on_postgres() {
    if let Some(postgres) = postgres::Server::shared() {
        let home = Home::new();
        let server = start(&home, Some(postgres.new_database()));
        flow(&server);
    }
}

fn flow(server: &Server) {
    let operator = Home::with(&server.url(), ADMIN_KEY);
    let json = |home: &Home, args: &[&str]| -> Value {
        home.run(&[args, &["-o", "json"]].concat()).ended(0).json()
    };
    let text = |value: &Value, name: &str| {
        value[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {value}"))
            .to_owned()
    };

    // The operator makes a partner and a key.
    let partner = json(
        &operator,
        &[
            "admin",
            "partner",
            "create",
            "Acme",
            "--max-orgs",
            "5",
            "--label",
            "region:eu",
        ],
    );
    let partner_id = text(&partner, "id");
    let changed = json(
        &operator,
        &[
            "admin",
            "partner",
            "update",
            &partner_id,
            "--clear",
            "max-orgs",
            "--rate-limit",
            "1000/60",
            "--remove-label",
            "region",
        ],
    );
    assert_eq!(
        (&changed["max_orgs"], &changed["rate_limit"]["limit"]),
        (&Value::Null, &1000.into())
    );
    assert_eq!(changed["labels"], serde_json::json!({}));
    let mut create = vec![
        "admin",
        "key",
        "create",
        "ci",
        "--partner",
        &partner_id,
        "--expires-in-days",
        "30",
    ];
    for scope in [
        "orgs:create",
        "orgs:list",
        "orgs:delete",
        "workspaces:create",
        "billing:read",
        "audit:read",
        "webhooks:manage",
    ] {
        create.extend(["--scope", scope]);
    }
    let key = json(&operator, &create);
    let (key_id, secret) = (text(&key, "id"), text(&key, "key"));
    assert_eq!(
        json(&operator, &["admin", "key", "get", &key_id])["name"],
        "ci"
    );

    // A partner logs in.
    let home = Home::new();
    let file = home.write("key.txt", &format!("{secret}\r\n"));
    let login = [
        "login",
        "--server",
        &server.url(),
        "--key-file",
        file.to_str().unwrap(),
    ];
    home.run(&login).ended(0);
    fs::remove_file(file).unwrap();
    let whoami = json(&home, &["whoami"]);
    assert_eq!(whoami["credential"]["id"], *key_id);
    assert!(text(&whoami, "key").ends_with(&format!(
        "from profile default ({})",
        home.config().display()
    )));

    // Orgs: the same command with the same key of idempotency makes one.
    let org_args = [
        "org",
        "create",
        "acme-corp",
        "--plan",
        "standard",
        "--label",
        "run_id:7",
        "--ttl",
        "1h",
        "--wait",
        "--idempotency-key",
        "run-7",
    ];
    let org = json(&home, &org_args);
    let id = text(&org, "id");
    assert_eq!(
        (&*text(&org, "status"), &*text(&org, "name")),
        ("ready", "acme-corp")
    );
    assert_eq!(json(&home, &org_args)["id"], *id);
    home.run(&["org", "create", "acme-corp", "--plan", "standard"])
        .ended(6)
        .says("slug-taken");
    home.run(&["org", "create", "Acme", "--plan", "none"])
        .ended(2);
    let table = home.run(&["org", "list"]).ended(0).stdout;
    assert!(
        table.starts_with("ID ") && table.contains(&id) && table.contains("ready"),
        "{table}"
    );
    let lines = home
        .run(&["org", "list", "--label", "run_id:7", "-o", "ndjson"])
        .ended(0)
        .stdout;
    assert_eq!(lines.lines().count(), 1);
    assert_eq!(
        json(&home, &["org", "list", "--status", "failed"]),
        serde_json::json!([])
    );
    assert_eq!(json(&home, &["org", "get", &id])["slug"], "acme-corp");
    assert_eq!(
        json(&home, &["org", "status", &id, "--watch"])["status"],
        "ready"
    );
    assert_ne!(
        json(&home, &["org", "renew", &id, "--ttl", "2h"])["expires_at"],
        org["expires_at"]
    );

    // What is in an org.
    assert_eq!(
        json(&home, &["workspace", "create", &id, "QA team"])["slug"],
        "qa-team"
    );
    let workspaces = json(&home, &["workspace", "list", &id]);
    assert_eq!(workspaces.as_array().unwrap().len(), 2);
    assert_eq!(
        json(&home, &["billing", &id])["subscription"]["status"],
        "active"
    );
    let past_due = ["admin", "org", "set-billing", &id, "--status", "past_due"];
    assert_eq!(
        json(&operator, &past_due)["subscription"]["status"],
        "past_due"
    );

    // Webhooks.
    let hook = json(
        &home,
        &[
            "webhook",
            "create",
            "http://127.0.0.1:9/",
            "--event",
            "org.deleted",
        ],
    );
    let hook_id = text(&hook, "id");
    assert!(text(&hook, "secret").starts_with("whsec_"));
    assert_eq!(
        json(&home, &["webhook", "get", &hook_id])["url"],
        "http://127.0.0.1:9/"
    );
    let delivery = text(&json(&home, &["webhook", "test", &hook_id]), "id");
    let deliveries = json(&home, &["webhook", "deliveries", &hook_id]);
    assert_eq!(deliveries[0]["id"], *delivery);
    assert_ne!(
        text(
            &json(&home, &["webhook", "rotate-secret", &hook_id]),
            "secret"
        ),
        text(&hook, "secret")
    );
    let paused = json(&home, &["webhook", "update", &hook_id, "--disabled"]);
    assert_eq!(
        (
            &*text(&paused, "status"),
            &*text(&paused, "disabled_reason")
        ),
        ("disabled", "paused")
    );
    let update = [
        "webhook",
        "update",
        &hook_id,
        "--enabled",
        "--url",
        "http://127.0.0.1:9/hooks",
        "--event",
        "org.ready",
    ];
    let enabled = json(&home, &update);
    assert_eq!(
        (&*text(&enabled, "status"), &enabled["events"]),
        ("active", &serde_json::json!(["org.ready"]))
    );
    let again = ["webhook", "redeliver", &hook_id];
    let since = ["--since", "2026-04-23T08:00:00Z"];
    let count = json(&home, &[&again[..], &since].concat());
    assert_eq!(count, serde_json::json!({"count": 0}));
    home.run(&again).ended(2);
    assert_eq!(
        home.run(&["webhook", "delete", &hook_id, "-o", "json"])
            .ended(0)
            .stdout,
        ""
    );
    assert_eq!(json(&home, &["webhook", "list"]), serde_json::json!([]));

    protected_orgs(&home, &key_id, &json);
    operators(&operator, &home, &id, &partner_id, &json);
    any_call(&home, &json);

    // The end: orgs go by label, the key by itself.
    let dry = json(
        &home,
        &["org", "delete", "--label", "run_id:7", "--dry-run"],
    );
    assert_eq!(
        (dry[0]["id"].as_str(), dry[0]["status"].as_str()),
        (Some(&*id), Some("ready"))
    );
    let gone = json(
        &home,
        &["org", "delete", "--label", "run_id:7", "--yes", "--wait"],
    );
    assert_eq!(gone[0]["status"], "deleted");
    home.run(&["org", "delete", &id]).ended(0);
    home.run(&["org", "get", "org_01J9ZK6V3QG8W0T5N4R2M7XACD"])
        .ended(5)
        .says("not-found");
    home.run(&["key", "revoke", "--self"]).ended(0);
    home.run(&["whoami"]).ended(4).says("key-revoked");
    let status = json(
        &operator,
        &[
            "admin",
            "key",
            "list",
            "--partner",
            &partner_id,
            "--status",
            "revoked",
        ],
    );
    assert_eq!(status[0]["id"], *key_id);
}
