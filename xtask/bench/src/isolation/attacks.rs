//! What callers do to use up what all share. Each attack is one step, repeated on every connection.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use getrandom::SysRng;
use keys::{KeyKind, PlainKey};
use rand_core::UnwrapErr;
use serde_json::{Value, json};
use testkit::{
    http::{RawConnection, open, request},
    server::Key,
};

use super::server::{ATTACKER, Server, TENANT, create, creation};

/// How many events the attacker of the audit log has made before.
const HISTORY: usize = 100_000;
/// How many endpoints a partner has.
const ENDPOINTS: usize = 16;
/// How many partners have endpoints that never answer.
const PARTNERS: usize = 4;
/// How many orgs of a second each a partner has ordered at once.
const SLOW_ORGS: usize = 600;

/// An attack.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Attack {
    /// A route that does nothing: what the processors and the kernel alone cost the tenant.
    Control,
    /// One key far beyond its limit.
    Limit,
    /// Lists of audit events with filters that match nothing, by one key.
    AuditLists,
    /// Anonymous calls of `/readyz`.
    Readyz,
    /// Calls with a key that is revoked.
    DeadKey,
    /// Unknown tokens from the tenant's own address.
    UnknownTokens,
    /// Heads and bodies that are never finished.
    HalfRequests,
    /// Bodies with thousands of errors whose answers nobody reads.
    UnreadErrors,
    /// Thousands of calls on a connection whose answers nobody reads.
    UnreadPipelines,
    /// Status polls of one key that are held.
    HeldPolls,
    /// Webhook endpoints that never answer.
    SilentWebhooks,
    /// Hundreds of orgs of one partner that take a second each.
    SlowOrgs,
}

/// How often which answer came; 0 is a connection that was closed without one.
type Tally = BTreeMap<u16, u64>;

/// What one connection does until the attack ends.
type Worker = Box<dyn FnMut(&mut Tally) + Send>;

/// An attack whose preparations are made.
pub(crate) struct Plan {
    workers: Vec<Worker>,
}

impl Attack {
    pub(crate) const ALL: [Self; 12] = [
        Self::Control,
        Self::Limit,
        Self::AuditLists,
        Self::Readyz,
        Self::DeadKey,
        Self::UnknownTokens,
        Self::HalfRequests,
        Self::UnreadErrors,
        Self::UnreadPipelines,
        Self::HeldPolls,
        Self::SilentWebhooks,
        Self::SlowOrgs,
    ];

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Control => "`/healthz`, as a control",
            Self::Limit => "one key beyond its limit",
            Self::AuditLists => "audit queries that match nothing, one key",
            Self::Readyz => "anonymous `/readyz`",
            Self::DeadKey => "a revoked key",
            Self::UnknownTokens => "unknown tokens from the tenant's address",
            Self::HalfRequests => "heads and bodies that never end",
            Self::UnreadErrors => "64 KB bodies full of errors, answers unread",
            Self::UnreadPipelines => "pipelined calls, answers unread",
            Self::HeldPolls => "held polls of one key",
            Self::SilentWebhooks => "64 webhook endpoints that never answer",
            Self::SlowOrgs => "600 orgs of one partner that take 1 s each",
        }
    }

    /// Makes what the attack needs.
    pub(crate) fn prepare(self, server: &Server, connections: usize) -> Result<Plan> {
        let to = server.address;
        let workers: Vec<Worker> = match self {
            Self::Control => repeat(connections, to, &request("GET", "/healthz", "", "", "")),
            Self::Readyz => repeat(connections, to, &request("GET", "/readyz", "", "", "")),
            Self::Limit => {
                let key = server.key(None)?.secret;
                repeat(connections, to, &request("GET", "/cp/whoami", &key, "", ""))
            }
            Self::AuditLists => {
                let key = with_history(server)?.secret;
                let path = "/cp/audit-events?outcome=failed&limit=100";
                repeat(connections, to, &request("GET", path, &key, "", ""))
            }
            Self::DeadKey => {
                let key = server.key(None)?;
                let path = format!("/cp/admin/partner-keys/{}", key.id);
                server.admin("DELETE", &path, &Value::Null)?;
                repeat(connections, to, &request("GET", "/cp/whoami", &key.secret, "", ""))
            }
            Self::UnknownTokens => (0..connections)
                .map(|_| {
                    let mut connection = RawConnection::new(TENANT, to);
                    let worker = move |tally: &mut Tally| {
                        let token = PlainKey::generate(KeyKind::Partner, &mut UnwrapErr(SysRng));
                        let request = request("GET", "/cp/whoami", token.expose(), "", "");
                        count(tally, &mut connection, &request);
                    };
                    boxed(worker)
                })
                .collect(),
            Self::HalfRequests => (0..connections)
                .map(|n| {
                    let text = if n % 2 == 0 {
                        "GET /cp/whoami HTTP/1.1\r\nHost: cp\r\nX-Half: ".to_owned()
                    } else {
                        let body = "x".repeat(30_000);
                        format!("POST /cp/orgs HTTP/1.1\r\nHost: cp\r\nContent-Length: 60000\r\n\r\n{body}")
                    };
                    send_only(to, text)
                })
                .collect(),
            Self::UnreadErrors => {
                let key = server.key(None)?.secret;
                let members: Vec<String> = (0..6000).map(|n| format!("\"{n}\":1")).collect();
                let body = format!("{{{}}}", members.join(","));
                let one = request("POST", "/cp/orgs", &key, "", &body);
                (0..connections).map(|_| send_only(to, one.repeat(20))).collect()
            }
            Self::UnreadPipelines => {
                let key = server.key(Some(1_000_000))?.secret;
                let one = request("GET", "/cp/openapi.json", &key, "", "");
                (0..connections).map(|_| send_only(to, one.repeat(5000))).collect()
            }
            Self::HeldPolls => {
                let key = server.key(None)?.secret;
                let id = create(&mut RawConnection::new(ATTACKER, to), &key, "never-ready")?;
                let path = format!("/cp/orgs/{id}/status");
                let poll = request("GET", &path, &key, "Prefer: wait=50\r\n", "");
                repeat(connections, to, &poll)
            }
            Self::SilentWebhooks => silent_webhooks(server, connections)?,
            Self::SlowOrgs => {
                let key = server.key(Some(1_000_000))?.secret;
                let mut connection = RawConnection::new(ATTACKER, to);
                for n in 0..SLOW_ORGS {
                    create(&mut connection, &key, &format!("slow-{n}"))?;
                }
                creators(connections, to, &[server.key(None)?.secret], "slow")
            }
        };
        Ok(Plan { workers })
    }
}

impl Plan {
    /// Attacks for so long, beside what is measured; gives that and what the attackers got.
    pub(crate) fn run<T: Send>(
        self,
        length: Duration,
        measure: impl FnOnce() -> T,
    ) -> Result<(T, String)> {
        let end = Instant::now() + length;
        let over = AtomicBool::new(false);
        let (measured, tally) = thread::scope(|scope| {
            let over = &over;
            let workers: Vec<_> = self
                .workers
                .into_iter()
                .map(|mut worker| {
                    scope.spawn(move || {
                        step_back();
                        let mut tally = Tally::new();
                        while Instant::now() < end && !over.load(Ordering::Relaxed) {
                            worker(&mut tally);
                        }
                        tally
                    })
                })
                .collect();
            let measured = measure();
            over.store(true, Ordering::Relaxed);
            let mut tally = Tally::new();
            for worker in workers {
                for (status, count) in worker.join().ok().context("a thread panicked")? {
                    *tally.entry(status).or_default() += count;
                }
            }
            Ok::<_, anyhow::Error>((measured, tally))
        })?;
        let answers: Vec<String> = tally
            .iter()
            .map(|(status, count)| match status {
                0 => format!("closed: {count}"),
                status => format!("{status}: {count}"),
            })
            .collect();
        Ok((measured, answers.join(", ")))
    }
}

/// Gives the calling thread the lowest priority (nice 19).
///
/// Attackers have processors of their own. Here they share the server's, and hundreds of threads at equal
/// priority would measure the scheduler: the server and the tenant would wait for them and not for the
/// server's work.
fn step_back() {
    // On Linux the priority is a thread's. Elsewhere it is the whole process's, so nothing is done.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(19)
    {
        eprintln!("the attackers run at normal priority: {error}");
    }
}

fn boxed(worker: impl FnMut(&mut Tally) + Send + 'static) -> Worker {
    Box::new(worker)
}

/// Sends a request and counts the answer.
fn count(tally: &mut Tally, connection: &mut RawConnection, request: &str) {
    // Hundreds of threads that are ready to run weigh more than the server's few, however low their
    // priority. So one of them works at a time, as in a load generator with one thread.
    static TURN: Mutex<()> = Mutex::new(());
    let status = connection
        .send_in_turn(request, &TURN)
        .map_or(0, |response| response.status);
    *tally.entry(status).or_default() += 1;
    if status == 0 {
        // Whoever is refused a connection would try again at once, and measure the kernel.
        thread::sleep(Duration::from_millis(10));
    }
}

/// The same request again and again, on connections that are kept open.
fn repeat(connections: usize, to: SocketAddr, request: &str) -> Vec<Worker> {
    (0..connections)
        .map(|_| {
            let (mut connection, request) = (RawConnection::new(ATTACKER, to), request.to_owned());
            boxed(move |tally| count(tally, &mut connection, &request))
        })
        .collect()
}

/// Sends a text and reads nothing until the server closes the connection; then again.
fn send_only(to: SocketAddr, text: String) -> Worker {
    let mut open_one = None;
    boxed(move |tally| {
        if open_one.is_none() {
            let Ok(mut stream) = open(ATTACKER, to) else {
                thread::sleep(Duration::from_millis(100));
                return;
            };
            // As much as the server takes at once; the rest would be sent as it reads on.
            let _ = stream.set_write_timeout(Some(Duration::from_millis(500)));
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.set_nonblocking(true);
            open_one = Some(stream);
        }
        thread::sleep(Duration::from_millis(100));
        // A look whether it is still open takes nothing from what waits to be read but one byte.
        let closed = open_one.as_ref().is_some_and(|mut stream| {
            let mut byte = [0];
            let still_open =
                |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
            match stream.read(&mut byte) {
                Ok(0) => true,
                Ok(_) => false,
                Err(error) => !still_open(&error),
            }
        });
        if closed {
            open_one = None;
            *tally.entry(0).or_default() += 1;
        }
    })
}

/// Creations by some keys in turn, each with a slug of its own.
fn creators(connections: usize, to: SocketAddr, keys: &[String], slug: &str) -> Vec<Worker> {
    let number = Arc::new(AtomicU64::new(0));
    keys.iter()
        .cycle()
        .take(connections)
        .map(|key| {
            let (key, slug, number) = (key.clone(), slug.to_owned(), Arc::clone(&number));
            let mut connection = RawConnection::new(ATTACKER, to);
            let worker = move |tally: &mut Tally| {
                let slug = format!("{slug}-x{}", number.fetch_add(1, Ordering::Relaxed));
                count(tally, &mut connection, &creation(&key, &slug));
            };
            boxed(worker)
        })
        .collect()
}

/// A key with the default limit that has made many events.
fn with_history(server: &Server) -> Result<Key> {
    const CALLERS: usize = 16;
    let key = server.key(Some(100_000_000))?;
    let call = request("GET", "/cp/whoami", &key.secret, "", "");
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = RawConnection::new(ATTACKER, server.address);
                    (0..HISTORY / CALLERS).try_for_each(|_| connection.send(&call).map(drop))
                })
            })
            .collect();
        callers.into_iter().try_for_each(|caller| {
            caller.join().ok().context("a thread panicked")??;
            Ok::<_, anyhow::Error>(())
        })
    })?;
    let path = format!("/cp/admin/partner-keys/{}", key.id);
    server.admin("PATCH", &path, &json!({"rate_limit": null}))?;
    Ok(key)
}

/// Partners whose endpoints take every connection and never answer, and whose keys create orgs.
fn silent_webhooks(server: &Server, connections: usize) -> Result<Vec<Worker>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let receiver = listener.local_addr()?;
    thread::spawn(move || {
        // Held open, so that the sender waits for an answer.
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            held.push(stream);
        }
    });
    let keys = (0..PARTNERS)
        .map(|_| {
            let key = server.key(None)?.secret;
            let mut connection = RawConnection::new(ATTACKER, server.address);
            for n in 0..ENDPOINTS {
                let url = format!("http://{receiver}/{n}");
                let body = json!({"url": url, "events": ["org.ready"]}).to_string();
                let endpoint = request("POST", "/cp/webhook-endpoints", &key, "", &body);
                connection.send(&endpoint)?.expect(201)?;
            }
            Ok(key)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(creators(connections, server.address, &keys, "hook"))
}
