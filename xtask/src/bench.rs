//! `cargo xtask bench`: builds what is measured and what measures, and runs a program of `bench/`.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// What `bench/performance` measures and is measured by, all of it built in release.
const PERFORMANCE: [&str; 5] = [
    "molecule-cp",
    "bench-bare",
    "bench-growth",
    "bench-in-process",
    "bench-performance",
];

/// Runs the verb. Arguments that begin with `isolation` or `pipelines` are for the program of that name,
/// others for `bench/performance`.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    match args {
        [first, rest @ ..] if first == "isolation" => {
            measure(workspace, &["molecule-cp", "bench-isolation"], &[], rest)
        }
        [first, rest @ ..] if first == "pipelines" => {
            measure(workspace, &["molecule-cp", "bench-pipelines"], &[], rest)
        }
        args => measure(workspace, &PERFORMANCE, &["--root", "."], args),
    }
}

/// Builds some packages and runs the last of them.
fn measure(
    workspace: &Workspace,
    packages: &[&str],
    fixed: &[&str],
    args: &[OsString],
) -> Result<ExitCode> {
    let built = workspace
        .cargo()
        .args(["build", "--release"])
        .args(packages.iter().flat_map(|name| ["--package", name]))
        .status()
        .context("cargo could not be run")?;
    ensure!(built.success(), "what is measured does not build");
    let program = packages.last().context("there is nothing to run")?;
    let ran = workspace
        .cargo()
        .args(["run", "--quiet", "--release", "--package", program, "--"])
        .args(fixed)
        .args(args)
        .status()?;
    Ok(if ran.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
