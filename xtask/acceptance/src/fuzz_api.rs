//! Schemathesis sends what the API's document allows and what it forbids, and every answer must be one
//! that the document describes.
//!
//! It runs once as an admin and once as a partner, side by side, each with a server of its own.
//! `fuzz_api/run.py` starts the server and says which checks are made, `fuzz_api/things.py` what there is
//! on the server, and `fuzz_api/hooks.py` what schemathesis can't know by itself.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use testkit::{python, server};

/// What is installed; another version sends other cases.
const PACKAGES: &[&str] = &[
    "schemathesis==4.32.5",
    "openapi-spec-validator==0.9.0",
    "openapi-python-client==0.29.1",
];
/// The script that does one run.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fuzz_api/run.py");
/// The script that makes a client.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fuzz_api/clients.py");
/// Who calls.
const CALLERS: [&str; 2] = ["admin", "partner"];
/// How many cases fit into a run that everybody waits for.
const CASES: u32 = 5;
/// What schemathesis does.
const PHASES: &str = "examples,coverage,fuzzing,stateful";
/// The same without the phases whose cases are nearly the same every time.
const OTHER_CASES: &str = "fuzzing,stateful";
/// How the line begins that says how many cases were answered.
const ANSWERS: &str = "answers: ";

/// What `fuzz-api` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many cases to make up for each operation, at most; those of the coverage phase come on top.
    #[arg(long, default_value_t = CASES, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Make up other cases than those of every run.
    #[arg(long)]
    seed: Option<u32>,
    /// Run so many times, each with the next seed; from the second time on without the phases whose
    /// cases are nearly the same every time.
    #[arg(long, default_value_t = 1, requires = "seed", conflicts_with = "postgres",
        value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The server's program; the one that was built beside this one, unless named.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Empty PostgreSQL databases to use instead of SQLite: one for the admin, one for the partner.
    #[arg(long, num_args = 2, value_names = ["ADMIN_URL", "PARTNER_URL"])]
    postgres: Vec<String>,
}

/// Whether all answers were as described; `None` without Python.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    let Some(python) = python::try_environment("schemathesis", PACKAGES)? else {
        return Ok(None);
    };
    let program = match &args.program {
        Some(program) => program.clone(),
        None => server::program()?,
    };
    let mut holds = makes_client(&python, &program)?;
    let start = Instant::now();
    let mut answers = 0;
    for run in 0..args.runs {
        let seed = args.seed.map(|first| first.saturating_add(run));
        let phases = if run == 0 { PHASES } else { OTHER_CASES };
        let mut callers = Vec::new();
        for (n, caller) in CALLERS.into_iter().enumerate() {
            let asked = Asked {
                caller,
                cases: args.cases,
                seed,
                phases,
                database: args.postgres.get(n),
            };
            callers.push((caller, Running::start(&python, &program, &asked)?));
        }
        for (caller, running) in callers {
            let (passed, report) = running.finish()?;
            answers += answered(&report);
            let result = if passed { "ok" } else { "FAILED" };
            let seed = seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
            println!("\n{report}schemathesis as {caller}{seed} ... {result}");
            holds &= passed;
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!("schemathesis took {took:.1} s; {answers} cases were answered");
    Ok(Some(holds))
}

/// Whether a generator makes a client of the document that can be imported.
fn makes_client(python: &Path, program: &Path) -> Result<bool> {
    let folder = TempDir::new()?;
    let status = Command::new(python)
        .arg(CLIENTS)
        .arg(program)
        .arg(folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .status()
        .context("the environment's python could not be run")?;
    Ok(status.success())
}

/// One run of schemathesis.
struct Asked<'a> {
    caller: &'a str,
    cases: u32,
    seed: Option<u32>,
    phases: &'a str,
    database: Option<&'a String>,
}

/// A run that was started, and the folder that it works in.
struct Running {
    child: Child,
    folder: TempDir,
}

/// Where a run prints to, within its folder.
const REPORT: &str = "report.txt";

impl Running {
    fn start(python: &Path, program: &Path, asked: &Asked) -> Result<Self> {
        let folder = TempDir::new()?;
        let output = File::create(folder.path().join(REPORT))?;
        let child = Command::new(python)
            .arg(SCRIPT)
            .arg(program)
            .args([asked.caller, &asked.cases.to_string()])
            .arg(
                asked
                    .seed
                    .map_or_else(|| "same".to_owned(), |seed| seed.to_string()),
            )
            .arg(asked.phases)
            .arg(folder.path())
            .args(asked.database)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("the environment's python could not be run")?;
        Ok(Self { child, folder })
    }

    /// Waits for its end, and tells whether nothing was found, and what it printed.
    fn finish(mut self) -> Result<(bool, String)> {
        let passed = self.child.wait()?.success();
        let report = fs::read(self.folder.path().join(REPORT))?;
        Ok((passed, String::from_utf8_lossy(&report).into_owned()))
    }
}

/// How many cases were answered, as the report says.
fn answered(report: &str) -> u64 {
    let count = |line: &str| line.strip_prefix(ANSWERS)?.parse::<u64>().ok();
    report.lines().filter_map(count).sum()
}
