//! `cargo xtask tidy`: what holds in this workspace and no compiler checks.
//!
//! A rule is a pure function of what it looks at; here they are fed and their findings collected.

mod circles;
mod manifests;
mod migrations;
mod prose;
mod stale;
mod text;
mod tree;
mod words;

use std::{fmt, process::ExitCode};

use anyhow::Result;

use crate::workspace::Workspace;

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    rule: &'static str,
    /// The file or crate that breaks it.
    subject: String,
    /// What to do about it.
    advice: String,
}

impl Problem {
    fn new(rule: &'static str, subject: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            rule,
            subject: subject.into(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tidy: {}: {}: {}", self.rule, self.subject, self.advice)
    }
}

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace, record: bool) -> Result<ExitCode> {
    let problems = check(workspace, record)?;
    print(&problems);
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints one line for each problem, or that there is none.
pub(crate) fn print(problems: &[Problem]) {
    for problem in problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("tidy: all rules hold");
    }
}

/// Checks all rules; with `record`, the checksums of new migrations are added before.
pub(crate) fn check(workspace: &Workspace, record: bool) -> Result<Vec<Problem>> {
    if record {
        migrations::record(workspace)?;
    }
    let sources = workspace.sources()?;
    let mut problems = tree::check(workspace)?;
    problems.extend(migrations::check(&sources));
    problems.extend(manifests::check(&sources));
    problems.extend(text::check(&sources));
    problems.extend(circles::check(&sources));
    problems.extend(words::check(&sources));
    problems.extend(prose::check(&sources));
    problems.extend(stale::check(workspace, &sources));
    Ok(problems)
}
