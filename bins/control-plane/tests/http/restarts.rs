//! Restarts under load: what callers notice of them.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{http::Client, nginx::Nginx};

use crate::kit::{ALL_SCOPES, Server, Store, Wire, within};

on_both_engines![
    an_idle_server_ends_at_once,
    a_server_is_not_ready_first_and_stops_listening_after_the_grace_period,
    connections_wait_for_the_next_server_where_the_socket_stays_open,
];

/// What deploy/nginx is made for.
const NGINX: &str = include_str!("../../../../deploy/nginx/molecule-cp.conf");
const PEPPER: &str = "one-pepper-for-all-servers-of-32-bytes-or-more";
/// In seconds; above the time for which nginx keeps idle connections.
const GRACE: &str = "3";
/// How many callers there are at once.
const CALLERS: usize = 8;
/// Well above what the machine of a developer needs, and below what it takes with one second's sleep.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What became of the calls of a load.
#[derive(Debug, Default)]
struct Calls {
    ended: AtomicBool,
    created: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Calls {
    /// Creates orgs, one after the other, until the load ends.
    fn create_orgs(&self, caller: usize, client: impl Fn() -> Client) {
        for n in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let slug = format!("org-{caller}-{n}");
            let request = json!({"name": slug, "slug": slug, "plan": "standard"});
            match client().post("/cp/orgs", &request) {
                Ok(response) if response.status == 201 => {
                    self.created.fetch_add(1, Ordering::Relaxed);
                }
                other => self.failed.lock().unwrap().push(format!("{other:?}")),
            }
        }
    }

    /// Calls while something is done; how many orgs were created.
    #[track_caller]
    fn during(client: impl Fn() -> Client + Sync, work: impl FnOnce()) -> usize {
        let calls = Self::default();
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (calls, client) = (&calls, &client);
                scope.spawn(move || calls.create_orgs(caller, client));
            }
            thread::sleep(Duration::from_millis(300));
            work();
            thread::sleep(Duration::from_millis(300));
            calls.ended.store(true, Ordering::Relaxed);
        });
        let failed = calls.failed.into_inner().unwrap();
        let created = calls.created.into_inner();
        assert!(
            failed.is_empty(),
            "{} of {} calls failed: {failed:#?}",
            failed.len(),
            failed.len() + created
        );
        created
    }
}

#[track_caller]
fn restart(store: &Store, server: Server, settings: &[(&str, &str)]) -> Server {
    let address = server.address().to_owned();
    let (status, log) = server.terminate(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{log}");
    let mut settings = settings.to_vec();
    settings.push(("MOLECULE_CP_LISTEN", &address));
    store.start_with(&settings)
}

#[test]
fn no_request_is_lost_while_instances_behind_nginx_restart_one_after_the_other() {
    let Some(store) = Store::empty_postgres() else {
        return;
    };
    let settings = [
        ("MOLECULE_CP_PEPPER", PEPPER),
        ("MOLECULE_CP_SHUTDOWN_GRACE", GRACE),
    ];
    let mut servers: Vec<_> = (0..3).map(|_| store.start_with(&settings)).collect();
    let instances: String = servers
        .iter()
        .map(|server| format!("server {} max_fails=1 fail_timeout=1s;\n", server.address()))
        .collect();
    let Some(nginx) = Nginx::start(|port| {
        let own = NGINX
            .lines()
            .filter(|line| !line.contains("127.0.0.1:8082"))
            .map(|line| match line.trim() {
                "server 127.0.0.1:8081 max_fails=1 fail_timeout=1s;" => instances.clone(),
                "listen 127.0.0.1:8080;" => format!("listen 127.0.0.1:{port};\n"),
                _ => format!("{line}\n"),
            });
        own.collect()
    }) else {
        return;
    };
    let key = servers[0].key(ALL_SCOPES);
    let limit = json!({"rate_limit": {"limit": 100_000_000, "window_seconds": 1}});
    servers[0].admin().patch(&key.path(), limit).expect(200);
    let client = Client::new(&nginx.url(), key.token());
    let created = Calls::during(
        || client.clone(),
        || {
            for _ in 0..servers.len() {
                let next = servers.remove(0);
                servers.push(restart(&store, next, &settings));
            }
        },
    );
    assert_eq!(
        key_orgs(&servers[0], key.token()),
        created,
        "{}",
        nginx.log()
    );
}

fn key_orgs(server: &Server, token: &str) -> usize {
    server.with_token(token).all("/cp/orgs").len()
}

/// One client keeps its connection, and another has only opened it.
fn an_idle_server_ends_at_once(store: Store) {
    let server = store.start();
    let mut kept = Wire::new(&server);
    kept.send("GET /healthz HTTP/1.1\r\nHost: cp\r\n\r\n");
    assert_eq!(kept.response().status, 200);
    let opened = TcpStream::connect(server.address()).unwrap();
    thread::sleep(Duration::from_millis(1100));
    let begun = Instant::now();
    let (status, log) = server.terminate(Duration::from_secs(20));
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took < AT_ONCE, "{took:?}\n{log}");
    kept.expect_end();
    drop(opened);
}

fn a_server_is_not_ready_first_and_stops_listening_after_the_grace_period(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_SHUTDOWN_GRACE", "2")]);
    let mut kept = Wire::new(&server);
    let health = "GET /healthz HTTP/1.1\r\nHost: cp\r\n\r\n";
    let response = kept.send(health).response();
    assert_eq!(response.header_if_any("connection"), None);
    let begun = Instant::now();
    server.signal("TERM");
    within(AT_ONCE, "the server is not ready", || {
        (server.anon().get("/readyz").status == 503).then_some(())
    });
    let problem = server.anon().get("/readyz").problem(503, "unavailable");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("about to stop")
    );
    // Whoever keeps a connection is told to leave it, with an answer.
    let response = kept.send(health).response();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("connection"), "close");
    kept.expect_end();
    let address: SocketAddr = server.address().parse().unwrap();
    let refused = within(Duration::from_secs(10), "connections are refused", || {
        TcpStream::connect(address).err()
    });
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(begun.elapsed() > Duration::from_secs(2));
    let (status, log) = server.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{log}");
}

/// As systemd keeps the socket of a service between two of its processes.
fn connections_wait_for_the_next_server_where_the_socket_stays_open(store: Store) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let start = || {
        let program = store.program(&["serve"], &[("MOLECULE_CP_PEPPER", PEPPER)]);
        // The shell makes the socket the process's first descriptor after the standard ones.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" serve 3<&0 </dev/null"])
            .arg(program.get_program())
            .envs(
                program
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("LISTEN_FDS", "1")
            .env("MOLECULE_CP_LISTEN", "192.0.2.1:1")
            .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Server::start(command)
    };
    let server = start();
    assert_eq!(server.address(), address.to_string());
    let key = server.issue(json!({
        "scopes": ALL_SCOPES,
        "rate_limit": {"limit": 100_000_000, "window_seconds": 1},
    }));
    let url = format!("http://{address}");
    // Each call has a connection of its own.
    let mut server = Some(server);
    let created = Calls::during(
        || Client::new(&url, key.token()),
        || {
            for _ in 0..3 {
                if let Some(server) = server.take() {
                    let (status, log) = server.terminate(Duration::from_secs(20));
                    assert_eq!(status.code(), Some(0), "{log}");
                }
                server = Some(start());
            }
        },
    );
    assert_eq!(key_orgs(&server.unwrap(), key.token()), created);
}
