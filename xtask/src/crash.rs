//! `cargo xtask crash`: servers are killed under load, their disk is filled, their database restarted,
//! and what they answered is compared with what is there.
//!
//! `xtask/acceptance` does it; this builds it and the server, and runs it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{test::Outcome, workspace::Workspace};

/// The package of the program.
const PACKAGE: &str = "xtask-acceptance";
/// The exit code that says that something could not be tried here.
const NOT_TRIED: i32 = 77;

/// What everybody waits for, side by side: each with its arguments.
const SHORT: &[(&str, &[&str])] = &[
    ("kills on SQLite", &["--rounds", "4"]),
    (
        "kills on PostgreSQL",
        &["--engine", "postgres", "--rounds", "3"],
    ),
    ("power failures", &["--power", "--rounds", "2"]),
    ("a full disk", &["--disk-full"]),
    (
        "PostgreSQL restarted",
        &["--postgres-restart", "--rounds", "2"],
    ),
];

/// What `crash` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many kills, or restarts of PostgreSQL.
    #[arg(long, default_value_t = 50)]
    rounds: u64,
    /// The engine of the database: sqlite or postgres.
    #[arg(long, default_value = "sqlite")]
    engine: String,
    /// Another load and other moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Have the power fail under SQLite at each kill, so that the disk has nothing for certain that was
    /// not synced.
    #[arg(long, conflicts_with_all = ["disk_full", "postgres_restart"])]
    power: bool,
    /// Fill the disk of an SQLite file under load instead, and make space again.
    #[arg(long)]
    disk_full: bool,
    /// Restart PostgreSQL under load instead.
    #[arg(long, conflicts_with = "disk_full")]
    postgres_restart: bool,
    /// Use the debug build of the server.
    #[arg(long)]
    debug: bool,
    /// Do what `cargo xtask test` does of this, and nothing else.
    #[arg(long, exclusive = true)]
    short: bool,
}

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    if args.short {
        check(workspace, &mut outcome)?;
        return Ok(outcome.print());
    }
    let profile = if args.debug { "dev" } else { "release" };
    let program = workspace.program("molecule-cp", profile)?;
    let mut command = Command::new(workspace.program(PACKAGE, "dev")?);
    command.arg("crash").arg("--program").arg(program);
    command.args(["--rounds", &args.rounds.to_string()]);
    command.args(["--seed", &args.seed.to_string()]);
    command.args(["--engine", &args.engine]);
    if args.power {
        command.arg("--power");
    }
    if args.disk_full {
        command.arg("--disk-full");
    }
    if args.postgres_restart {
        command.arg("--postgres-restart");
    }
    let code = command.status()?.code();
    count(&mut outcome, "what was asked for", code);
    Ok(outcome.print())
}

/// The short run; each part counts as one test.
pub(crate) fn check(workspace: &Workspace, outcome: &mut Outcome) -> Result<()> {
    let server = workspace.server()?;
    let program = workspace.program(PACKAGE, "dev")?;
    let start = Instant::now();
    let folder = TempDir::new()?;
    let mut parts = Vec::new();
    for (n, (name, args)) in SHORT.iter().enumerate() {
        let report = folder.path().join(format!("{n}.txt"));
        let child = begin(&program, &server, args, &report)?;
        parts.push((*name, child, report));
    }
    println!();
    for (name, mut child, report) in parts {
        let code = child.wait()?.code();
        print!("{}", String::from_utf8_lossy(&fs::read(report)?));
        let result = match code {
            Some(0) => "ok",
            Some(NOT_TRIED) => "NOT TESTED",
            Some(_) | None => "FAILED",
        };
        println!("crash tests: {name} ... {result}");
        count(outcome, name, code);
    }
    println!("crash tests took {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn begin(program: &Path, server: &Path, args: &[&str], report: &Path) -> Result<Child> {
    let output = File::create(report)?;
    Command::new(program)
        .args(["crash", "--program"])
        .arg(server)
        .args(args)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("the crash tests could not be run")
}

fn count(outcome: &mut Outcome, name: &str, code: Option<i32>) {
    if code == Some(NOT_TRIED) {
        outcome.skip(format!(
            "crash tests, {name}: it needs PostgreSQL, strace, or root for a small disk"
        ));
    } else {
        outcome.count(code == Some(0));
    }
}
