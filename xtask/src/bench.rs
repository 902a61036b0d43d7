//! `cargo xtask bench` and `cargo xtask acceptance`: builds the server and the program that tries it, both
//! in release, and runs that.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// Runs the program of a package beside the server.
pub(crate) fn run(workspace: &Workspace, package: &str, args: &[OsString]) -> Result<ExitCode> {
    let built = workspace
        .cargo()
        .args([
            "build",
            "--release",
            "--package",
            "molecule-cp",
            "--package",
        ])
        .arg(package)
        .status()
        .context("cargo could not be run")?;
    ensure!(built.success(), "{package} or the server does not build");
    let ran = workspace
        .cargo()
        .args(["run", "--quiet", "--release", "--package", package, "--"])
        .args(args)
        .status()?;
    Ok(if ran.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
