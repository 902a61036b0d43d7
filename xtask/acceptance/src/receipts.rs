//! Whether a receipt is true: once it says that every instance has confirmed a revocation, none accepts the
//! key; and how soon receipts come.
//!
//! In each race every instance has the key in its cache, and is called with it without a pause while one of
//! them revokes it with `Prefer: wait`. A call that begins after the receipt must be refused.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    http::Client,
    latency::Latencies,
    postgres,
    server::{self, Server, Setup, create_key},
};

use crate::crash::Engine;

/// What `receipts` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many revocations.
    #[arg(long, default_value_t = 2000)]
    count: usize,
    /// How many instances.
    #[arg(long, default_value_t = 3)]
    instances: usize,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

/// What came of the races.
#[derive(Default)]
struct Sum {
    calls: usize,
    /// Races in which every instance accepted the key before and refused it after.
    met: usize,
    /// Calls that began after the receipt and were accepted.
    stale: usize,
    /// Receipts that did not name every instance as confirmed.
    incomplete: usize,
    /// How long the slowest instance of each receipt took.
    slowest: Latencies,
    /// How long each answer took.
    answers: Latencies,
}

/// Runs the races on servers of its own and prints the counts; `None` without PostgreSQL.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    let folder = tempfile::tempdir()?;
    let mut setup = Setup::new(server::program()?, folder.path());
    let database = match args.engine {
        Engine::Sqlite => None,
        Engine::Postgres => match postgres::Server::start() {
            Some(server) => Some(server),
            None => return Ok(None),
        },
    };
    setup.database_url = database.as_ref().map(postgres::Server::new_database);
    let mut servers = Vec::new();
    for n in 0..args.instances {
        setup.log = folder.path().join(format!("{n}.log"));
        servers.push(setup.start()?);
    }
    let mut sum = Sum::default();
    let begun = Instant::now();
    for n in 0..args.count {
        race(&servers, n, &mut sum)?;
    }
    println!(
        "revocations: {} on {} instances, {:?}, {:.1} s",
        args.count,
        args.instances,
        args.engine,
        begun.elapsed().as_secs_f64()
    );
    println!("calls in them: {}", sum.calls);
    println!(
        "races with calls on both sides on every instance: {}",
        sum.met
    );
    println!("calls accepted after a complete receipt: {}", sum.stale);
    println!("receipts that are not complete: {}", sum.incomplete);
    let [p50, p99, max] = sum.slowest.clone().millis([50, 99, 100]);
    println!(
        "the slowest instance confirmed after: p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms"
    );
    let [a50, a99, a100] = sum.answers.clone().millis([50, 99, 100]);
    println!("answered after: p50 {a50:.1} ms, p99 {a99:.1} ms, max {a100:.1} ms");
    // Races in which nothing met would show nothing.
    let has_met = sum.met * 2 > args.count;
    Ok(Some(sum.stale == 0 && sum.incomplete == 0 && has_met))
}

/// One race.
fn race(servers: &[Server], n: usize, sum: &mut Sum) -> Result<()> {
    let by = servers.get(n % servers.len()).context("no instance")?;
    let key = create_key(&by.admin(), json!({"scopes": ["orgs:list"]}))?;
    let clients: Vec<Client> = servers
        .iter()
        .map(|server| server.client(&key.secret))
        .collect();
    for client in &clients {
        client.get("/cp/orgs")?.expect(200)?;
    }
    let (start, over) = (Barrier::new(servers.len() + 1), AtomicBool::new(false));
    let path = format!("/cp/admin/partner-keys/{}", key.id);
    let (samples, receipt, answered) = thread::scope(|scope| {
        let (start, over) = (&start, &over);
        let callers: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(move || call_until_over(client, start, over)))
            .collect();
        start.wait();
        let asked = Instant::now();
        let receipt = by
            .admin()
            .call("DELETE", &path, &[("prefer", "wait=10")], "");
        let answered = Instant::now();
        over.store(true, Ordering::SeqCst);
        sum.answers.record(answered - asked);
        let mut samples = Vec::new();
        for caller in callers {
            samples.push(caller.join().ok().context("a thread panicked")??);
        }
        Ok::<_, anyhow::Error>((samples, receipt?.expect(200)?, answered))
    })?;
    let confirmed = receipt.pointer("/confirmed");
    let confirmed = confirmed
        .and_then(Value::as_array)
        .context("no confirmed")?;
    let is_complete =
        confirmed.len() == servers.len() && receipt.pointer("/unconfirmed") == Some(&json!([]));
    sum.incomplete += usize::from(!is_complete);
    let slowest = confirmed
        .iter()
        .filter_map(|one| one.pointer("/after_ms")?.as_u64());
    let slowest = slowest.max().unwrap_or_default();
    sum.slowest.record(Duration::from_millis(slowest));
    let mut has_met = true;
    for samples in samples {
        sum.calls += samples.len();
        let late = samples.iter().filter(|call| call.0 > answered && call.1);
        sum.stale += if is_complete { late.count() } else { 0 };
        let is_any = |accepted: bool| samples.iter().any(|call| call.1 == accepted);
        has_met &= is_any(true) && is_any(false);
    }
    sum.met += usize::from(has_met);
    Ok(())
}

/// When each call began, and whether it was accepted; two of them begin after the receipt.
fn call_until_over(
    client: &Client,
    start: &Barrier,
    over: &AtomicBool,
) -> Result<Vec<(Instant, bool)>> {
    let mut samples = Vec::new();
    start.wait();
    let mut after = 0;
    while after < 2 {
        after += usize::from(over.load(Ordering::SeqCst));
        let begun = Instant::now();
        let response = client.get("/cp/orgs")?;
        ensure!([200, 401].contains(&response.status), "{}", response.status);
        samples.push((begun, response.status == 200));
    }
    Ok(samples)
}
