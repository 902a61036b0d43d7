//! The workshop: `cargo xtask <verb>`, one file for each verb.
//!
//! It knows the workspace from outside alone: from cargo, from git and from the text of the files.

mod bench;
mod ci;
mod crash;
mod docs;
mod fuzz_api;
mod generate;
mod test;
mod tidy;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The workshop of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run all tests and sum them up.
    Test {
        /// Arguments for `cargo test`: a name, `-p CRATE`, or `NAME -- --nocapture`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Check what the compiler can't: who may know whom, paired migrations, stale files.
    Tidy {
        /// First record the checksums of new migrations.
        #[arg(long)]
        record: bool,
    },
    /// Run the commands that the documents tell their readers to run.
    Docs,
    /// Kill servers under load, and compare what they said with what is there.
    Crash(crash::Args),
    /// Send schemathesis against the server: what it answers must be what the document says.
    FuzzApi(fuzz_api::Args),
    /// Measure the server in release builds and write docs/benchmarks.md; `--help` tells how.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for `bench/performance`, such as `--only status --seconds 5 --quick`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Write the files that are generated.
    Generate,
    /// Everything that must hold before a change lands.
    Ci,
}

fn main() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match Args::parse().verb {
        Verb::Test { args } => test::run(&workspace, &args),
        Verb::Tidy { record } => tidy::run(&workspace, record),
        Verb::Docs => docs::run(&workspace),
        Verb::Crash(args) => crash::run(&workspace, &args),
        Verb::FuzzApi(args) => fuzz_api::run(&workspace, &args),
        Verb::Bench { args } => bench::run(&workspace, &args),
        Verb::Generate => generate::run(&workspace),
        Verb::Ci => ci::run(&workspace),
    }
}
