//! Where and of what a measurement was made.

use std::{fs, process::Command, thread};

use serde::{Deserialize, Serialize};

/// The machine, as far as it bears on figures.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, model)| model.trim());
        Self {
            cpu: cpu.to_owned(),
            cores: thread::available_parallelism().map_or(1, |n| n.get()),
            kernel: output("uname", &["-sr"]).unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

/// The commit that is checked out, with a `+` when sources differ from it.
pub(crate) fn commit() -> String {
    let Some(id) = output("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // The page is what a run writes itself.
    let args = ["status", "--porcelain", "--", ".", ":!docs"];
    let clean = output("git", &args).is_some_and(|changes| changes.is_empty());
    if clean { id } else { format!("{id}+") }
}

/// What a program says, when it can be run and succeeds.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
