//! Waiting: what ends it, and what is said then.

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::kit::{Home, KEY, Ran, Scripted};

const ORG: &str = "org_01J9ZK6V3QG8W0T5N4R2M7XACD";
const CREATE: [&str; 7] = [
    "org",
    "create",
    "acme-corp",
    "--plan",
    "free",
    "--wait",
    "-ojson",
];

/// A server whose first answer is a new org, and whose further ones are its state.
fn with_status(status: &'static str) -> Scripted {
    Scripted::answering(move |number| {
        let body = match number {
            1 => org("provisioning"),
            // After the wait the org is read once more.
            3 if status != "provisioning" => org(status),
            _ => state(status),
        };
        format!(
            "HTTP/1.1 {} OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            if number == 1 { 201 } else { 200 },
            body.len(),
        )
    })
}

fn org(status: &str) -> String {
    format!(
        r#"{{"id":"{ORG}","name":"a","slug":"acme-corp","plan":"free","status":"{status}","partner_id":"ptn_01J9ZK5H8D3M6Q7R1S2T4V5W6X","created_by_key_id":"pak_01J9ZK60AB1CD2EF3GH4JK5MN6","external_id":null,"labels":{{}},"login_url":"http://h","created_at":"2026-04-23T08:00:00Z","ready_at":null,"expires_at":null,"deleted_at":null,"failure":null,"options":{{}},"outputs":{{}},"secret_names":[],"delete_protection":false}}"#
    )
}

fn state(status: &str) -> String {
    let failure = if status == "failed" {
        r#"{"code":"provisioner","message":"no room\u001b[31m left"}"#
    } else {
        "null"
    };
    format!(
        r#"{{"id":"{ORG}","slug":"acme-corp","status":"{status}","created_at":"2026-04-23T08:00:00Z","updated_at":"2026-04-23T08:00:04Z","login_url":"http://h","steps":[],"failure":{failure}}}"#
    )
}

#[test]
fn a_ready_org_ends_the_wait() {
    let server = with_status("ready");
    let ran = Home::with(&server.url(), KEY).run(&CREATE).ended(0);
    assert_eq!(ran.json()["status"], "ready");
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_failed_org_is_exit_code_8() {
    let server = with_status("failed");
    let ran = Home::with(&server.url(), KEY).run(&CREATE).ended(8);
    assert_eq!(ran.json()["status"], "failed");
    let error = ran.error();
    let detail = error["detail"].as_str().unwrap();
    assert!(
        detail.contains("no room") && !detail.contains('\u{1b}'),
        "{detail}"
    );

    let server = Scripted::new(200, "application/json", &state("failed"), &[]);
    let home = Home::with(&server.url(), KEY);
    home.run(&["org", "status", ORG]).ended(0);
    home.run(&["org", "status", ORG, "--watch"]).ended(8);
}

#[test]
fn a_wait_that_runs_out_is_exit_code_9_and_names_the_org() {
    let server = with_status("provisioning");
    let args = [&CREATE[..], &["--timeout", "1s"]].concat();
    let ran = Home::with(&server.url(), KEY).run(&args).ended(9);
    assert_eq!(ran.json()["id"], ORG);
    let error = ran.error();
    assert!(
        error["detail"]
            .as_str()
            .unwrap()
            .contains("goes on at the server"),
        "{error}"
    );
    let polls: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| request.contains("/status"))
        .cloned()
        .collect();
    assert!(polls.len() <= 4, "{polls:?}");
}

#[test]
fn a_long_poll_asks_for_fifty_seconds() {
    let server = with_status("provisioning");
    let args = [&CREATE[..], &["--timeout", "90s"]].concat();
    let (home, polls) = (Home::with(&server.url(), KEY), |server: &Scripted| {
        server
            .requests()
            .iter()
            .any(|request| request.contains("prefer: wait=50"))
    });
    let mut child = home
        .command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually(|| polls(&server));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_interrupt_says_what_goes_on_and_how_to_clean_up() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let server = with_status("provisioning");
        let home = Home::with(&server.url(), KEY);
        let child = home
            .command(&CREATE)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually(|| server.requests().len() >= 3);
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        let ran = Ran::new(child.wait_with_output().unwrap(), &CREATE).ended(code);
        assert_eq!(ran.json()["id"], ORG);
        let error = ran.error();
        let detail = error["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("molctl org delete {ORG}")),
            "{detail}"
        );
    }
}

#[track_caller]
fn eventually(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it does not come to that"
        );
        sleep(Duration::from_millis(20));
    }
}
