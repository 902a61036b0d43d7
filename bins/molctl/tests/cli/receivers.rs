//! The receiver of `examples/webhook-receiver`, which the official package of Standard Webhooks verifies for.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::{ports, python};

use crate::{flow::start, kit::Home};

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn messages_are_verified_by_the_official_package() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webhook-receiver");
    let requirements = std::fs::read_to_string(folder.join("requirements.txt")).unwrap();
    let Some(python) = python::environment("webhook-receiver", &[requirements.trim()]) else {
        return;
    };
    let home = Home::new();
    let server = start(&home, None);
    let scopes = ["orgs:create", "orgs:list", "webhooks:manage"];
    let key = server.key(serde_json::json!({"scopes": scopes})).unwrap();
    let partner = Home::with(&server.url(), &key.secret);
    let json = |args: &[&str]| {
        partner
            .run(&[args, &["-o", "json"]].concat())
            .ended(0)
            .json()
    };

    let port = ports::free();
    let url = format!("http://127.0.0.1:{port}/");
    let endpoint = json(&["webhook", "create", &url, "--event", "org.ready"]);
    let mut receiver = Command::new(python);
    receiver
        .arg(folder.join("receiver.py"))
        .arg(port.to_string())
        .env("WEBHOOK_SECRET", endpoint["secret"].as_str().unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut receiver = Running(receiver.spawn().unwrap());
    let lines = BufReader::new(receiver.0.stdout.take().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the receiver does not listen"
        );
        sleep(Duration::from_millis(20));
    }

    let test = json(&["webhook", "test", endpoint["id"].as_str().unwrap()]);
    let org = json(&["org", "create", "acme", "--plan", "free", "--wait"]);
    let mut messages = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut got = [messages.next().unwrap(), messages.next().unwrap()];
    got.sort_by_key(|message| message["type"] != "webhook.test");
    assert_eq!(
        (&got[0]["type"], &got[0]["id"]),
        (&"webhook.test".into(), &test["id"])
    );
    assert_eq!(
        (&got[1]["type"], &got[1]["data"]["id"]),
        (&"org.ready".into(), &org["id"])
    );

    // What is signed with nothing is refused.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = "POST / HTTP/1.1\r\nwebhook-id: x\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
}
