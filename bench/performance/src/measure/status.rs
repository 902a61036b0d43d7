//! Polling the status of an org.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::setup;
use crate::{
    client::Client,
    lab::{Lab, Side},
    open_loop,
    postgres::Postgres,
    process::{Ours, Process, bare},
    report::{Outcome, Spread},
    wrk::{Load, Sample},
};

/// How many keys and orgs there are in the variant with many.
const MANY: u32 = 1000;
/// At what share of the measured maximum latency is measured by an open loop.
const SHARE: f64 = 0.5;

pub(super) fn sqlite(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("status")?;
    let server = Ours::start(&lab.bins, &folder, &lab.sqlite(&folder), &[])?;
    measure(lab, &server, 0.60)
}

pub(super) fn postgres(lab: &Lab) -> Result<Outcome> {
    let mut postgres = Postgres::start()?;
    let database = postgres.new_database()?;
    let folder = lab.folder("status")?;
    let server = Ours::start(&lab.bins, &folder, &database, &[])?;
    measure(lab, &server, 0.60)
}

pub(super) fn relaxed(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("status")?;
    let settings = [("MOLECULE_CP_AUDIT", "relaxed")];
    let server = Ours::start(&lab.bins, &folder, &lab.sqlite(&folder), &settings)
        .context("the server does not start with MOLECULE_CP_AUDIT=relaxed")?;
    measure(lab, &server, 0.85)
}

fn measure(lab: &Lab, server: &Ours, least: f64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let many = setup::orgs(server, if lab.quick { 50 } else { MANY })?;
    let (path, token) = many.first().context("there is no org")?;
    let like = Client::connect(server.process.address, token)?.get(path)?;
    ensure!(like.status == 200, "{path}: {}", like.status);
    let bare = bare(&lab.bins, &lab.folder("bare")?, &like)?;
    let one = lab.list(many.get(..1).unwrap_or_default())?;
    let all = lab.list(&many)?;
    let mut most = 0.0_f64;
    for (whose, list) in [("one key and org", &one), ("many keys and orgs", &all)] {
        for connections in [64, 256] {
            let what = format!("{whose}, {connections} connections");
            println!("  {what}");
            let [theirs, ours] = both(lab, list, connections, [&bare, &server.process])?;
            if connections == 64 && whose == "one key and org" {
                let seen = Spread::of(&crate::lab::throughput(&ours));
                most = seen.map_or(0.0, |spread| spread.median);
            }
            setup::compare(
                &mut outcome,
                &what,
                ("bare", &theirs),
                ("ours", &ours),
                Some(least),
            );
        }
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

fn both(
    lab: &Lab,
    list: &Path,
    connections: u32,
    servers: [&Process; 2],
) -> Result<[Vec<Sample>; 2]> {
    let sides = ["bare", "ours"];
    let sides: Vec<Side<'_>> = sides
        .into_iter()
        .zip(servers)
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
    lab.interleave(&sides)?
        .try_into()
        .ok()
        .context("two sides give two samples")
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
            let seen = open_loop::run(server.address, list, rate, lab.seconds)?;
            println!(
                "  round {}: {who}: p50 {:.2} ms, p99 {:.2} ms, {:.0} % of the rate kept",
                round.saturating_add(1),
                seen.p50,
                seen.p99,
                seen.kept * 100.0
            );
            for (name, unit, value) in [
                ("p50", "ms", seen.p50),
                ("p99", "ms", seen.p99),
                ("rate kept", "×", seen.kept),
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
