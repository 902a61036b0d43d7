//! What is wrong on the user's side: one clear line each, and the right exit code.

use std::{fs, io::Read as _, os::unix::fs::PermissionsExt, process::Stdio};

use crate::kit::{Home, KEY, Scripted};

/// Somebody that `whoami` tells of.
const WHOAMI: &str = r#"{"credential":{"type":"partner_key","id":"pak_01J9ZK60AB1CD2EF3GH4JK5MN6","name":"ci","scopes":["orgs:list","orgs:fly"],"org_id":null,"org_plans":null,"max_live_orgs":null,"allowed_cidrs":null,"expires_at":null,"newer":1},"partner":null,"limits":[]}"#;

fn whoami() -> Scripted {
    Scripted::new(200, "application/json", WHOAMI, &[])
}

#[test]
fn a_login_keeps_the_key_where_only_its_owner_reads_it() {
    let (server, home) = (whoami(), Home::new());
    // The end of a line of Windows is no part of a key.
    let args = [
        "login",
        "--server",
        &server.url(),
        "--key-stdin",
        "-o",
        "json",
    ];
    let login = home.run_with(&args, &format!("{KEY}\r\n")).ended(0);
    assert_eq!(login.json()["key_prefix"], "mol_pk_05Kc1");
    assert!(!login.stdout.contains(KEY), "{login:?}");
    let config = home.config();
    assert_eq!(
        fs::metadata(&config).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let folder = config.parent().unwrap();
    assert_eq!(
        fs::metadata(folder).unwrap().permissions().mode() & 0o777,
        0o700
    );

    let shown = home.run(&["whoami", "-o", "json"]).ended(0).json();
    let key = shown["key"].as_str().unwrap();
    assert!(
        key.starts_with("mol_pk_05Kc1… from profile default"),
        "{key}"
    );
    assert!(
        server.requests()[1].contains(&format!("authorization: bearer {}", KEY.to_lowercase()))
    );

    // The key goes to no other server.
    home.run(&["whoami", "--server", "http://127.0.0.1:1"])
        .ended(2)
        .says("is not sent to");

    fs::set_permissions(&config, PermissionsExt::from_mode(0o644)).unwrap();
    home.run(&["whoami"]).ended(2).says("chmod 600");
}

#[test]
fn a_key_of_the_environment_is_named_as_the_source() {
    let server = whoami();
    let home = Home::with(&server.url(), KEY);
    let shown = home.run(&["whoami"]).ended(0).stdout;
    assert!(shown.contains("mol_pk_05Kc1… from MOLCTL_KEY"), "{shown}");
    // What a newer server says is shown as well as it can be.
    assert!(shown.contains("orgs:fly"), "{shown}");
    let file = home.write("key", &format!("\u{feff}{KEY}\n"));
    let shown = home
        .run(&["whoami", "--key-file", file.to_str().unwrap()])
        .ended(0)
        .stdout;
    assert!(
        shown.contains("from /") && shown.contains("/key"),
        "{shown}"
    );
}

#[test]
fn what_is_missing_or_broken_is_said_in_one_line() {
    let home = Home::new();
    home.run(&["whoami"]).ended(2).says("No server is named");
    home.run(&["whoami", "--server", "http://h.example"])
        .ended(4)
        .says("There is no key");
    home.run(&["whoami", "--profile", "prod"])
        .ended(2)
        .says("There is no profile \"prod\"");
    home.run(&["whoami", "--server", "cp.example.com", "--key-stdin"])
        .ended(4)
        .says("There is no key in standard input");
    let key = ["whoami", "--key-stdin", "--server"];
    home.run_with(&[&key[..], &["cp.example.com"]].concat(), KEY)
        .ended(2)
        .says("is not the address of a server");
    home.run_with(&[&key[..], &["http://h.example"]].concat(), "two words")
        .ended(4)
        .says("not one key");
    home.run(&["whoami", "--key-file", "nowhere"])
        .ended(2)
        .says("nowhere");
    home.run(&["login", "--server", "http://h.example"])
        .ended(2)
        .says("molctl login --server URL --key-stdin");

    fs::create_dir_all(home.config().parent().unwrap()).unwrap();
    let write = |text: &str| {
        fs::write(home.config(), text).unwrap();
        fs::set_permissions(home.config(), PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("[profiles.default]\r\nserver = \"http://h.example\"\r\n");
    home.run(&["whoami"])
        .ended(4)
        .says("The profile default has no key");
    write(&format!(
        "[profiles.default]\nkey = \"{KEY}\"\nserver = 7\n"
    ));
    let broken = home.run(&["whoami"]).ended(2).says("is broken");
    assert!(!broken.stderr.contains(KEY), "{broken:?}");
}

#[test]
fn nothing_is_asked_without_a_terminal() {
    let server = whoami();
    let home = Home::with(&server.url(), KEY);
    home.run(&["org", "delete", "--label", "run_id:1"])
        .ended(2)
        .says("molctl org delete --label 'run_id:1' --yes");
    assert!(server.requests().is_empty());
}

#[test]
fn usage_is_checked_before_anything_is_sent() {
    let server = whoami();
    let home = Home::with(&server.url(), KEY);
    for args in [
        &["org", "get", "acme"][..],
        &["org", "create", "acme"],
        &["org", "delete"],
        // A pipeline whose variable is not set.
        &["org", "delete", "--label", "run_id:", "--yes"],
        &["key", "revoke"],
        &["audit", "--follow", "-o", "json"],
        &[
            "org",
            "renew",
            "org_01J9ZK6V3QG8W0T5N4R2M7XACD",
            "--ttl",
            "1 hour",
        ],
        &["org", "list", "--output", "xml"],
        &["api", "cp/orgs"],
        &["api", "/cp/orgs", "-X", "A B"],
        &["no-such-command"],
    ] {
        let ran = home.run(args).ended(2);
        assert_eq!(ran.stdout, "", "{ran:?}");
    }
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let many = r#"{"data":[],"has_more":false,"next_cursor":null}"#;
    let server = Scripted::new(200, "application/json", many, &[]);
    let home = Home::with(&server.url(), KEY);
    let mut child = home
        .command(&["org", "list", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), &*stderr), (Some(0), ""));
}

#[test]
fn an_answer_of_a_proxy_is_called_one() {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>";
    let server = Scripted::new(502, "text/html", page, &[]);
    let home = Home::with(&server.url(), KEY);
    home.run(&["whoami"])
        .ended(1)
        .says("Status 502 with text/html instead of JSON")
        .says("502 Bad Gateway");
}
