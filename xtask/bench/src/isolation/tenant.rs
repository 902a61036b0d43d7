//! The good tenant: it polls an org's status and creates orgs, each at a constant rate. A call's latency
//! counts from the time at which it was due, so a server that stalls can't hide it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{
    http::{RawConnection, request},
    latency::Latencies,
};

use super::server::{Server, TENANT, create, creation, id_of};

/// How many status polls a second.
const POLLS: u32 = 100;
/// Over how many connections.
const POLLERS: u32 = 4;
/// How many creations a second.
const CREATIONS: u32 = 5;
/// How many polls in a row must be quick for the tenant to be as quick as before.
const QUICK: u32 = 20;
/// How long that is waited for.
const UNTIL_QUICK: Duration = Duration::from_secs(60);

/// The tenant's latencies in milliseconds, and how many calls had another answer than success.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) poll_p99: f64,
    pub(crate) creation_p99: f64,
    /// The longest time from a creation to a ready org.
    pub(crate) ready_max: f64,
    pub(crate) others: usize,
}

/// A partner with one ready org and a key without a limit to speak of.
pub(crate) struct Tenant {
    address: SocketAddr,
    key: String,
    poll: String,
    /// How many creations were sent.
    created: AtomicU64,
}

/// The latencies of one kind of call, and how many had another answer than success.
type Samples = (Latencies, usize);

impl Tenant {
    pub(crate) fn new(server: &Server) -> Result<Self> {
        let key = server.key(Some(1_000_000))?.secret;
        let id = create(
            &mut RawConnection::new(TENANT, server.address),
            &key,
            "good-org",
        )?;
        let poll = request("GET", &format!("/cp/orgs/{id}/status"), &key, "", "");
        Ok(Self {
            address: server.address,
            key,
            poll,
            created: AtomicU64::new(0),
        })
    }

    /// Calls for so long.
    pub(crate) fn measure(&self, length: Duration) -> Result<Measured> {
        let begin = Instant::now();
        let end = begin + length;
        let (polls, creations, ready) = thread::scope(|scope| {
            let gap = Duration::from_secs(1) / POLLS;
            let pollers: Vec<_> = (0..POLLERS)
                .map(|n| {
                    let first = begin + gap * n;
                    scope.spawn(move || {
                        self.call(first, gap * POLLERS, end, 200, || self.poll.clone())
                    })
                })
                .collect();
            let gap = Duration::from_secs(1) / CREATIONS;
            let creator = scope.spawn(move || self.call(begin, gap, end, 201, || self.creation()));
            let waiter = scope.spawn(move || self.provisioned(end));
            let mut polls = Samples::default();
            for poller in pollers {
                let (samples, others) = poller.join().ok().context("a thread panicked")?;
                polls.0.merge(samples);
                polls.1 += others;
            }
            let creations = creator.join().ok().context("a thread panicked")?;
            let ready = waiter.join().ok().context("a thread panicked")?;
            Ok::<_, anyhow::Error>((polls, creations, ready))
        })?;
        let [poll_p99] = polls.0.millis([99]);
        let [creation_p99] = creations.0.millis([99]);
        Ok(Measured {
            poll_p99,
            creation_p99,
            ready_max: ready,
            others: polls.1 + creations.1,
        })
    }

    /// How long it takes until polls in a row take no longer than this.
    pub(crate) fn until_quick(&self, millis: f64) -> Result<Option<Duration>> {
        let begun = Instant::now();
        let mut connection = RawConnection::new(TENANT, self.address);
        let (mut row, mut since) = (0, Duration::ZERO);
        while begun.elapsed() < UNTIL_QUICK {
            let sent = Instant::now();
            let polled = connection.send(&self.poll);
            let quick = polled.is_ok_and(|response| response.status == 200)
                && sent.elapsed().as_secs_f64() * 1000.0 <= millis;
            if quick && row == 0 {
                since = begun.elapsed();
            }
            row = if quick { row + 1 } else { 0 };
            if row == QUICK {
                return Ok(Some(since));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// Creates one org after the other, and gives the longest time that one took to be ready.
    fn provisioned(&self, end: Instant) -> f64 {
        let mut connection = RawConnection::new(TENANT, self.address);
        let mut longest = 0.0_f64;
        while Instant::now() < end {
            let begun = Instant::now();
            // What is refused or fails is counted by the other callers.
            let created = connection.send(&self.creation());
            let Ok(id) = created
                .map_err(Into::into)
                .and_then(|created| id_of(&created))
            else {
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            let poll = request("GET", &format!("/cp/orgs/{id}/status"), &self.key, "", "");
            while begun.elapsed() < UNTIL_QUICK {
                let status = connection.send(&poll).and_then(|polled| polled.expect(200));
                if status.is_ok_and(|status| status.get("status") == Some(&json!("ready"))) {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
            longest = longest.max(begun.elapsed().as_secs_f64() * 1000.0);
            thread::sleep(Duration::from_millis(200));
        }
        longest
    }

    fn creation(&self) -> String {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        creation(&self.key, &format!("good-{number}"))
    }

    /// Sends a call whenever one is due.
    fn call(
        &self,
        first: Instant,
        gap: Duration,
        end: Instant,
        success: u16,
        next: impl Fn() -> String,
    ) -> Samples {
        let mut connection = RawConnection::new(TENANT, self.address);
        let (mut samples, mut others) = Samples::default();
        let mut due = first;
        while due < end {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match connection.send(&next()) {
                Ok(response) if response.status == success => {}
                Ok(_) | Err(_) => others += 1,
            }
            samples.record(due.elapsed());
            // Far behind, the calls that are due would go on long after the end.
            if Instant::now() > end + Duration::from_secs(5) {
                break;
            }
            due += gap;
        }
        (samples, others)
    }
}
