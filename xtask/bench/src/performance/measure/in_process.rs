//! What one process does when no network is in between: a program of its own tells.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::performance::{
    lab::Lab,
    report::{Bound, Outcome},
};

/// What the program prints.
#[derive(Deserialize)]
struct Figures {
    /// Nanoseconds of an admission, in each round.
    admit_ns: Vec<f64>,
    /// The digest alone, which is the least that an admission needs.
    digest_ns: Vec<f64>,
    /// Checks a second on all cores.
    checks: Vec<f64>,
    /// Checks a second on one core.
    checks_alone: Vec<f64>,
}

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let output = Command::new(&lab.own)
        .arg("in-process")
        .args(["--rounds", &lab.rounds.to_string()])
        .args(["--seconds", &lab.seconds.to_string()])
        .arg("--folder")
        .arg(lab.folder("in-process")?)
        .output()
        .context("this program can't be run")?;
    ensure!(
        output.status.success(),
        "in-process: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figures: Figures = serde_json::from_slice(&output.stdout)?;
    let mut outcome = Outcome::default();
    outcome.series("digest of a key", "HMAC alone", "ns", figures.digest_ns);
    outcome.series("admission", "from memory", "ns", figures.admit_ns.clone());
    outcome.series(
        "limit checks",
        "one thread",
        "per second",
        figures.checks_alone,
    );
    outcome.series(
        "limit checks",
        "all cores",
        "per second",
        figures.checks.clone(),
    );
    let admission = "an admission of a remembered key";
    outcome.goal(admission, Bound::AtMost(1000.0), "ns", figures.admit_ns);
    let checks = "limit checks in a second, all cores";
    outcome.goal(checks, Bound::AtLeast(10e6), "per second", figures.checks);
    Ok(outcome)
}
