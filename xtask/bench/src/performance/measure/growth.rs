//! How latency, memory and files grow with what is stored.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{creations::posts, setup::NEW_ORG};
use crate::performance::{
    lab::Lab,
    open_loop,
    postgres::Postgres,
    process::{Ours, PEPPER},
    report::{Bound, Outcome, Series, ratios},
    wrk::{Load, Sample, count},
};

/// How many keys and orgs; ten times as many events.
const SIZES: [u32; 4] = [SMALLEST, 10_000, 100_000, LARGEST];
const SMALLEST: u32 = 1_000;
const LARGEST: u32 = 1_000_000;
/// The largest size of a quick run.
const QUICK: u32 = 100_000;
/// The file in a folder of the database that says for which migrations it was filled.
const FILLED: &str = "filled";

/// The call that is also sent at a constant rate, so that each size has the same to do.
const STEADY: (&str, &str) = ("authentication (whoami) at 500/s", "/cp/whoami");
/// That rate, per second.
const RATE: f64 = 500.0;
/// For how long nothing is written by a server that has nothing left to write.
const QUIET: Duration = Duration::from_secs(3);

/// What is asked at each size.
struct Call {
    what: &'static str,
    /// That of a GET; without one, orgs are created.
    path: Option<&'static str>,
    /// By how many of the keys at the most.
    keys: usize,
}

/// All keys that were written down.
const ANY: usize = usize::MAX;
/// As many as the smallest database has.
const FEW: usize = 1000;

const CALLS: [Call; 7] = [
    Call {
        what: "authentication (whoami)",
        path: Some("/cp/whoami"),
        keys: ANY,
    },
    Call {
        what: "authentication (whoami) by 1000 of the keys",
        path: Some("/cp/whoami"),
        keys: FEW,
    },
    Call {
        what: "list of orgs",
        path: Some("/cp/orgs?limit=20"),
        keys: ANY,
    },
    Call {
        what: "list of orgs by 1000 of the keys",
        path: Some("/cp/orgs?limit=20"),
        keys: FEW,
    },
    Call {
        what: "audit query",
        path: Some("/cp/audit-events?limit=20"),
        keys: ANY,
    },
    Call {
        what: "audit query by 1000 of the keys",
        path: Some("/cp/audit-events?limit=20"),
        keys: FEW,
    },
    Call {
        what: "creation of an org",
        path: None,
        keys: ANY,
    },
];

/// A filled database.
struct Filled {
    size: u32,
    /// Where its keys are written down.
    folder: PathBuf,
    url: String,
}

pub(super) fn sqlite(lab: &Lab) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let filled = sizes(lab, &SIZES)
        .map(|size| keep(lab, size, &mut outcome))
        .collect::<Result<Vec<_>>>()?;
    compare(lab, &filled, |_| Ok(()), &mut outcome)?;
    outcome.note("Databases are filled once and kept under `target/bench/growth`.");
    Ok(outcome)
}

pub(super) fn postgres(lab: &Lab) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let postgres = Postgres::start()?;
    let mut filled = Vec::new();
    for size in sizes(lab, &[SMALLEST, LARGEST]) {
        let url = postgres.new_database();
        let folder = lab.folder("growth")?;
        let used = || postgres.size_of(&url);
        let index = "SELECT count(*), min(id), max(id) FROM audit_index_pages";
        let written = || Ok(postgres.sql(&url, index));
        let each = fill(lab, size, &folder, &url, used, || until_quiet(written))?;
        outcome.series("disk for an event", &keys(size), "bytes", vec![each]);
        // As autovacuum would have it by and by.
        postgres.sql(&url, "vacuum analyze");
        filled.push(Filled { size, folder, url });
    }
    // What the filling or the database before has left to write is written by then.
    let at_rest = |one: &Filled| {
        postgres.sql(&one.url, "checkpoint");
        Ok(())
    };
    compare(lab, &filled, at_rest, &mut outcome)?;
    outcome.note("PostgreSQL has 16 MiB of `shared_buffers`, and the system's memory beside that.");
    Ok(outcome)
}

/// Those of these sizes that are measured, and the largest of a quick run in place of larger ones.
fn sizes(lab: &Lab, all: &[u32]) -> impl Iterator<Item = u32> {
    let most = if lab.quick { QUICK } else { LARGEST };
    let mut sizes: Vec<u32> = all.iter().map(|size| *size.min(&most)).collect();
    sizes.dedup();
    sizes.into_iter()
}

/// Measures databases side by side, each once it is at rest.
fn compare(
    lab: &Lab,
    filled: &[Filled],
    at_rest: impl Fn(&Filled) -> Result<()>,
    outcome: &mut Outcome,
) -> Result<()> {
    for round in 0..lab.rounds {
        for one in filled {
            at_rest(one)?;
            measure(lab, one, round, outcome)?;
        }
    }
    if let (Some(first), Some(last)) = (filled.first(), filled.last()) {
        let (first, last) = (keys(first.size), keys(last.size));
        for what in CALLS.map(|call| call.what).into_iter().chain([STEADY.0]) {
            let rounds = |size: &str| {
                let found = outcome.series.iter().find(|series: &&Series| {
                    series.what == format!("{what}, p99") && series.who == size
                });
                found.map_or_else(Vec::new, |series| series.rounds.clone())
            };
            let ratio = ratios(&rounds(&last), &rounds(&first));
            let text = format!("{what}: p99 at {last} over {first}");
            outcome.goal(&text, Bound::AtMost(1.25), "×", ratio);
        }
    }
    outcome.note(
        "The server is started anew before each size of each round, so that what it remembers of \
         keys is empty at first; with 1 000 keys all are soon remembered, with many hardly any.",
    );
    outcome.note(
        "In the closed loop whoever is answered sooner sends more, so a small database is given more \
         to do than a large one; at the constant rate all have the same.",
    );
    if lab.quick {
        outcome.note("A quick run: the largest size was left out.");
    }
    Ok(())
}

fn keys(size: u32) -> String {
    format!("{size} keys")
}

/// The SQLite database of this size, filled unless it is there.
fn keep(lab: &Lab, size: u32, outcome: &mut Outcome) -> Result<Filled> {
    let folder = lab.kept.join("growth").join(size.to_string());
    let schema = fs::read_to_string(lab.root.join("migrations/checksums.txt"))?;
    let marker = folder.join(FILLED);
    let url = lab.sqlite(&folder);
    if !fs::read_to_string(&marker).is_ok_and(|there| there.starts_with(&schema)) {
        if folder.is_dir() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let used = || size_of(&folder);
        let log = folder.join("molecule.db-wal");
        let written = || Ok(fs::metadata(&log)?.modified()?);
        let each = fill(lab, size, &folder, &url, used, || until_quiet(written))?;
        fs::write(&marker, format!("{schema}\n{each}"))?;
    }
    record_size(&marker, size, outcome)?;
    Ok(Filled { size, folder, url })
}

/// Fills a database and lets the server `settle` it; gives the bytes of an event, as `used` tells those
/// of all.
fn fill(
    lab: &Lab,
    size: u32,
    folder: &Path,
    url: &str,
    used: impl Fn() -> Result<u64>,
    settle: impl Fn() -> Result<()>,
) -> Result<f64> {
    println!("  filling with {size} keys and orgs and ten times as many events");
    // The server itself makes the schema and notes the pepper, before it answers anybody.
    drop(answering(folder, url)?);
    // First all but the events: that tells what they add.
    add(lab, folder, url, &["--keys", &size.to_string()])?;
    let before = used()?;
    let events = u64::from(size).saturating_mul(10);
    add(lab, folder, url, &["--events", &events.to_string()])?;
    let server = answering(folder, url)?;
    settle()?;
    drop(server);
    Ok(count(used()?.saturating_sub(before)) / count(events))
}

/// A server that answers: it has taken its port before it opened the database.
fn answering(folder: &Path, url: &str) -> Result<Ours> {
    let server = Ours::start(folder, url, &[])?;
    let alive = server.admin().get("/healthz")?;
    ensure!(
        alive.status == 200,
        "the server is not well: {}",
        alive.status
    );
    Ok(server)
}

/// Adds to the database.
fn add(lab: &Lab, folder: &Path, url: &str, what: &[&str]) -> Result<()> {
    let status = Command::new(&lab.own)
        .arg("fill")
        .args(["--database", url, "--pepper", PEPPER])
        .arg("--folder")
        .arg(folder)
        .args(what)
        .status()?;
    ensure!(status.success(), "the filling failed");
    Ok(())
}

/// Waits until the server has nothing left to write: it indexes its log behind those who write it.
fn until_quiet<T: PartialEq>(written: impl Fn() -> Result<T>) -> Result<()> {
    let mut before = written()?;
    loop {
        thread::sleep(QUIET);
        let now = written()?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
}

/// The size on disk of an event, as it was seen at the filling.
fn record_size(marker: &Path, size: u32, outcome: &mut Outcome) -> Result<()> {
    let text = fs::read_to_string(marker)?;
    let each = text.lines().last().and_then(|line| line.parse().ok());
    let each: f64 = each.with_context(|| marker.display().to_string())?;
    outcome.series("disk for an event", &keys(size), "bytes", vec![each]);
    Ok(())
}

/// All files of the database, in bytes.
fn size_of(folder: &Path) -> Result<u64> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("molecule.db")
        {
            sum = sum.saturating_add(entry.metadata()?.len());
        }
    }
    Ok(sum)
}

fn measure(lab: &Lab, filled: &Filled, round: u32, outcome: &mut Outcome) -> Result<()> {
    let Filled { size, folder, url } = filled;
    let size = *size;
    let server = answering(folder, url)?;
    let sample = fs::read_to_string(folder.join("sample"))?;
    let tokens: Vec<&str> = sample.lines().collect();
    for Call {
        what,
        path,
        keys: most,
    } in CALLS
    {
        let lines: Vec<(String, String)> = tokens
            .iter()
            .take(most)
            .map(|token| (path.unwrap_or("/cp/orgs").to_owned(), (*token).to_owned()))
            .collect();
        let load = match path {
            Some(_) => Load {
                address: server.process.address,
                connections: 0,
                script: "get.lua",
                args: vec![lab.list(&lines)?.display().to_string()],
                refused: false,
            },
            None => posts(lab, &server, &lines, NEW_ORG)?,
        };
        // Few connections: the question is how long a call takes, not how many there can be.
        let load = Load {
            connections: 4,
            ..load
        };
        let sample: Sample = load.run(lab, lab.seconds)?;
        println!(
            "  round {}: {size} keys: {what}: p99 {:.2} ms",
            round.saturating_add(1),
            sample.p99_us / 1000.0
        );
        let who = keys(size);
        outcome.add(&format!("{what}, p99"), &who, "ms", sample.p99_us / 1000.0);
        outcome.add(&format!("{what}, p50"), &who, "ms", sample.p50_us / 1000.0);
    }
    let (what, path) = STEADY;
    let lines: Vec<(String, String)> = tokens
        .iter()
        .map(|token| (path.to_owned(), (*token).to_owned()))
        .collect();
    let list = lab.list(&lines)?;
    let latencies = open_loop::run(server.process.address, &list, RATE, lab.seconds)?;
    println!(
        "  round {}: {size} keys: {what}: p99 {:.2} ms, {:.0} % of the rate kept",
        round.saturating_add(1),
        latencies.p99,
        latencies.kept * 100.0
    );
    let who = keys(size);
    outcome.add(&format!("{what}, p99"), &who, "ms", latencies.p99);
    outcome.add(&format!("{what}, p50"), &who, "ms", latencies.p50);
    if let Some(bytes) = server.process.resident() {
        let mib = count(bytes) / 1_048_576.0;
        outcome.add("resident memory after the calls", &keys(size), "MiB", mib);
    }
    Ok(())
}
