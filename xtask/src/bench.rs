//! `cargo xtask bench`: builds what is measured and what measures, and runs `bench/performance`.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// What is built, all of it in release.
const PACKAGES: [&str; 5] = [
    "molecule-cp",
    "bench-bare",
    "bench-growth",
    "bench-in-process",
    "bench-performance",
];

/// Runs the verb; the arguments are for `bench/performance`.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    let packages = PACKAGES.iter().flat_map(|name| ["--package", name]);
    let built = workspace
        .cargo()
        .args(["build", "--release"])
        .args(packages)
        .status()
        .context("cargo could not be run")?;
    ensure!(built.success(), "what is measured does not build");
    let ran = workspace
        .cargo()
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "bench-performance",
        ])
        .args(["--", "--root", "."])
        .args(args)
        .status()?;
    Ok(if ran.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
