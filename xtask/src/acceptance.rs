//! The programs of `xtask/acceptance` that everybody's tests run too.
//!
//! `cargo xtask crash` kills servers under load, fills their disk, restarts their database, and compares
//! what they answered with what is there. `cargo xtask fuzz-api` sends schemathesis against them.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{test::Outcome, workspace::Workspace};

/// The package of the programs.
const PACKAGE: &str = "xtask-acceptance";
/// The exit code that says that something could not be tried here.
const NOT_TRIED: i32 = 77;

/// The crash tests that everybody waits for, side by side: each with its arguments and what it needs.
const CRASHES: &[(&str, &[&str], &str)] = &[
    ("kills on SQLite", &["--rounds", "4"], "nothing"),
    (
        "kills on PostgreSQL",
        &["--engine", "postgres", "--rounds", "3"],
        "PostgreSQL",
    ),
    ("power failures", &["--power", "--rounds", "2"], "strace"),
    ("a full disk", &["--disk-full"], "root"),
    (
        "PostgreSQL restarted",
        &["--postgres-restart", "--rounds", "2"],
        "PostgreSQL",
    ),
];

/// Arguments for `crash` or `fuzz-api`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// `--release` or `--debug` for the build of the server, `--short` for what `cargo xtask test` does of
    /// `crash`, and arguments for the program; `cargo xtask acceptance crash --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Args {
    fn has(&self, flag: &str) -> bool {
        self.args.iter().any(|arg| arg == flag)
    }
}

/// Runs `cargo xtask crash`, by a release build of the server unless told `--debug`.
pub(crate) fn crash(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.has("--short") {
        let mut outcome = Outcome::default();
        check_crashes(workspace, &mut outcome)?;
        return Ok(outcome.print());
    }
    run(workspace, "crash", args, !args.has("--debug"))
}

/// Runs `cargo xtask fuzz-api`, by a debug build of the server unless told `--release`.
pub(crate) fn fuzz_api(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    run(workspace, "fuzz-api", args, args.has("--release"))
}

fn run(workspace: &Workspace, verb: &str, args: &Args, release: bool) -> Result<ExitCode> {
    let server = if release {
        workspace.release_program("molecule-cp")?
    } else {
        workspace.server()?
    };
    let mut command = program(&workspace.program(PACKAGE)?, verb, &server);
    let rest = args.args.iter();
    command.args(rest.filter(|arg| *arg != "--debug" && *arg != "--release"));
    let mut outcome = Outcome::default();
    count(
        &mut outcome,
        verb,
        command.status()?.code(),
        "more than there is here",
    );
    Ok(outcome.print())
}

/// The short crash tests; each part counts as one test.
pub(crate) fn check_crashes(workspace: &Workspace, outcome: &mut Outcome) -> Result<()> {
    let server = workspace.server()?;
    let acceptance = workspace.program(PACKAGE)?;
    let start = Instant::now();
    let folder = TempDir::new()?;
    let mut parts = Vec::new();
    for (n, (name, args, needs)) in CRASHES.iter().enumerate() {
        let report = folder.path().join(format!("{n}.txt"));
        let mut command = program(&acceptance, "crash", &server);
        command.args(*args);
        parts.push((*name, *needs, spawn(command, &report)?, report));
    }
    println!();
    for (name, needs, mut child, report) in parts {
        let code = child.wait()?.code();
        print!("{}", String::from_utf8_lossy(&fs::read(report)?));
        count(outcome, &format!("crash tests, {name}"), code, needs);
    }
    println!("crash tests took {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// A few cases for each operation on SQLite; all of it counts as one test.
pub(crate) fn check_api(workspace: &Workspace, outcome: &mut Outcome) -> Result<()> {
    let server = workspace.server()?;
    let mut command = program(&workspace.program(PACKAGE)?, "fuzz-api", &server);
    let code = command.status()?.code();
    count(outcome, "fuzz-api", code, "python3 with venv and pip");
    Ok(())
}

fn program(acceptance: &Path, verb: &str, server: &Path) -> Command {
    let mut command = Command::new(acceptance);
    command.args([verb, "--program"]).arg(server);
    command.stdin(Stdio::null());
    command
}

fn spawn(mut command: Command, report: &Path) -> Result<Child> {
    let output = File::create(report)?;
    command
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("{PACKAGE} could not be run"))
}

fn count(outcome: &mut Outcome, name: &str, code: Option<i32>, needs: &str) {
    let result = match code {
        Some(0) => "ok",
        Some(NOT_TRIED) => "NOT TESTED",
        Some(_) | None => "FAILED",
    };
    println!("{name} ... {result}");
    if code == Some(NOT_TRIED) {
        outcome.skip(format!("{name}: it needs {needs}"));
    } else {
        outcome.count(code == Some(0));
    }
}
