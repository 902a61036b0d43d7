//! Load by `wrk`: closed loop, so each connection sends its next call when the last is answered.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::performance::lab::Lab;

/// How much of what was answered may be other than expected, before a sample counts for nothing.
const STRAY: f64 = 0.001;

/// What to send, to whom, over how many connections.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: u32,
    /// The script, in `lua/`.
    pub(crate) script: &'static str,
    /// What the script is told.
    pub(crate) args: Vec<String>,
    /// Whether every answer is to be a refusal.
    pub(crate) refused: bool,
}

/// What one run saw.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    micros: u64,
    status_errors: u64,
    socket_errors: u64,
    pub(crate) p50_us: f64,
    p90_us: f64,
    pub(crate) p99_us: f64,
    max_us: f64,
}

/// Whether `wrk` is there, and what to do when it is not.
pub(crate) fn is_there() -> Result<()> {
    let found = Command::new("wrk")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("wrk is not installed (Debian: apt-get install wrk)")
        }
        Err(error) => Err(error.into()),
        // It ends with 1 after its version.
        Ok(_) => Ok(()),
    }
}

impl Load {
    /// Sends for some seconds.
    pub(crate) fn run(&self, lab: &Lab, seconds: u32) -> Result<Sample> {
        let more = lab.fresh(&format!("b{}", lab.born));
        // What names begin with: no other run may have sent them.
        let more = (self.script == "post.lua").then_some(more);
        self.run_with(&lab.root, seconds, more.as_deref())
    }

    /// Sends for some seconds, by a script that needs no names of its own.
    pub(crate) fn run_in(&self, root: &Path, seconds: u32) -> Result<Sample> {
        self.run_with(root, seconds, None)
    }

    fn run_with(&self, root: &Path, seconds: u32, more: Option<&str>) -> Result<Sample> {
        let scripts = root.join("xtask/bench/lua");
        let script = scripts.join(self.script);
        let mut command = Command::new("wrk");
        command
            .args(["-t2", "--timeout", "30s"])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{seconds}s"))
            .arg("-s")
            .arg(&script)
            .arg(format!("http://{}", self.address))
            .arg("--")
            .args(&self.args)
            .args(more)
            .env("BENCH_LUA", &scripts)
            .stdin(Stdio::null());
        let output = command.output().context("wrk could not be run")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let sum = text.lines().find_map(|line| line.strip_prefix("SUM "));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let sum = sum.with_context(|| format!("wrk says no sum: {text} {errors}"))?;
        let sample: Sample = serde_json::from_str(sum)?;
        let strays = if self.refused {
            sample.requests.saturating_sub(sample.status_errors)
        } else {
            sample.status_errors
        };
        ensure!(
            count(strays.saturating_add(sample.socket_errors)) <= count(sample.requests) * STRAY,
            "{strays} of {} answers were not as expected, and {} sockets failed",
            sample.requests,
            sample.socket_errors
        );
        Ok(sample)
    }
}

impl Sample {
    /// How many calls were answered in a second.
    pub(crate) fn per_second(&self) -> f64 {
        count(self.requests) * 1e6 / count(self.micros.max(1))
    }
}

/// A count as a figure.
#[expect(clippy::as_conversions, reason = "far below 2^52")]
pub(crate) const fn count(n: u64) -> f64 {
    n as f64
}
