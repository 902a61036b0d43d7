//! Whether a rotation costs nobody a call: under load by both secrets, none is refused before its end, and the end
//! reaches every instance within two seconds.
//!
//! In each round the key is rotated on one instance while many connections call on all of them, each by either
//! secret in turn. Then the older secret is ended, the newer one, or the overlap runs out by itself.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    http::{Client, text},
    postgres,
    server::{self, Server, Setup, create_key},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::crash::Engine;

/// How long an instance may go on accepting a secret that has ended.
const GRACE: Duration = Duration::from_secs(2);
/// For how long both secrets are used before one is ended.
const BOTH: Duration = Duration::from_millis(500);
/// For how long they are used after that.
const AFTER: Duration = Duration::from_millis(2300);

/// What `rotation` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many rotations.
    #[arg(long, default_value_t = 30)]
    count: usize,
    /// How many connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many instances.
    #[arg(long, default_value_t = 3)]
    instances: usize,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

/// How a rotation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Finish,
    Cancel,
    Overlap,
}

/// One call.
struct Sample {
    begun: Instant,
    answered: Instant,
    /// Whether it was by the secret that ends.
    by_ending: bool,
    is_accepted: bool,
}

/// What came of the rounds.
#[derive(Default)]
struct Sum {
    calls: usize,
    /// Rounds in which the secret was accepted before its end and refused after it.
    met: usize,
    /// Calls that were refused although neither secret had ended.
    refused: usize,
    /// Calls that began more than two seconds after the end and were accepted.
    late: usize,
    /// The longest time after the end at which it was still accepted.
    longest: Duration,
}

/// Runs the rounds on servers of its own and prints the counts; `None` without PostgreSQL.
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
    let first = servers.first().context("no instance")?;
    let key = create_key(&first.admin(), json!({"scopes": ["orgs:list"]}))?;
    let (mut secret, mut sum) = (key.secret, Sum::default());
    let begun = Instant::now();
    for n in 0..args.count {
        let end = match n % 3 {
            0 => End::Finish,
            1 => End::Cancel,
            _ => End::Overlap,
        };
        let by = servers.get(n % servers.len()).context("no instance")?;
        secret = round(
            &servers,
            by,
            (&key.id, secret),
            (end, args.connections),
            &mut sum,
        )?;
    }
    println!(
        "rotations: {} on {} instances, {:?}, {} connections, {:.1} s",
        args.count,
        args.instances,
        args.engine,
        args.connections,
        begun.elapsed().as_secs_f64()
    );
    println!("calls in them: {}", sum.calls);
    println!("rotations with calls on both sides of the end: {}", sum.met);
    println!("calls refused before an end: {}", sum.refused);
    println!(
        "longest acceptance after an end: {:.3} s",
        sum.longest.as_secs_f64()
    );
    println!("calls accepted more than 2 s after an end: {}", sum.late);
    // Rounds in which nothing met would show nothing.
    let has_met = sum.met == args.count;
    Ok(Some(sum.refused == 0 && sum.late == 0 && has_met))
}

/// One rotation and its end; the secret that the key has then.
fn round(
    servers: &[Server],
    by: &Server,
    (id, older): (&str, String),
    (end, connections): (End, usize),
    sum: &mut Sum,
) -> Result<String> {
    let path = format!("/cp/admin/partner-keys/{id}/rotate");
    let overlap = if end == End::Overlap { 1 } else { 3600 };
    let issued = by
        .admin()
        .post(&path, &json!({"overlap_seconds": overlap}))?
        .expect(201)?;
    let newer = text(&issued, "/key")?.to_owned();
    let (ending, kept) = if end == End::Cancel {
        (newer, older)
    } else {
        (older, newer)
    };
    let (over, samples) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (asked, answered) = thread::scope(|scope| {
        let callers: Vec<_> = (0..connections)
            .map(|n| {
                let server = servers.get(n % servers.len());
                let (over, samples) = (&over, &samples);
                let (ending, kept) = (&ending, &kept);
                scope.spawn(move || {
                    let server = server.context("no instance")?;
                    let clients = [server.client(ending), server.client(kept)];
                    let called = call_until(&clients, n, over)?;
                    let mut all = samples.lock().unwrap_or_else(PoisonError::into_inner);
                    all.extend(called);
                    anyhow::Ok(())
                })
            })
            .collect();
        let ended = ends(by, &path, end, &issued);
        if ended.is_ok() {
            thread::sleep(AFTER);
        }
        over.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.join().ok().context("a thread panicked")??;
        }
        ended
    })?;
    let samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.count(&samples, (asked, answered));
    Ok(kept)
}

/// Ends the rotation: when that was asked for, and when it was answered.
fn ends(by: &Server, path: &str, end: End, issued: &Value) -> Result<(Instant, Instant)> {
    let verb = match end {
        End::Finish => "finish",
        End::Cancel => "cancel",
        End::Overlap => {
            let at = OffsetDateTime::parse(text(issued, "/secrets/1/expires_at")?, &Rfc3339)?;
            let left = at - OffsetDateTime::now_utc();
            let left: Duration = left.try_into().unwrap_or_default();
            let at = Instant::now() + left;
            thread::sleep(at.saturating_duration_since(Instant::now()));
            return Ok((at, at));
        }
    };
    thread::sleep(BOTH);
    let asked = Instant::now();
    by.admin()
        .post(&format!("{path}/{verb}"), &json!({}))?
        .expect(200)?;
    Ok((asked, Instant::now()))
}

/// Calls by either secret in turn; one call of each begins when all is over.
fn call_until(clients: &[Client; 2], n: usize, over: &AtomicBool) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut after = 0;
    for turn in n.. {
        if after == 2 {
            break;
        }
        after += usize::from(over.load(Ordering::SeqCst));
        let client = clients.get(turn % 2).context("two clients")?;
        let begun = Instant::now();
        let response = client.get("/cp/whoami")?;
        ensure!([200, 401].contains(&response.status), "{}", response.status);
        samples.push(Sample {
            begun,
            answered: Instant::now(),
            by_ending: turn % 2 == 0,
            is_accepted: response.status == 200,
        });
        // So that the processor is left to the servers.
        thread::sleep(Duration::from_millis(5));
    }
    Ok(samples)
}

impl Sum {
    fn count(&mut self, samples: &[Sample], (asked, answered): (Instant, Instant)) {
        self.calls += samples.len();
        let (mut before, mut after) = (false, false);
        for sample in samples {
            let since = sample.begun.saturating_duration_since(answered);
            match (sample.by_ending, sample.is_accepted) {
                (false, false) => self.refused += 1,
                (true, false) => {
                    after = true;
                    self.refused += usize::from(sample.answered < asked);
                }
                (true, true) => {
                    before |= sample.begun < asked;
                    self.longest = self.longest.max(since);
                    self.late += usize::from(since > GRACE);
                }
                (false, true) => {}
            }
        }
        self.met += usize::from(before && after);
    }
}
