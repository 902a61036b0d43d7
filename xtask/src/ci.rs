//! `cargo xtask ci`: everything that must hold before a change lands, in the order of its cost.

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    acceptance, deps,
    test::{self, Outcome},
    tidy,
    workspace::Workspace,
};

/// Runs the verb; it stops at the first step that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let start = Instant::now();
    for (name, mut command) in commands(workspace) {
        let step = Instant::now();
        let status = command
            .status()
            .with_context(|| format!("{name} could not be run"))?;
        report(name, step.elapsed(), status.success());
        if !status.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    let step = Instant::now();
    let problems = tidy::check(workspace, false)?;
    tidy::print(&problems);
    report("tidy", step.elapsed(), problems.is_empty());
    if !problems.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let step = Instant::now();
    let mut outcome = Outcome::default();
    deps::check(workspace, &mut outcome)?;
    report("deps", step.elapsed(), !outcome.has_failed());
    if outcome.has_failed() {
        return Ok(outcome.print());
    }
    let step = Instant::now();
    test::all(workspace, &[], &mut outcome)?;
    println!();
    println!("ci: the tests took {}", text(step.elapsed()));
    let step = Instant::now();
    acceptance::check_api(workspace, &mut outcome)?;
    println!("ci: fuzz-api took {}", text(step.elapsed()));
    println!("ci: all of it took {}", text(start.elapsed()));
    // The tests' sum is the last line.
    Ok(outcome.print())
}

fn commands(workspace: &Workspace) -> [(&'static str, Command); 3] {
    let cargo = |args: &[&str]| {
        let mut command = workspace.cargo();
        command.args(args);
        command
    };
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets"]);
    clippy.args(["--", "-D", "warnings"]);
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    [
        ("fmt", cargo(&["fmt", "--all", "--check"])),
        ("clippy", clippy),
        ("doc", doc),
    ]
}

fn report(name: &str, took: Duration, passed: bool) {
    let result = if passed { "passed" } else { "FAILED" };
    println!("ci: {name} {result} in {}", text(took));
}

fn text(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
