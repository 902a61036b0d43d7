//! Polling the status of an org.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::setup;
use crate::performance::{
    lab::{Lab, Side, throughput},
    open_loop,
    postgres::Postgres,
    process::{Ours, Process, Record, bare},
    report::{Outcome, Spread, ratios},
    wrk::{Load, Sample},
};

/// How many keys and orgs there are in the variant with many.
const MANY: u32 = 1000;
/// At what share of the measured maximum latency is measured by an open loop.
const SHARE: f64 = 0.5;

pub(super) fn sqlite(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("status")?;
    let server = Ours::start(&folder, &lab.sqlite(&folder), &[])?;
    let floors = [
        ("bare, recorded in a file", local(&folder, "file", false)),
        ("bare, recorded in SQLite", local(&folder, "sqlite", false)),
    ];
    measure(lab, &server, &floors, 0.60)
}

/// A record in a folder.
fn local(folder: &Path, engine: &str, ahead: bool) -> Record {
    let target = format!("{engine}:{}", folder.join(engine).display());
    Record { target, ahead }
}

pub(super) fn postgres(lab: &Lab) -> Result<Outcome> {
    let postgres = Postgres::start()?;
    let database = postgres.new_database();
    let folder = lab.folder("status")?;
    let server = Ours::start(&folder, &database, &[])?;
    let record = Record {
        target: postgres.new_database(),
        ahead: false,
    };
    let floors = [("bare, recorded in PostgreSQL", record)];
    measure(lab, &server, &floors, 0.60)
}

pub(super) fn relaxed(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("status")?;
    let settings = [("MOLECULE_CP_AUDIT", "relaxed")];
    let server = Ours::start(&folder, &lab.sqlite(&folder), &settings)
        .context("the server does not start with MOLECULE_CP_AUDIT=relaxed")?;
    let floors = [(
        "bare, recorded in SQLite later",
        local(&folder, "sqlite", true),
    )];
    measure(lab, &server, &floors, 0.85)
}

/// Measures our server against a bare one, and beside them bare ones that record each call in
/// such places: what is lost there, nobody who records calls can get back.
fn measure(lab: &Lab, server: &Ours, floors: &[(&str, Record)], least: f64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let many = setup::orgs(server, if lab.quick { 50 } else { MANY })?;
    let (path, token) = many.first().context("there is no org")?;
    let sample = server.process.client(token).get(path)?;
    ensure!(sample.status == 200, "{path}: {}", sample.status);
    let start = |record| bare(lab, &sample, record);
    let bare = start(None)?;
    let floors = floors
        .iter()
        .map(|(who, record)| Ok((*who, start(Some(record))?)))
        .collect::<Result<Vec<_>>>()?;
    let one = lab.list(many.get(..1).unwrap_or_default())?;
    let all = lab.list(&many)?;
    let mut most = 0.0_f64;
    for (whose, list) in [("one key and org", &one), ("many keys and orgs", &all)] {
        for connections in [64, 256] {
            let what = format!("{whose}, {connections} connections");
            println!("  {what}");
            let mut servers = vec![("bare", &bare), ("ours", &server.process)];
            if whose == "one key and org" {
                servers.extend(floors.iter().map(|(who, server)| (*who, server)));
            }
            let samples = in_turn(lab, list, connections, &servers)?;
            let [theirs, ours, floor_samples @ ..] = samples.as_slice() else {
                continue;
            };
            if connections == 64 && whose == "one key and org" {
                let spread = Spread::of(&throughput(ours));
                most = spread.map_or(0.0, |spread| spread.median);
            }
            setup::compare(
                &mut outcome,
                &what,
                ("bare", theirs),
                ("ours", ours),
                Some(least),
            );
            for ((who, _), samples) in floors.iter().zip(floor_samples) {
                outcome.series(&what, who, "requests/s", throughput(samples));
                for (pair, over) in [
                    (format!("{who}, over bare"), (samples, theirs)),
                    (format!("ours over {who}"), (ours, samples)),
                ] {
                    let ratio = ratios(&throughput(over.0), &throughput(over.1));
                    outcome.series(&format!("{what}, ratio"), &pair, "×", ratio);
                }
            }
        }
    }
    if !floors.is_empty() {
        outcome.note(
            "Recorded: the bare server writes 64 bytes for each call before it answers it, those of \
             all that wait in one piece, and waits for the disk once for the piece; recorded later, \
             it answers at once and writes what has come every 10 ms. No key is looked up and nothing \
             can be asked of what it wrote.",
        );
    }
    at_constant_rate(
        lab,
        &mut outcome,
        &one,
        most * SHARE,
        [&bare, &server.process],
    )?;
    Ok(outcome)
}

/// Loads the servers in turn.
fn in_turn(
    lab: &Lab,
    list: &Path,
    connections: u32,
    servers: &[(&str, &Process)],
) -> Result<Vec<Vec<Sample>>> {
    let sides: Vec<Side<'_>> = servers
        .iter()
        .map(|(who, server)| Side {
            who,
            load: Load {
                address: server.address,
                connections,
                script: "get.lua",
                args: vec![list.display().to_string()],
                refused: false,
            },
        })
        .collect();
    lab.interleave(&sides)
}

fn at_constant_rate(
    lab: &Lab,
    outcome: &mut Outcome,
    list: &Path,
    rate: f64,
    servers: [&Process; 2],
) -> Result<()> {
    let what = format!("constant rate of {rate:.0}/s");
    println!("  {what}");
    for round in 0..lab.rounds {
        for (who, server) in ["bare", "ours"].into_iter().zip(servers) {
            let latencies = open_loop::run(server.address, list, rate, lab.seconds)?;
            println!(
                "  round {}: {who}: p50 {:.2} ms, p99 {:.2} ms, {:.0} % of the rate kept",
                round.saturating_add(1),
                latencies.p50,
                latencies.p99,
                latencies.kept * 100.0
            );
            for (name, unit, value) in [
                ("p50", "ms", latencies.p50),
                ("p99", "ms", latencies.p99),
                ("rate kept", "×", latencies.kept),
            ] {
                outcome.add(&format!("{what}, {name}"), who, unit, value);
            }
        }
    }
    outcome.note(
        "The constant rate is half of the median that was reached with one key over 64 connections. \
         It is kept by 64 connections, and a call's latency counts from the moment at which it was \
         due.",
    );
    Ok(())
}
