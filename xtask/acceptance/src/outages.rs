//! Whether instances outlive the restarts of what they share: PostgreSQL and Redis are killed and started
//! again, in turn, under load on several instances.
//!
//! No answer may be wrong: a call is answered as ever or with 503, an org that was answered is there at the
//! end, and a key that is revoked after an outage is refused by every instance. Once the server that was
//! killed takes connections again, every instance answers within five seconds.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    http::{Client, text},
    latency::Latencies,
    postgres::Server as Postgres,
    redis::Server as Redis,
    server::{self, Server, Setup, create_key},
};

/// How soon every instance answers after a restart.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long the load goes on between two restarts.
const PAUSE: Duration = Duration::from_millis(200);
/// Callers for each instance; half of them create orgs.
const CALLERS: usize = 4;

/// What `outages` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many restarts of each.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// How many instances.
    #[arg(long, default_value_t = 2)]
    instances: usize,
}

/// What the callers have seen.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    unavailable: AtomicUsize,
    /// Orgs that were answered.
    orgs: Mutex<BTreeSet<String>>,
    over: AtomicBool,
}

/// Runs the restarts and prints what was seen; `None` without PostgreSQL or Redis.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    let (Some(postgres), Some(redis)) = (Postgres::start(), Redis::start(&[])) else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let mut setup = Setup::new(server::program()?, folder.path()).with("REDIS_URL", redis.url());
    setup.database_url = Some(postgres.new_database());
    let mut servers = Vec::new();
    for n in 0..args.instances {
        setup.log = folder.path().join(format!("{n}.log"));
        servers.push(setup.start()?);
    }
    let first = servers.first().context("no instance")?;
    let key = create_key(
        &first.admin(),
        json!({"scopes": ["orgs:create", "orgs:list"]}),
    )?
    .secret;
    let seen = Seen::default();
    let outcome = thread::scope(|scope| {
        let callers: Vec<_> = servers
            .iter()
            .enumerate()
            .flat_map(|(n, server)| (0..CALLERS).map(move |m| (n * CALLERS + m, server)))
            .map(|(n, server)| {
                let (client, seen) = (server.client(&key), &seen);
                scope.spawn(move || call_until_over(n, &client, seen))
            })
            .collect();
        let outcome = restart_all(args.count, &servers, &key, &postgres, &redis);
        seen.over.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.join().ok().context("a thread panicked")??;
        }
        outcome
    });
    let (of_postgres, of_redis) = outcome?;
    let there: BTreeSet<String> = first
        .client(&key)
        .list("/cp/orgs")?
        .iter()
        .map(|org| Ok(text(org, "/id")?.to_owned()))
        .collect::<Result<_>>()?;
    let orgs = seen
        .orgs
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let lost = orgs.difference(&there).count();
    println!(
        "calls: {} answered as ever, {} with 503; orgs answered: {}, missing: {lost}",
        seen.answered.into_inner(),
        seen.unavailable.into_inner(),
        orgs.len(),
    );
    let mut holds = lost == 0 && !orgs.is_empty();
    for (name, recoveries) in [("PostgreSQL", of_postgres), ("Redis", of_redis)] {
        let count = recoveries.len();
        let [median, longest] = recoveries.millis([50, 100]);
        println!("restarts of {name}: {count}, recovery p50 {median:.0} ms, max {longest:.0} ms");
        holds &= longest <= RECOVERY.as_secs_f64() * 1000.0;
    }
    Ok(Some(holds))
}

/// Gives how long every instance took to answer after each restart of PostgreSQL, and of Redis.
fn restart_all(
    count: usize,
    servers: &[Server],
    key: &str,
    postgres: &Postgres,
    redis: &Redis,
) -> Result<(Latencies, Latencies)> {
    let (mut of_postgres, mut of_redis) = (Latencies::default(), Latencies::default());
    for n in 0..count {
        // Once as by a loss of power, once as by an operator.
        if n % 2 == 0 {
            postgres.crash();
        } else {
            postgres.stop();
        }
        thread::sleep(PAUSE);
        postgres.restart();
        of_postgres.record(recovery(servers, key)?);
        a_revocation_holds(servers)?;
        redis.kill();
        thread::sleep(PAUSE);
        // Calls go on without it.
        for server in servers {
            let status = server.client(key).get("/cp/whoami")?.status;
            ensure!(status == 200, "{status} without Redis");
        }
        redis.restart();
        of_redis.record(recovery(servers, key)?);
        thread::sleep(PAUSE);
    }
    Ok((of_postgres, of_redis))
}

fn recovery(servers: &[Server], key: &str) -> Result<Duration> {
    let begun = Instant::now();
    for server in servers {
        let client = server.client(key);
        let is_ready = || -> Result<bool> {
            Ok(client.get("/cp/whoami")?.status == 200 && client.get("/readyz")?.status == 200)
        };
        while !is_ready()? {
            ensure!(
                begun.elapsed() < 4 * RECOVERY,
                "no recovery: {}",
                server.log()?
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(begun.elapsed())
}

/// A key that every instance knows is refused by all of them once a receipt says so.
fn a_revocation_holds(servers: &[Server]) -> Result<()> {
    let admin = servers.first().context("no instance")?.admin();
    let key = create_key(&admin, json!({"scopes": ["orgs:list"]}))?;
    for server in servers {
        server.client(&key.secret).get("/cp/whoami")?.expect(200)?;
    }
    let path = format!("/cp/admin/partner-keys/{}", key.id);
    let receipt = admin
        .call("DELETE", &path, &[("prefer", "wait=30")], "")?
        .expect(200)?;
    let unconfirmed = receipt.get("unconfirmed").and_then(Value::as_array);
    ensure!(unconfirmed.is_some_and(Vec::is_empty), "{receipt}");
    for server in servers {
        server.client(&key.secret).get("/cp/whoami")?.expect(401)?;
    }
    Ok(())
}

/// Creates orgs, or reads them, until it is over.
fn call_until_over(caller: usize, client: &Client, seen: &Seen) -> Result<()> {
    for n in 0.. {
        if seen.over.load(Ordering::SeqCst) {
            break;
        }
        let (response, expected) = if caller.is_multiple_of(2) {
            let slug = format!("c{caller}-{n}");
            let org = json!({"name": slug, "slug": slug, "plan": "free"});
            (client.post("/cp/orgs", &org)?, 201)
        } else {
            (client.get("/cp/orgs?limit=1")?, 200)
        };
        if response.status == 503 {
            seen.unavailable.fetch_add(1, Ordering::Relaxed);
        } else {
            let value = response.expect(expected)?;
            seen.answered.fetch_add(1, Ordering::Relaxed);
            if expected == 201 {
                let id = text(&value, "/id")?.to_owned();
                let mut orgs = seen.orgs.lock().unwrap_or_else(PoisonError::into_inner);
                orgs.insert(id);
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
