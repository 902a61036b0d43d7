//! How latency, memory and files grow with what is stored.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{creations::posts, setup::NEW_ORG};
use crate::{
    lab::Lab,
    open_loop,
    process::{Ours, PEPPER},
    report::{Bound, Outcome, Series, ratios},
    wrk::{Load, Sample, count},
};

/// How many keys and orgs; ten times as many events.
const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
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

const CALLS: [Call; 5] = [
    Call {
        what: "authentication (whoami)",
        path: Some("/cp/whoami"),
        keys: ANY,
    },
    Call {
        what: "authentication (whoami) by 1000 of the keys",
        path: Some("/cp/whoami"),
        keys: 1000,
    },
    Call {
        what: "list of orgs",
        path: Some("/cp/orgs?limit=20"),
        keys: ANY,
    },
    Call {
        what: "audit query",
        path: Some("/cp/audit-events?limit=20"),
        keys: ANY,
    },
    Call {
        what: "creation of an org",
        path: None,
        keys: ANY,
    },
];

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let sizes: Vec<u32> = SIZES
        .into_iter()
        .filter(|size| !lab.quick || *size <= QUICK)
        .collect();
    let mut outcome = Outcome::default();
    for size in &sizes {
        fill(lab, *size, &mut outcome)?;
    }
    for round in 0..lab.rounds {
        for size in &sizes {
            measure(lab, *size, round, &mut outcome)?;
        }
    }
    let (first, last) = (sizes.first().copied(), sizes.last().copied());
    if let (Some(first), Some(last)) = (first, last) {
        for what in CALLS.map(|call| call.what).into_iter().chain([STEADY.0]) {
            let rounds = |size| {
                let found = outcome.series.iter().find(|series: &&Series| {
                    series.what == format!("{what}, p99") && series.who == keys(size)
                });
                found.map_or_else(Vec::new, |series| series.rounds.clone())
            };
            let ratio = ratios(&rounds(last), &rounds(first));
            let text = format!("{what}: p99 at {} over {}", keys(last), keys(first));
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
    outcome.note("Databases are filled once and kept under `target/bench/growth`.");
    if lab.quick {
        outcome.note("A quick run: the largest size was left out.");
    }
    Ok(outcome)
}

fn keys(size: u32) -> String {
    format!("{size} keys")
}

/// Fills the database of this size, unless it is there.
fn fill(lab: &Lab, size: u32, outcome: &mut Outcome) -> Result<()> {
    let folder = lab.kept.join("growth").join(size.to_string());
    let schema = fs::read_to_string(lab.root.join("migrations/checksums.txt"))?;
    let marker = folder.join(FILLED);
    if fs::read_to_string(&marker).is_ok_and(|there| there.starts_with(&schema)) {
        return told(&marker, size, outcome);
    }
    println!("  filling with {size} keys and orgs and ten times as many events");
    if folder.is_dir() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let url = lab.sqlite(&folder);
    // The server itself makes the schema and notes the pepper, before it answers anybody.
    let server = Ours::start(&lab.bins, &folder, &url, &[])?;
    let alive = server.admin()?.get("/healthz")?;
    ensure!(
        alive.status == 200,
        "the server is not well: {}",
        alive.status
    );
    drop(server);
    // First all but the events: that tells what they add.
    let before = filled(lab, &folder, &["--keys", &size.to_string()])?;
    let events = u64::from(size).saturating_mul(10);
    filled(lab, &folder, &["--events", &events.to_string()])?;
    let server = Ours::start(&lab.bins, &folder, &url, &[])?;
    wait_until_quiet(&folder)?;
    drop(server);
    let after = size_of(&folder)?;
    let each = count(after.saturating_sub(before)) / count(events);
    fs::write(&marker, format!("{schema}\n{each}"))?;
    told(&marker, size, outcome)
}

/// Adds to the database; gives its size in bytes afterwards.
fn filled(lab: &Lab, folder: &Path, what: &[&str]) -> Result<u64> {
    let status = Command::new(lab.bins.join("bench-growth"))
        .args(["--database", &lab.sqlite(folder), "--pepper", PEPPER])
        .arg("--folder")
        .arg(folder)
        .args(what)
        .status()?;
    ensure!(status.success(), "bench-growth failed");
    size_of(folder)
}

/// Waits until the server has nothing left to write: it indexes its log behind those who write it.
fn wait_until_quiet(folder: &Path) -> Result<()> {
    let log = folder.join("molecule.db-wal");
    loop {
        let written = fs::metadata(&log)?.modified()?;
        thread::sleep(QUIET);
        if fs::metadata(&log)?.modified()? == written {
            return Ok(());
        }
    }
}

/// The size on disk of an event, as it was seen at the filling.
fn told(marker: &Path, size: u32, outcome: &mut Outcome) -> Result<()> {
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

fn measure(lab: &Lab, size: u32, round: u32, outcome: &mut Outcome) -> Result<()> {
    let folder = lab.kept.join("growth").join(size.to_string());
    let server = Ours::start(&lab.bins, &folder, &lab.sqlite(&folder), &[])?;
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
        let seen: Sample = load.run(lab, lab.seconds)?;
        println!(
            "  round {}: {size} keys: {what}: p99 {:.2} ms",
            round.saturating_add(1),
            seen.p99_us / 1000.0
        );
        let who = keys(size);
        outcome.add(&format!("{what}, p99"), &who, "ms", seen.p99_us / 1000.0);
        outcome.add(&format!("{what}, p50"), &who, "ms", seen.p50_us / 1000.0);
    }
    let (what, path) = STEADY;
    let lines: Vec<(String, String)> = tokens
        .iter()
        .map(|token| (path.to_owned(), (*token).to_owned()))
        .collect();
    let list = lab.list(&lines)?;
    let seen = open_loop::run(server.process.address, &list, RATE, lab.seconds)?;
    println!(
        "  round {}: {size} keys: {what}: p99 {:.2} ms, {:.0} % of the rate kept",
        round.saturating_add(1),
        seen.p99,
        seen.kept * 100.0
    );
    let who = keys(size);
    outcome.add(&format!("{what}, p99"), &who, "ms", seen.p99);
    outcome.add(&format!("{what}, p50"), &who, "ms", seen.p50);
    if let Some(bytes) = server.process.resident() {
        let mib = count(bytes) / 1_048_576.0;
        outcome.add("resident memory after the calls", &keys(size), "MiB", mib);
    }
    Ok(())
}
