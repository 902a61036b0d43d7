//! What else partners and operators do: the parts of the flow that stand by themselves.

use serde_json::Value;

use crate::kit::Home;

/// Options, protection from deletion, and what orgs are found by.
pub fn protected_orgs(home: &Home, key_id: &str, json: &dyn Fn(&Home, &[&str]) -> Value) {
    let create = [
        "org",
        "create",
        "kept-org",
        "--plan",
        "enterprise",
        "--options",
        r#"{"size": 3}"#,
        "--delete-protection",
        "--wait",
    ];
    let org = json(home, &create);
    assert_eq!(
        (&org["options"]["size"], &org["delete_protection"]),
        (&3.into(), &true.into())
    );
    let id = org["id"].as_str().unwrap();
    home.run(&["org", "delete", id])
        .ended(6)
        .says("org-delete-protected");
    home.run(&[&create[..], &["--ttl", "1h"]].concat()).ended(2);
    let found = |filters: &[&str]| {
        let orgs = json(home, &[&["org", "list"], filters].concat());
        let slugs = orgs.as_array().unwrap().iter();
        slugs
            .map(|org| org["slug"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let created = org["created_at"].as_str().unwrap();
    assert_eq!(found(&["--plan", "enterprise"]), ["kept-org"]);
    assert_eq!(found(&["--created-since", created]), ["kept-org"]);
    assert_eq!(found(&["--created-until", created]), ["acme-corp"]);
    assert_eq!(found(&["--created-by-key", key_id]).len(), 2);
    let end = "2099-01-01T00:00:00Z";
    assert_eq!(found(&["--expires-before", end]), ["acme-corp"]);
}

/// What operators see and do.
pub fn operators(
    operator: &Home,
    home: &Home,
    id: &str,
    partner: &str,
    json: &dyn Fn(&Home, &[&str]) -> Value,
) {
    let orgs = json(operator, &["admin", "org", "list", "--partner", partner]);
    assert_eq!(orgs[1]["id"], id);
    assert_eq!(
        json(operator, &["admin", "org", "suspend", id])["status"],
        "suspended"
    );
    home.run(&["workspace", "create", id, "Late"])
        .ended(6)
        .says("org-state-conflict");
    assert_eq!(
        json(operator, &["admin", "org", "resume", id])["status"],
        "ready"
    );
    operator.run(&["admin", "org", "retry", id]).ended(6);
    operator
        .run(&["org", "list"])
        .ended(3)
        .says("not-permitted");
    home.run(&["admin", "partner", "list"])
        .ended(3)
        .says("not-permitted");
    assert_eq!(
        json(operator, &["admin", "instances"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let other = json(
        operator,
        &[
            "admin",
            "key",
            "create",
            "other",
            "--scope",
            "orgs:list",
            "--max-ttl",
            "2h",
        ],
    );
    assert_eq!(other["max_ttl_seconds"], 7200);
    let other = other["id"].as_str().unwrap();
    let update = ["admin", "key", "update", other];
    let longer = json(operator, &[&update[..], &["--max-ttl", "1d"]].concat());
    assert_eq!(longer["max_ttl_seconds"], 86_400);
    let none = json(operator, &[&update[..], &["--clear", "max-ttl"]].concat());
    assert_eq!(none["max_ttl_seconds"], Value::Null);
    assert_eq!(
        json(operator, &["admin", "key", "update", other, "--disable"])["status"],
        "disabled"
    );
    assert_eq!(
        json(operator, &["admin", "key", "update", other, "--enable"])["status"],
        "active"
    );
    operator.run(&["admin", "key", "revoke", other]).ended(0);
    // Lists of events are two seconds behind.
    std::thread::sleep(std::time::Duration::from_millis(2200));
    let events = json(
        home,
        &["audit", "--action", "org.create", "--outcome", "success"],
    );
    assert_eq!(events[1]["target"]["id"], id);
    let events = json(
        operator,
        &["admin", "audit", "--partner", partner, "--org", id, "--all"],
    );
    assert!(events.as_array().unwrap().len() > 5, "{events}");
}

/// Calls that have no command of their own.
pub fn any_call(home: &Home, json: &dyn Fn(&Home, &[&str]) -> Value) {
    assert_eq!(
        json(
            home,
            &["api", "/cp/orgs", "-X", "get", "-f", "slug=acme-corp"]
        )["data"][0]["slug"],
        "acme-corp"
    );
    for n in 1..=3 {
        let slug = format!("api-{n}");
        let args = [
            "api",
            "/cp/orgs",
            "-f",
            "name=a",
            "-f",
            &format!("slug={slug}"),
            "-f",
            "plan=free",
            "-F",
            "ttl_seconds=600",
        ];
        assert_eq!(json(home, &args)["slug"], slug);
    }
    let all = json(home, &["api", "/cp/orgs?limit=1", "--paginate"]);
    assert_eq!(all.as_array().unwrap().len(), 5, "{all}");
    let calls = json(home, &["api", "--list"]);
    let has = |method: &str, path: &str| {
        calls
            .as_array()
            .unwrap()
            .iter()
            .any(|call| call["method"] == method && call["path"] == path)
    };
    assert!(
        has("POST", "/cp/orgs") && has("DELETE", "/cp/admin/partner-keys/{id}"),
        "{calls}"
    );
    assert!(
        home.run(&["api", "/metrics"])
            .ended(0)
            .stdout
            .contains("# TYPE")
    );
    home.run(&["api", "/metrics", "-o", "json"]).ended(1);
}
