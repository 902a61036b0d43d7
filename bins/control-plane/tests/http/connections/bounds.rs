//! How many connections there may be, what one may hold, and that none keeps a server from stopping.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::mpsc::{self, TryRecvError},
    thread,
    time::{Duration, Instant},
};

use testkit::process::MemoryUse;

use crate::{
    connections::{events_of, head},
    kit::{ALL_SCOPES, Script, Server, Store, Wire, eventually, started_by, within},
};

/// Starts a server that may have this many descriptors.
pub fn start_with_descriptors(
    store: &Store,
    (soft, hard): (u32, u32),
    settings: &[(&str, &str)],
) -> Server {
    let inner = store.program(&["serve"], settings);
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    let program = inner.get_program().to_str().unwrap();
    Server::start(started_by(&inner, "sh", &["-c", &script, program]))
}

#[test]
fn an_address_has_a_share_of_the_connections_and_its_oldest_idle_ones_give_way() {
    let store = Store::sqlite();
    let server = start_with_descriptors(&store, (100, 256), &[]);
    let log = server.log();
    let bounds = r#""descriptors":256,"max":192,"max_per_address":96"#;
    assert!(log.contains(bounds), "{log}");
    // More connections than an address may have, most of them with half a head.
    let address: SocketAddr = server.address().parse().unwrap();
    let held: Vec<_> = (0..150)
        .map(|_| {
            let mut wire = Wire::new(&server);
            wire.send("GET / HTT");
            wire
        })
        .collect();
    // The same address and another are answered all the same.
    server.anon().get("/healthz").expect(200);
    server.admin().get("/cp/whoami").expect(200);
    let open = |metrics: &str| -> u32 {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("molecule_http_connections "));
        line.unwrap().parse().unwrap()
    };
    let metrics = server.anon().get("/metrics").body;
    assert!(open(&metrics) <= 96, "{metrics}");
    // Two workers take them, each in its own time, so which of the 150 are the oldest nobody can tell from here.
    let evicted = r#"molecule_http_connections_closed_total{reason="evicted"} "#;
    let evicted = |metrics: &str| -> Option<u32> {
        let value = metrics.lines().find_map(|line| line.strip_prefix(evicted));
        value?.parse().ok()
    };
    eventually("as many are closed as there are too many", || {
        let metrics = server.anon().get("/metrics").body;
        evicted(&metrics).filter(|count| *count >= 150 - 96)
    });
    assert!(server.log().contains("too many connections"));
    drop(held);
    eventually("their places are free again", || {
        let metrics = server.anon().get("/metrics").body;
        (open(&metrics) < 10).then_some(())
    });
    drop(TcpStream::connect(address).unwrap());
}

#[test]
fn connections_whose_responses_are_paced_give_way() {
    let store = Store::sqlite();
    let server = start_with_descriptors(&store, (256, 256), &[]);
    let address: SocketAddr = server.address().parse().unwrap();
    // It is rendered when it is first asked for, and all would wait for that.
    server.anon().get("/cp/openapi.json").expect(200);
    // All 192, of two addresses. Each response counts as a hundred, so a source gets about twenty a second.
    let requests = "GET /cp/openapi.json HTTP/1.1\r\nHost: cp\r\n\r\n".repeat(200);
    let mut held: Vec<_> = [2, 3]
        .iter()
        .flat_map(|&last| (0..96).map(move |_| Ipv4Addr::new(127, 0, 0, last)))
        .map(|source| {
            let mut stream = testkit::http::open(source, address).unwrap();
            stream.write_all(requests.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    // They read what they get and have asked for more, so that none is ever idle.
    let (stop, stopped) = mpsc::channel::<()>();
    let readers = thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            for stream in &mut held {
                let _ = stream.read(&mut buffer);
            }
        }
    });
    thread::sleep(Duration::from_secs(1));
    let mut buffer = [0; 512];
    let mut is_answered = || {
        let mut stream = testkit::http::open(Ipv4Addr::LOCALHOST, address)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: cp\r\n\r\n")?;
        let read = stream.read(&mut buffer)?;
        std::io::Result::Ok(buffer[..read].starts_with(b"HTTP/1.1 200"))
    };
    // Without a place it is closed. On a busy machine the responses that are written now keep theirs.
    let answered = (0..40).filter(|_| is_answered().unwrap_or(false)).count();
    assert!(answered >= 20, "{answered} of 40");
    drop(stop);
    readers.join().unwrap();
}

#[test]
fn programs_of_the_operator_keep_the_descriptor_limit_that_there_was() {
    let store = Store::sqlite();
    let script = Script::new(&store, "ulimit -Sn > soft; ulimit -Hn > hard");
    let path = script.path();
    let settings = [
        ("MOLECULE_CP_PROVISIONER", "exec"),
        ("MOLECULE_CP_PROVISIONER_EXEC", path.to_str().unwrap()),
    ];
    let server = start_with_descriptors(&store, (200, 300), &settings);
    server.key(ALL_SCOPES).org("acme-corp");
    assert_eq!(script.read("soft"), "200\n");
    assert_eq!(script.read("hard"), "300\n");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers: Vec<_> = line.unwrap().split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["300", "300"]);
}

#[test]
fn calls_that_are_pipelined_are_answered_one_after_the_other() {
    let store = Store::sqlite();
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let mut wire = Wire::new(&server);
    let calls: String = (0..500)
        .map(|n| head(&key, "GET /cp/whoami") + &format!("X-Request-Id: n{n}\r\n\r\n"))
        .collect();
    wire.send(calls);
    for n in 0..500 {
        let response = wire.response();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-request-id"), format!("n{n}"));
    }
    assert_eq!(events_of(&server, &key).len(), 500);
}

/// The memory of a process, in kilobytes.
fn memory(server: &Server) -> u64 {
    MemoryUse::of(server.process()).unwrap().now / 1024
}

/// How many bytes the system keeps of what each connection was to be sent, for those that it keeps any of.
fn unsent(server: &Server) -> Vec<u64> {
    let address: SocketAddr = server.address().parse().unwrap();
    let port = format!(":{:04X}", address.port());
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    connections
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1].ends_with(&port))
        .map(|fields| u64::from_str_radix(fields[4].split(':').next().unwrap(), 16).unwrap())
        .filter(|bytes| *bytes > 0)
        .collect()
}

#[test]
fn discarded_bodies_and_unread_responses_are_not_buffered() {
    let store = Store::sqlite();
    let server = store.start();
    let before = memory(&server);
    let body = "x".repeat(60_000);
    let mut held: Vec<_> = (0..400)
        .map(|_| {
            let mut wire = Wire::new(&server);
            wire.send(format!(
                "POST /cp/orgs HTTP/1.1\r\nHost: a\r\nContent-Length: 65000\r\n\r\n{body}"
            ));
            wire
        })
        .collect();
    // 24 MB were sent. Each connection may have a few buffers, and futures that are large in a debug build.
    thread::sleep(Duration::from_secs(1));
    let after = memory(&server);
    assert!(after < before + 400 * 50, "{before} kB, then {after} kB");
    // A large answer again and again, none of which is read.
    let asked = "GET /cp/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    for wire in &mut held[..50] {
        wire.send("x".repeat(5000));
        wire.response().problem(401, "missing-credentials");
        wire.send_some(asked.as_bytes());
    }
    // Long answers are paced, so the last one comes after seconds.
    let unsent = within(Duration::from_secs(20), "all have an answer", || {
        Some(unsent(&server)).filter(|unsent| unsent.len() >= 50)
    });
    let after = memory(&server);
    assert!(after < before + 60_000, "{before} kB, then {after} kB");
    assert!(unsent.iter().all(|bytes| *bytes < 600_000), "{unsent:?}");
    within(Duration::from_secs(90), "they are cut off", || {
        let metrics = server.anon().get("/metrics").body;
        let cut = r#"molecule_http_connections_closed_total{reason="write_timeout"} 50"#;
        metrics.contains(cut).then_some(())
    });
}

#[test]
fn nothing_unfinished_keeps_a_server_from_stopping() {
    let store = Store::sqlite();
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let mut half_head = Wire::new(&server);
    half_head.send("GET /cp/whoami HTTP/1.1\r\n");
    let mut later_head = Wire::new(&server);
    assert_eq!(
        later_head
            .send(head(&key, "GET /cp/whoami") + "\r\n")
            .response()
            .status,
        200
    );
    later_head.send("GET /cp/");
    let mut half_body = Wire::new(&server);
    half_body.send(head(&key, "POST /cp/orgs") + "Content-Length: 10\r\n\r\n{");
    let mut unrelated = Wire::new(&server);
    unrelated.send("POST /cp/orgs HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{");
    let mut unread = Wire::new(&server);
    let asked = "GET /cp/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    unread.send_some(asked.as_bytes());
    thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    let (status, log) = server.terminate(Duration::from_secs(28));
    assert!(status.success(), "{log}");
    assert!(began.elapsed() < Duration::from_secs(28));
    half_body.response().problem(400, "invalid-request");
    unrelated.response().problem(401, "missing-credentials");
}
