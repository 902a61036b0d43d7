//! `cargo xtask release-check`: whether the crates that others may take can be published.
//!
//! cargo packages each of them, builds it from its package, and stops before the upload. What the registry
//! already has is compared with what is here: a break of the API asks for a new version.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use tempfile::TempDir;

use crate::{test::Outcome, workspace::Workspace};

/// The tool that compares two versions of an API, a subcommand of cargo.
const TOOL: &str = "semver-checks";

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    let folder = TempDir::new()?;
    let passed = dry_run(workspace, folder.path()).status()?.success();
    count(
        &mut outcome,
        "packages build, in the order of the upload",
        passed,
    );
    let crates = published_crates(workspace.root())?;
    let mut released = Vec::new();
    for name in crates {
        if is_released(workspace, &name)? {
            released.push(name);
        } else {
            outcome.warn(format!(
                "the API of {name}: the registry has no version to compare it with"
            ));
        }
    }
    if !released.is_empty() {
        check_apis(workspace, &released, &mut outcome)?;
    }
    Ok(outcome.print())
}

/// All crates that may be published, each after those that it needs; nothing is uploaded.
///
/// cargo takes a package of this version for the one that it unpacked and built here before, whatever has changed
/// since. So everything is built in a new folder.
fn dry_run(workspace: &Workspace, folder: &Path) -> Command {
    let mut command = workspace.cargo();
    command.args(["publish", "--workspace", "--dry-run", "--locked"]);
    command.arg("--target-dir").arg(folder);
    command
}

/// The names of the crates that may be published.
fn published_crates(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .exec()
        .context("cargo does not describe the workspace")?;
    let packages = metadata.packages.into_iter();
    // An empty list stands for `publish = false`.
    Ok(packages
        .filter(|package| package.publish.is_none())
        .map(|package| package.name.to_string())
        .collect())
}

/// Whether the registry has a version of the crate.
fn is_released(workspace: &Workspace, name: &str) -> Result<bool> {
    let output = workspace
        .cargo()
        .args(["info", "--quiet", "--registry", "crates-io", name])
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    match is_known(output.status.success(), &errors) {
        Some(known) => Ok(known),
        None => bail!(
            "the registry could not be asked for {name}: {}",
            errors.trim()
        ),
    }
}

/// What cargo says of a crate; `None` when it could not find out.
fn is_known(succeeded: bool, errors: &str) -> Option<bool> {
    if succeeded {
        Some(true)
    } else {
        errors.contains("could not find").then_some(false)
    }
}

fn check_apis(workspace: &Workspace, released: &[String], outcome: &mut Outcome) -> Result<()> {
    let installed = workspace.cargo().args([TOOL, "--version"]).output()?;
    if !installed.status.success() {
        outcome.skip(format!(
            "the APIs of {}: `cargo install --locked cargo-{TOOL}`",
            released.join(", ")
        ));
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.args([TOOL, "check-release"]);
    for name in released {
        command.args(["--package", name]);
    }
    let passed = command.status()?.success();
    count(outcome, "versions say what changed in the APIs", passed);
    Ok(())
}

fn count(outcome: &mut Outcome, name: &str, passed: bool) {
    println!("{name} ... {}", if passed { "ok" } else { "FAILED" });
    outcome.count(passed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_not_published() {
        let crates = published_crates(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(crates.iter().all(|name| name.starts_with("molecule-")));
        assert!(crates.iter().any(|name| name == "molecule-keys"));
        assert!(!crates.iter().any(|name| name == "molecule-cp"));
    }

    #[test]
    fn a_registry_that_fails_is_not_one_without_the_crate() {
        let unknown = "error: could not find `molecule-keys` in registry `an index`";
        assert_eq!(is_known(true, ""), Some(true));
        assert_eq!(is_known(false, unknown), Some(false));
        assert_eq!(
            is_known(false, "error: failed to get a 200 OK response"),
            None
        );
    }
}
