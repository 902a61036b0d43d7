//! Measures the server against named baselines and writes the page of benchmarks.
//!
//! Each measurement is a file in `measure/`, and leaves its raw figures in `target/bench/<name>.json`; the page is made of those files alone.

pub(crate) mod lab;
mod machine;
mod measure;
mod open_loop;
mod page;
mod postgres;
mod process;
pub(crate) mod report;
pub(crate) mod wrk;

use std::{cell::Cell, env, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::{
    lab::Lab,
    machine::{Machine, commit},
    measure::{ALL, Measure},
    report::{Outcome, Report},
};

/// How many seconds of each side in each round, when nothing else is said.
const SECONDS: u32 = 10;

/// What is measured for docs/benchmarks.md, and for how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many seconds of each side in each round.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// How many rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Two seconds unless told, fewer keys and orgs, and no database of a million keys.
    #[arg(long)]
    quick: bool,
    /// Only make the page again, of the results that are there.
    #[arg(long)]
    page: bool,
    /// The root of the workspace.
    #[arg(long, hide = true, default_value = ".")]
    root: PathBuf,
}

/// Measures and writes docs/benchmarks.md.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = fs::canonicalize(&args.root)?;
    let own = env::current_exe()?;
    let target = own.ancestors().nth(2);
    let kept = target
        .context("programs are in target/release")?
        .join("bench");
    fs::create_dir_all(&kept)?;
    for name in &args.only {
        let known = ALL.iter().any(|measure| measure.name == name);
        let names: Vec<_> = ALL.iter().map(|measure| measure.name).collect();
        ensure!(known, "{name}: there are {}", names.join(", "));
    }
    let commit = commit();
    if !args.page {
        let scratch = tempfile::Builder::new().prefix("run-").tempdir_in(&kept)?;
        let default = if args.quick { 2 } else { SECONDS };
        let lab = Lab {
            root: root.clone(),
            own,
            kept: kept.clone(),
            scratch: scratch.path().to_owned(),
            rounds: args.rounds,
            seconds: args.seconds.unwrap_or(default),
            quick: args.quick,
            born: OffsetDateTime::now_utc().unix_timestamp(),
            named: Cell::new(0),
        };
        for measure in ALL {
            if args.only.is_empty() || args.only.iter().any(|name| name == measure.name) {
                one(&lab, measure, &commit)?;
            }
        }
    }
    page::write(&root, &kept, &commit)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes one measurement and saves it; what goes wrong in it is its outcome.
fn one(lab: &Lab, measure: &Measure, commit: &str) -> Result<()> {
    println!("{}", measure.name);
    let ready = if measure.wrk { wrk::is_there() } else { Ok(()) };
    let outcome = ready
        .and_then(|()| (measure.run)(lab))
        .unwrap_or_else(|error| {
            let mut outcome = Outcome::default();
            outcome.miss(format!("{error:#}"));
            outcome
        });
    for goal in &outcome.goals {
        println!("  {}", page::verdict(goal));
    }
    let quick = if lab.quick { " --quick" } else { "" };
    let report = Report {
        name: measure.name.to_owned(),
        about: measure.about.to_owned(),
        commit: commit.to_owned(),
        date: OffsetDateTime::now_utc()
            .replace_nanosecond(0)?
            .format(&Rfc3339)?,
        command: format!(
            "cargo xtask bench --only {} --seconds {} --rounds {}{quick}",
            measure.name, lab.seconds, lab.rounds
        ),
        machine: Machine::here(),
        rounds: lab.rounds,
        seconds: lab.seconds,
        outcome,
    };
    report.save(&lab.kept)
}
