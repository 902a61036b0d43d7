//! A reader who follows the audit log under load, on two instances of one database, by times and by ids:
//! what it misses, and what changes after it has passed.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{
    http::{RawConnection, request},
    tail::Tail,
};

use super::server::{Server, TENANT, create, creation};
use crate::engine::Engine;

/// How often the reader asks what is new.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How many callers each instance has.
const CALLERS: usize = 4;
/// How long a caller pauses between calls, so that the reader keeps up.
const PAUSE: Duration = Duration::from_millis(2);

/// Follows the log for so long; prints what was seen and tells whether nothing was missed or changed.
pub(crate) fn run(engine: Engine, length: Duration) -> Result<bool> {
    let first = Server::start(engine)?;
    let second = first.twin()?;
    // The limit refuses most calls of the second key, so refusals are folded all the time.
    let keys = [
        first.key(Some(1_000_000))?.secret,
        first.key(Some(5))?.secret,
    ];
    let [key, _] = &keys;
    let id = create(
        &mut RawConnection::new(TENANT, first.address),
        key,
        "never-ready",
    )?;
    let path = format!("/cp/orgs/{id}/status");
    let held = request("GET", &path, key, "Prefer: wait=3\r\n", "");
    let (over, created) = (AtomicBool::new(false), AtomicU64::new(0));
    let report = thread::scope(|scope| {
        let mut callers = Vec::new();
        for address in [first.address, second.address] {
            let (over, created, keys, held) = (&over, &created, &keys, &held);
            callers.extend((0..CALLERS).map(|_| {
                scope.spawn(move || {
                    let mut connection = RawConnection::new(TENANT, address);
                    for n in 0_u64.. {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        let [key, limited] = keys;
                        let next = match n % 20 {
                            0 => {
                                let number = created.fetch_add(1, Ordering::Relaxed);
                                creation(key, &format!("tail-{number}"))
                            }
                            1..10 => request("GET", "/cp/whoami", limited, "", ""),
                            _ => request("GET", "/cp/whoami", key, "", ""),
                        };
                        connection.send(&next)?;
                        thread::sleep(PAUSE);
                    }
                    Ok::<_, anyhow::Error>(())
                })
            }));
            callers.push(scope.spawn(move || {
                let mut connection = RawConnection::new(TENANT, address);
                while !over.load(Ordering::Relaxed) {
                    connection.send(held)?;
                }
                Ok(())
            }));
        }
        let mut failure = None;
        let mut tail = Tail::new(|query| {
            let path = format!("/cp/admin/audit-events{query}");
            first
                .admin("GET", &path, &serde_json::Value::Null)
                .unwrap_or_else(|error| {
                    failure.get_or_insert(error);
                    // An empty page: the reader can't go on, which is told at the end.
                    json!({"data": []})
                })
        });
        let end = Instant::now() + length;
        while Instant::now() < end {
            tail.step();
            thread::sleep(POLL_INTERVAL);
        }
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().ok().context("a thread panicked")??;
        }
        let report = tail.finish();
        match failure {
            None => Ok(report),
            Some(error) => Err(error),
        }
    })?;
    println!(
        "| {} | {} events | {} missed | {} changed | {} repeated |",
        engine.name(),
        report.events,
        report.missed.len(),
        report.changed.len(),
        report.repeated
    );
    Ok(report.is_clean())
}
