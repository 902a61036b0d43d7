//! `cargo xtask deps`: what holds of dependencies, by tools that others keep.
//!
//! `deny.toml` says which layer may know which, which licences and registries are fine. Both tools name
//! the crate and the line.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::{test::Outcome, workspace::Workspace};

/// What is checked: its name, the subcommand of cargo that does it, and its arguments.
const CHECKS: [(&str, &str, &str); 3] = [
    (
        "layers",
        "deny",
        "--exclude-dev check -A unused-wrapper -A unused-workspace-dependency bans",
    ),
    // Tests may know every layer, and versions that they alone use are used.
    (
        "licences, sources and unused versions",
        "deny",
        "check -A banned -A unmatched-wrapper -A unused-wrapper bans licenses sources",
    ),
    ("unused dependencies", "machete", "--skip-target-dir"),
];

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    check(workspace, &mut outcome)?;
    Ok(outcome.print())
}

/// Runs every check, and counts each as one test.
pub(crate) fn check(workspace: &Workspace, outcome: &mut Outcome) -> Result<()> {
    for (name, tool, args) in CHECKS {
        if is_installed(workspace, tool) {
            count(workspace, outcome, name, tool, args)?;
        } else {
            outcome.skip(format!("{name}: install cargo-{tool}, as .ci/run does"));
        }
    }
    if !is_installed(workspace, "deny") {
        return Ok(());
    }
    // An outage of the advisories' host says nothing about the change, so it fails nobody.
    if succeeds(cargo(workspace, "deny").args(["fetch", "db"])) {
        count(workspace, outcome, "advisories", "deny", "check advisories")?;
    } else {
        outcome.warn("advisories: their database could not be fetched".to_owned());
    }
    Ok(())
}

fn count(
    workspace: &Workspace,
    outcome: &mut Outcome,
    name: &str,
    tool: &str,
    args: &str,
) -> Result<()> {
    let passed = cargo(workspace, tool)
        .args(args.split(' '))
        .status()?
        .success();
    let result = if passed { "ok" } else { "FAILED" };
    println!("{name}, by cargo-{tool} ... {result}");
    outcome.count(passed);
    Ok(())
}

/// A subcommand of cargo.
fn cargo(workspace: &Workspace, tool: &str) -> Command {
    let mut command = workspace.cargo();
    // By this cargo-machete takes itself for a program under `cargo run`, and reads its arguments so.
    command.arg(tool).env_remove("CARGO_PKG_NAME");
    command
}

fn is_installed(workspace: &Workspace, tool: &str) -> bool {
    succeeds(cargo(workspace, tool).arg("--version"))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
