//! Whether a revocation or a narrowing holds: at once on the server that answered it, within two seconds
//! on another one of the same database.
//!
//! In each race two connections call with one key as fast as they can while an admin changes the key. A
//! call that begins after the admin has the answer must be refused. Some keys have been used before, so
//! that they are remembered; others are met for the first time in the race, so that the look-up races.

use std::{
    collections::VecDeque,
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    http::{Client, Response},
    server::{self, Server, Setup, create_key},
};

/// How long another server may go on accepting.
const GRACE: Duration = Duration::from_secs(2);
/// How many connections call at once in a race.
const CALLERS: usize = 2;
/// How many races go on side by side.
const TRACKS: usize = 2;

/// What `races` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many races.
    #[arg(long, default_value_t = 100_000)]
    count: usize,
}

/// How a key is changed in the race.
#[derive(Clone, Copy)]
enum Change {
    Revoke,
    Disable,
    Narrow,
    LoseScope,
}

/// One key and what happens to it.
struct Race {
    id: String,
    key: String,
    change: Change,
    /// Whether it is used on both servers before the race.
    known: bool,
    /// How long the callers are ahead.
    ahead: Duration,
}

/// What came of the races.
#[derive(Default)]
struct Sum {
    races: usize,
    /// Races in which a call was accepted before the change and one refused after it.
    met: usize,
    calls: usize,
    /// Calls that began after the answer and were accepted.
    stale: usize,
    /// Calls on the other server that began more than two seconds after the answer and were accepted.
    late: usize,
    /// The longest time after the answer at which the other server still accepted.
    longest: Duration,
}

/// Runs the races on two servers of its own and prints the counts.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let mut setup = Setup::new(server::program()?, folder.path());
    let first = setup.start()?;
    setup.log = folder.path().join("second.log");
    let second = setup.start()?;
    let sum = Mutex::new(Sum::default());
    let begun = Instant::now();
    thread::scope(|scope| -> Result<()> {
        let (first, second, sum) = (&first, &second, &sum);
        let tracks: Vec<_> = (0..TRACKS)
            .map(|track| {
                let count = args.count / TRACKS + usize::from(track < args.count % TRACKS);
                scope.spawn(move || run_track(first, second, sum, track, count))
            })
            .collect();
        for track in tracks {
            track.join().ok().context("a thread panicked")??;
        }
        Ok(())
    })?;
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "races: {}, {:.1} s",
        sum.races,
        begun.elapsed().as_secs_f64()
    );
    println!("calls in them: {}", sum.calls);
    println!("races with calls on both sides of the change: {}", sum.met);
    println!("calls accepted after the answer: {}", sum.stale);
    println!(
        "longest acceptance by the other server after the answer: {:.3} s",
        sum.longest.as_secs_f64()
    );
    println!("calls that it accepted after 2 s: {}", sum.late);
    // Races in which nothing met would show nothing.
    Ok(sum.stale == 0 && sum.late == 0 && sum.met * 2 > sum.races)
}

/// Races one after the other.
fn run_track(
    first: &Server,
    second: &Server,
    sum: &Mutex<Sum>,
    track: usize,
    count: usize,
) -> Result<()> {
    let admin = first.admin();
    let callers: [_; CALLERS] = std::array::from_fn(|_| first.client(""));
    let other = second.client("");
    let (send, changed) = mpsc::channel();
    thread::scope(|scope| {
        let watching = scope.spawn(move || watch(second, sum, changed));
        for n in 0..count {
            let race = new_race(&admin, track, n)?;
            if race.known {
                for client in callers.iter().chain([&other]) {
                    client.with_token(&race.key).get("/cp/orgs")?.expect(200)?;
                }
            }
            let answered = run_race(&callers, &admin, &race, sum)?;
            send.send((race.key, answered)).ok();
        }
        drop(send);
        watching.join().ok().context("a thread panicked")?
    })
}

fn new_race(admin: &Client, track: usize, n: usize) -> Result<Race> {
    let key = create_key(admin, json!({"scopes": ["orgs:list"]}))?;
    let changes = [
        Change::Revoke,
        Change::Disable,
        Change::Narrow,
        Change::LoseScope,
    ];
    let change = changes.get(n % 4).copied().unwrap_or(Change::Revoke);
    // From none to a few calls ahead.
    let ahead = Duration::from_micros(u64::try_from((n * 37 + track * 11) % 400)?);
    Ok(Race {
        id: key.id,
        key: key.secret,
        change,
        known: !n.is_multiple_of(3),
        ahead,
    })
}

/// One race; gives the time at which the change was answered.
fn run_race(callers: &[Client], admin: &Client, race: &Race, sum: &Mutex<Sum>) -> Result<Instant> {
    let (start, over) = (Barrier::new(CALLERS + 1), AtomicBool::new(false));
    let (samples, answered) = thread::scope(|scope| {
        let (start, over) = (&start, &over);
        let callers: Vec<_> = callers
            .iter()
            .map(|caller| caller.with_token(&race.key))
            .map(|caller| scope.spawn(move || call_until_over(&caller, start, over)))
            .collect();
        start.wait();
        thread::sleep(race.ahead);
        let changed = race.change.apply(admin, &race.id);
        let answered = Instant::now();
        over.store(true, Ordering::SeqCst);
        let mut samples = Vec::new();
        for caller in callers {
            samples.extend(caller.join().ok().context("a thread panicked")??);
        }
        changed?;
        Ok::<_, anyhow::Error>((samples, answered))
    })?;
    let accepted = |call: &&(Instant, bool)| call.1;
    let stale = samples
        .iter()
        .filter(accepted)
        .filter(|call| call.0 > answered)
        .count();
    let met = samples.iter().any(|call| call.1) && samples.iter().any(|call| !call.1);
    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    sum.races += 1;
    sum.calls += samples.len();
    sum.stale += stale;
    sum.met += usize::from(met);
    Ok(answered)
}

/// When each call began, and whether it was accepted; two of them begin after the change is over.
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
        let expected = [200, 401, 403].contains(&response.status);
        ensure!(expected, "{}", response.status);
        samples.push((begun, response.status == 200));
    }
    Ok(samples)
}

impl Change {
    fn apply(self, admin: &Client, id: &str) -> Result<()> {
        let path = format!("/cp/admin/partner-keys/{id}");
        let patch =
            |body: Value| -> Result<(Response, u16)> { Ok((admin.patch(&path, &body)?, 200)) };
        let (response, status) = match self {
            Self::Revoke => (admin.delete(&path)?, 204),
            Self::Disable => patch(json!({"disabled": true}))?,
            Self::Narrow => patch(json!({"allowed_cidrs": ["192.0.2.0/24"]}))?,
            Self::LoseScope => patch(json!({"scopes": []}))?,
        };
        response.expect(status)?;
        Ok(())
    }
}

/// Calls the other server with each changed key until it is refused, and once more when two seconds are
/// over.
fn watch(
    server: &Server,
    sum: &Mutex<Sum>,
    changed: mpsc::Receiver<(String, Instant)>,
) -> Result<()> {
    let client = server.client("");
    // Whether a call is accepted, and how long after the answer it began.
    let accepted = |key: &str, answered: Instant| -> Result<bool> {
        let client = client.with_token(key);
        let lag = Instant::now().saturating_duration_since(answered);
        let accepted = client.get("/cp/orgs")?.status == 200;
        if accepted {
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.longest = sum.longest.max(lag);
            sum.late += usize::from(lag > GRACE);
        }
        ensure!(!accepted || lag < GRACE * 5, "it goes on accepting");
        Ok(accepted)
    };
    let (mut open, mut refused) = (VecDeque::new(), VecDeque::new());
    let mut ended = false;
    while !(ended && open.is_empty() && refused.is_empty()) {
        loop {
            match changed.try_recv() {
                Ok(one) => open.push_back(one),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => {
                    ended = true;
                    break;
                }
            }
        }
        if let Some((key, answered)) = open.pop_front() {
            if accepted(&key, answered)? {
                open.push_back((key, answered));
            } else {
                refused.push_back((key, answered));
            }
        }
        let is_over = |one: &mut (String, Instant)| one.1.elapsed() > GRACE;
        if let Some((key, answered)) = refused.pop_front_if(is_over) {
            accepted(&key, answered)?;
        }
        if open.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}
