//! The project's automation: `cargo xtask <verb>`, one file for each verb.
//!
//! It knows the workspace from outside alone: from cargo, from git and from the text of the files.

mod acceptance;
mod bench;
mod ci;
mod deps;
mod docs;
mod generate;
mod release_check;
mod test;
mod tidy;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The automation of this workspace.
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
    /// Check what the compiler can't: paired migrations, stale files, words, the length of the documents.
    Tidy {
        /// First record the checksums of new migrations.
        #[arg(long)]
        record: bool,
    },
    /// Check dependencies: layers, licences, sources, advisories, and what is unused.
    Deps,
    /// Run the commands that the documents tell their readers to run.
    Docs,
    /// Kill servers under load, and compare what they answered with what is there.
    Crash(acceptance::Args),
    /// Send schemathesis against the server: what it answers must be what the document says.
    FuzzApi(acceptance::Args),
    /// Try on running servers whether what is promised holds; `--help` lists the programs.
    #[command(disable_help_flag = true)]
    Acceptance {
        /// Arguments for `xtask/acceptance`, such as `races --count 1000`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Measure the server in release builds and print numbers; `--help` tells how.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for `xtask/bench`, such as `--only status --seconds 5 --quick` or `isolation`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Write the files that are generated.
    Generate,
    /// Check that the crates which others may take can be published; nothing is uploaded.
    ReleaseCheck,
    /// Everything that must hold before a change lands.
    Ci,
}

fn main() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match Args::parse().verb {
        Verb::Test { args } => test::run(&workspace, &args),
        Verb::Tidy { record } => tidy::run(&workspace, record),
        Verb::Deps => deps::run(&workspace),
        Verb::Docs => docs::run(&workspace),
        Verb::Crash(args) => acceptance::crash(&workspace, &args),
        Verb::FuzzApi(args) => acceptance::fuzz_api(&workspace, &args),
        Verb::Acceptance { args } => bench::run(&workspace, "xtask-acceptance", &args),
        Verb::Bench { args } => bench::run(&workspace, "xtask-bench", &args),
        Verb::Generate => generate::run(&workspace),
        Verb::ReleaseCheck => release_check::run(&workspace),
        Verb::Ci => ci::run(&workspace),
    }
}
