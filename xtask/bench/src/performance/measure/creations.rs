//! Durable creations: of orgs on both engines, and of keys.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use testkit::server::ADMIN_KEY;

use super::setup::{self, NEW_KEY, NEW_ORG};
use crate::performance::{
    lab::{Lab, Side, throughput},
    postgres::Postgres,
    process::Ours,
    report::{Bound, Outcome, ratios},
    wrk::{Load, Sample},
};

const CONNECTIONS: u32 = 64;
/// How many partners create orgs.
const PARTNERS: u32 = 50;
/// The setting under which no two changes share a commit.
const ALONE: [(&str, &str); 1] = [("MOLECULE_CP_SQLITE_BATCH", "1")];
/// A table of rows of an org's size, under two unique indexes as orgs are.
const TABLE: &str = "create table bench_rows (id text primary key, partner_id text not null, \
    key_id text not null, name text not null, slug text not null unique, plan text not null, \
    status text not null, labels text not null, created_at bigint not null, \
    updated_at bigint not null, due_at bigint, attempts bigint not null)";
/// One row in a transaction of its own.
const INSERT: &str = "insert into bench_rows values (gen_random_uuid()::text, \
    'ptr_01JSWJ6V8K2M4N6P8Q0R2S4T6V', 'key_01JSWJ6V8K2M4N6P8Q0R2S4T6V', 'Org of a benchmark', \
    gen_random_uuid()::text, 'standard', 'provisioning', '{}', 1776931200000000, \
    1776931200000000, 1776931200000000, 0);\n";

pub(super) fn orgs_sqlite(lab: &Lab) -> Result<Outcome> {
    on_sqlite(lab, "orgs", 8000.0, Some(3.0), |server| {
        Ok((partners(server)?, NEW_ORG))
    })
}

pub(super) fn keys(lab: &Lab) -> Result<Outcome> {
    on_sqlite(lab, "keys", 5000.0, None, |_| {
        let line = ("/cp/admin/partner-keys".to_owned(), ADMIN_KEY.to_owned());
        Ok((vec![line], NEW_KEY))
    })
}

pub(super) fn orgs_postgres(lab: &Lab) -> Result<Outcome> {
    let postgres = Postgres::start()?;
    let pgbench = postgres
        .pgbench()
        .context("pgbench is not installed (Debian: postgresql-contrib)")?;
    let folder = lab.folder("creations")?;
    let database = postgres.new_database();
    let server = Ours::start(&folder, &database, &[])?;
    let load = posts(lab, &server, &partners(&server)?, NEW_ORG)?;
    let rows = postgres.new_database();
    postgres.sql(&rows, TABLE);
    let script = folder.join("insert.sql");
    std::fs::write(&script, INSERT)?;
    let insert = |seconds: u32| -> Result<f64> {
        let output = Command::new(&pgbench)
            .args(["--no-vacuum", "--jobs=2", "--protocol=prepared"])
            .args([
                format!("--client={CONNECTIONS}"),
                format!("--time={seconds}"),
            ])
            .arg(format!("--file={}", script.display()))
            .arg(&rows)
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "pgbench: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        transactions(&text).with_context(|| format!("pgbench says no rate: {text}"))
    };
    load.run(lab, 1)?;
    insert(1)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..lab.rounds {
        theirs.push(insert(lab.seconds)?);
        ours.push(load.run(lab, lab.seconds)?);
        println!(
            "  round {}: pgbench {:.0}/s, ours {:.0}/s",
            round.saturating_add(1),
            theirs.last().copied().unwrap_or_default(),
            ours.last().map_or(0.0, Sample::per_second)
        );
    }
    let mut outcome = Outcome::default();
    let ratio = ratios(&throughput(&ours), &theirs);
    outcome.series("orgs created", "pgbench, one row", "per second", theirs);
    outcome.series("orgs created", "ours", "per second", throughput(&ours));
    outcome.series(
        "orgs created, p99",
        "ours",
        "ms",
        crate::performance::lab::p99(&ours),
    );
    outcome.goal(
        "orgs created over rows inserted by pgbench",
        Bound::AtLeast(0.5),
        "×",
        ratio,
    );
    outcome.note(
        "A creation is more than a row: it claims a slug, writes the org, its steps and its \
         subscription and the audit event, and looks at its key and partner again, all in one \
         transaction; and the reconciler then makes the org on the same server.",
    );
    Ok(outcome)
}

/// `tps = 1234.5 (without initial connection time)`.
fn transactions(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

/// One server as it is and one with batches of one, under the same load.
fn on_sqlite(
    lab: &Lab,
    what: &str,
    least: f64,
    over_alone: Option<f64>,
    prepare: impl Fn(&Ours) -> Result<(Vec<(String, String)>, &'static str)>,
) -> Result<Outcome> {
    let start = |settings: &[(&str, &str)]| -> Result<(Ours, Load)> {
        let folder = lab.folder("creations")?;
        let server = Ours::start(&folder, &lab.sqlite(&folder), settings)?;
        let (lines, body) = prepare(&server)?;
        let load = posts(lab, &server, &lines, body)?;
        Ok((server, load))
    };
    let (_alone, one) = start(&ALONE)?;
    let (_together, many) = start(&[])?;
    let sides = [
        Side {
            who: "batches of one",
            load: one,
        },
        Side {
            who: "ours",
            load: many,
        },
    ];
    let samples = lab.interleave(&sides)?;
    let mut outcome = Outcome::default();
    if let [alone, ours] = samples.as_slice() {
        let created = format!("{what} created");
        setup::compare(
            &mut outcome,
            &created,
            ("batches of one", alone),
            ("ours", ours),
            over_alone,
        );
        outcome.goal(
            &format!("{created} in a second"),
            Bound::AtLeast(least),
            "per second",
            throughput(ours),
        );
    }
    Ok(outcome)
}

fn partners(server: &Ours) -> Result<Vec<(String, String)>> {
    let admin = server.admin();
    (0..PARTNERS)
        .map(|_| Ok(("/cp/orgs".to_owned(), setup::key(&admin)?)))
        .collect()
}

/// Posts over all lines in turn.
pub(super) fn posts(
    lab: &Lab,
    server: &Ours,
    lines: &[(String, String)],
    body: &str,
) -> Result<Load> {
    Ok(Load {
        address: server.process.address,
        connections: CONNECTIONS,
        script: "post.lua",
        args: vec![lab.list(lines)?.display().to_string(), body.to_owned()],
        refused: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_pgbench_says() {
        let text = "latency average = 1 ms\ntps = 1234.5 (without initial connection time)\n";
        assert_eq!(transactions(text), Some(1234.5));
        assert_eq!(transactions("nothing"), None);
    }
}
