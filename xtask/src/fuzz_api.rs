//! `cargo xtask fuzz-api`: schemathesis sends what the API's document allows and what it forbids, and
//! every answer must be one that the document describes.
//!
//! It runs once as an admin and once as a partner, side by side, each with a server of its own.
//! `fuzz_api/run.py` starts the server and says which checks are made.

use std::{
    env, fs,
    fs::File,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{test::Outcome, workspace::Workspace};

/// What is installed; another version sends other cases.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// The script that does one run.
const SCRIPT: &str = "xtask/src/fuzz_api/run.py";
/// Who calls.
const CALLERS: [&str; 2] = ["admin", "partner"];
/// How many cases fit into a run that everybody waits for.
const CASES: u32 = 5;

/// What `fuzz-api` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many cases to make up for each operation, at most; those of the coverage phase come on top.
    #[arg(long, default_value_t = CASES, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Make up other cases than those of every run.
    #[arg(long)]
    seed: Option<u32>,
    /// Empty PostgreSQL databases to use instead of SQLite: one for the admin, one for the partner.
    #[arg(long, num_args = 2, value_names = ["ADMIN_URL", "PARTNER_URL"])]
    postgres: Vec<String>,
}

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    fuzz(workspace, args, &mut outcome)?;
    Ok(outcome.print())
}

/// The short run on SQLite; each caller counts as one test.
pub(crate) fn check(workspace: &Workspace, outcome: &mut Outcome) -> Result<()> {
    let short = Args {
        cases: CASES,
        seed: None,
        postgres: Vec::new(),
    };
    fuzz(workspace, &short, outcome)
}

fn fuzz(workspace: &Workspace, args: &Args, outcome: &mut Outcome) -> Result<()> {
    let Some(python) = python(workspace)? else {
        outcome.skip("the API under schemathesis: it needs python3 with venv and pip".to_owned());
        return Ok(());
    };
    let program = workspace.server()?;
    let start = Instant::now();
    let mut runs = Vec::new();
    for (n, caller) in CALLERS.into_iter().enumerate() {
        let folder = TempDir::new()?;
        let report = folder.path().join("report.txt");
        let output = File::create(&report)?;
        let child = Command::new(&python)
            .arg(workspace.root().join(SCRIPT))
            .arg(&program)
            .args([caller, &args.cases.to_string()])
            .arg(args.seed.map_or("same".to_owned(), |seed| seed.to_string()))
            .arg(folder.path())
            .args(args.postgres.get(n))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("the environment's python could not be run")?;
        runs.push((caller, child, report, folder));
    }
    for (caller, mut child, report, _folder) in runs {
        let passed = child.wait()?.success();
        println!();
        print!(
            "{}",
            String::from_utf8_lossy(&fs::read(report)?).into_owned()
        );
        let result = if passed { "ok" } else { "FAILED" };
        println!("schemathesis as {caller} ... {result}");
        outcome.count(passed);
    }
    println!("schemathesis took {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The Python of an environment that has schemathesis, made at the first call; `None` without Python.
fn python(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let folder = target(workspace).join("schemathesis");
    let python = folder.join("bin/python");
    let done = folder.join("installed");
    if fs::read_to_string(&done).is_ok_and(|there| there == SCHEMATHESIS) {
        return Ok(Some(python));
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    if !succeeds(&mut make) {
        return Ok(None);
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", SCHEMATHESIS]);
    // With Python there, a package that does not come is a fault, not a machine without it.
    ensure!(
        succeeds(&mut install),
        "{SCHEMATHESIS} could not be installed"
    );
    fs::write(done, SCHEMATHESIS)?;
    Ok(Some(python))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn target(workspace: &Workspace) -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace.root().join(folder),
        None => workspace.root().join("target"),
    }
}
