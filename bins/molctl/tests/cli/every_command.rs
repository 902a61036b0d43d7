//! Every command, in every way in which a server can fail: the exit code, and that the formats for programs hold
//! nothing else.

use std::thread;

use crate::kit::{Home, KEY, Ran, Scripted, nobody};

/// Arguments for each command that calls the server; a command that is missing here fails the test.
const CALLS: &[&[&str]] = &[
    &["login"],
    &[
        "auth",
        "exchange",
        "--rule",
        RULE,
        "--jwt-file",
        "/proc/sys/kernel/ostype",
    ],
    &["whoami"],
    &["org", "create", "acme-corp", "--plan", "free", "--wait"],
    &["org", "list"],
    &["org", "get", ORG],
    &["org", "status", ORG],
    &["org", "status", ORG, "--watch"],
    &["org", "renew", ORG, "--ttl", "1h"],
    &["org", "delete", ORG, "--wait"],
    &["org", "outputs", ORG],
    &["org", "secrets", ORG],
    &["org", "rotate-secrets", ORG],
    &["org", "update", ORG, "--plan", "free", "--wait"],
    &["plan", "list"],
    &["org", "delete", "--label", "run_id:1", "--yes"],
    &["org", "delete", "--label", "run_id:1", "--dry-run"],
    &["workspace", "create", ORG, "QA"],
    &["workspace", "list", ORG],
    &["billing", ORG],
    &["audit"],
    &[
        "webhook",
        "create",
        "https://h.example/",
        "--event",
        "org.ready",
    ],
    &["webhook", "list"],
    &["webhook", "get", ENDPOINT],
    &["webhook", "update", ENDPOINT, "--disabled"],
    &["webhook", "delete", ENDPOINT],
    &["webhook", "rotate-secret", ENDPOINT],
    &["webhook", "test", ENDPOINT],
    &["webhook", "deliveries", ENDPOINT],
    &[
        "webhook",
        "redeliver",
        ENDPOINT,
        "whd_01J9ZK7P2Q3R4S5T6V7W8X9Y0Z",
    ],
    &[
        "webhook",
        "redeliver",
        ENDPOINT,
        "--since",
        "2026-04-23T08:00:00Z",
    ],
    &["key", "list"],
    &["key", "get"],
    &["key", "rotate"],
    &["key", "rotate", "--finish"],
    &["key", "revoke", "--self"],
    &["key", "revoke", "--self", "--reason", "leaked"],
    &["admin", "partner", "create", "Acme"],
    &["admin", "partner", "list"],
    &["admin", "partner", "get", PARTNER],
    &["admin", "partner", "update", PARTNER, "--name", "Acme"],
    &["admin", "key", "create", "ci", "--scope", "orgs:list"],
    &["admin", "key", "list"],
    &["admin", "key", "get", PARTNER_KEY],
    &["admin", "key", "update", PARTNER_KEY, "--disable"],
    &["admin", "key", "rotate", PARTNER_KEY, "--overlap", "2h"],
    &["admin", "key", "finish-rotation", PARTNER_KEY],
    &["admin", "key", "cancel-rotation", PARTNER_KEY],
    &["admin", "key", "revoke", PARTNER_KEY],
    &[
        "admin",
        "key",
        "revoke",
        PARTNER_KEY,
        "--reason",
        "superseded",
    ],
    &[
        "admin",
        "trust-rule",
        "create",
        "ci",
        "--partner",
        PARTNER,
        "--issuer",
        "https://gitlab.com",
        "--audience",
        "cp",
        "--claim",
        "project_id=7",
        "--scope",
        "orgs:list",
    ],
    &["admin", "trust-rule", "list"],
    &["admin", "trust-rule", "get", RULE],
    &["admin", "trust-rule", "update", RULE, "--disable"],
    &["admin", "trust-rule", "delete", RULE],
    &["admin", "org", "list"],
    &["admin", "org", "get", ORG],
    &["admin", "org", "suspend", ORG],
    &["admin", "org", "resume", ORG],
    &["admin", "org", "retry", ORG],
    &["admin", "org", "set-billing", ORG, "--status", "active"],
    &["admin", "audit"],
    &["admin", "instances"],
    &["api", "/cp/orgs"],
    &["api", "/cp/orgs", "--paginate"],
    &["api", "--list"],
];

/// Commands that call no server.
const LOCAL: &[&[&str]] = &[&["completion", "bash"], &["man", "."]];

const ORG: &str = "org_01J9ZK6V3QG8W0T5N4R2M7XACD";
const ENDPOINT: &str = "whe_01J9ZK7H5J6K7M8N9P0Q1R2S3T";
const RULE: &str = "tru_01J9ZK8Q1R2S3T4V5W6X7Y8Z9A";
const PARTNER: &str = "ptn_01J9ZK5H8D3M6Q7R1S2T4V5W6X";
const PARTNER_KEY: &str = "pak_01J9ZK60AB1CD2EF3GH4JK5MN6";

/// The paths of all commands that have no further ones.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let path = format!("{path} {}", command.get_name());
    if command.get_subcommands().next().is_none() {
        found.push(path.clone());
    }
    for inner in command.get_subcommands() {
        leaves(inner, &path, found);
    }
}

#[test]
fn every_command_has_arguments_here() {
    let mut found = Vec::new();
    leaves(&molctl::command(), "", &mut found);
    for path in &found {
        let words: Vec<_> = path.split_whitespace().skip(1).collect();
        let listed = CALLS
            .iter()
            .chain(LOCAL)
            .any(|args| args.starts_with(&words));
        assert!(listed, "add arguments for `molctl {}`", words.join(" "));
    }
    assert!(found.len() > 30, "{found:?}");
}

/// A server that fails, and the exit code that it makes.
struct Case {
    name: &'static str,
    url: String,
    code: i32,
    /// Keeps the server.
    _server: Option<Scripted>,
}

fn cases() -> Vec<Case> {
    let case = |name, code, server: Scripted| Case {
        name,
        url: server.url(),
        code,
        _server: Some(server),
    };
    let page = "<html><title>Sign in</title></html>";
    vec![
        case("401", 4, Scripted::problem(401, "invalid-key")),
        case("403", 3, Scripted::problem(403, "insufficient-scope")),
        case("404", 5, Scripted::problem(404, "not-found")),
        case("409", 6, Scripted::problem(409, "org-state-conflict")),
        case("422", 2, Scripted::problem(422, "validation-failed")),
        case("429", 7, Scripted::problem(429, "rate-limited")),
        case("500", 1, Scripted::problem(500, "internal")),
        case("HTML, 200", 1, Scripted::new(200, "text/html", page, &[])),
        case("HTML, 401", 1, Scripted::new(401, "text/html", page, &[])),
        case(
            "HTML, 502",
            1,
            Scripted::new(502, "text/html; charset=utf-8", page, &[]),
        ),
        case(
            "a redirect",
            1,
            Scripted::new(
                302,
                "text/html",
                "",
                &[("location", "http://elsewhere.example/")],
            ),
        ),
        case(
            "no JSON",
            1,
            Scripted::new(200, "application/json", "{\"id\":", &[]),
        ),
        Case {
            name: "network gone",
            url: nobody(),
            code: 1,
            _server: None,
        },
    ]
}

#[test]
fn every_command_tells_each_failure_by_its_exit_code() {
    let cases = cases();
    let threads: Vec<_> = CALLS
        .chunks(CALLS.len().div_ceil(4))
        .map(|calls| {
            let cases: Vec<_> = cases
                .iter()
                .map(|case| (case.name, case.url.clone(), case.code))
                .collect();
            thread::spawn(move || {
                for args in calls {
                    for (name, url, code) in &cases {
                        check(args, name, url, *code);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[track_caller]
fn check(args: &[&str], name: &str, url: &str, code: i32) {
    let home = Home::with(url, KEY);
    for format in ["table", "json", "yaml", "ndjson"] {
        let args: Vec<_> = args.iter().copied().chain(["--output", format]).collect();
        let ran = home.run(&args);
        assert_eq!(ran.code, code, "{name}: {ran:?}");
        assert_eq!(ran.stdout, "", "{name}: {ran:?}");
        assert!(!ran.stderr.contains(KEY), "{name}: {ran:?}");
        if format == "table" {
            assert!(ran.stderr.starts_with("molctl: "), "{name}: {ran:?}");
        } else {
            describes(&ran, code);
        }
    }
}

/// The error as programs read it.
#[track_caller]
fn describes(ran: &Ran, code: i32) {
    let error = ran.error();
    assert_eq!(error["exit_code"], code, "{ran:?}");
    assert!(!error["detail"].as_str().unwrap().is_empty(), "{ran:?}");
    if error["status"].is_u64() {
        assert_eq!(error["request_id"], "req_1", "{ran:?}");
    }
}

#[test]
fn local_commands_need_no_server() {
    let home = Home::new();
    for args in LOCAL {
        home.run(args).ended(0);
    }
    assert!(home.path().join("molctl-org-create.1").exists());
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            home.run(&["completion", shell])
                .ended(0)
                .stdout
                .contains("molctl"),
            "{shell}"
        );
    }
}

/// Only what may succeed later is tried again, with the same key of idempotency, and not for ever.
#[test]
fn a_post_is_tried_again_with_the_same_idempotency_key() {
    let server = Scripted::problem(503, "unavailable");
    let home = Home::with(&server.url(), KEY);
    let args = [
        "org",
        "create",
        "acme-corp",
        "--plan",
        "free",
        "--retry-for",
        "3s",
    ];
    home.run(&args).ended(1);
    let keys: Vec<_> = server
        .requests()
        .iter()
        .map(|request| {
            request
                .lines()
                .find(|line| line.starts_with("idempotency-key:"))
                .unwrap()
                .to_owned()
        })
        .collect();
    // Retry-After is a second.
    assert!((2..=3).contains(&keys.len()), "{keys:?}");
    assert!(
        keys.iter().all(|key| *key == keys[0] && key.len() > 40),
        "{keys:?}"
    );

    let server = Scripted::problem(422, "validation-failed");
    let home = Home::with(&server.url(), KEY);
    home.run(&args).ended(2);
    assert_eq!(server.requests().len(), 1);
}
