//! `molctl`, the command line of the control plane.
//!
//! A command reads its arguments, calls `molecule-client` and prints what came; it decides nothing that the server
//! could. `docs/molctl.md` is for those who use it.

mod args;
mod commands;
mod config;
mod context;
mod credential;
mod durations;
mod failure;
mod interrupts;
mod keyring;
mod output;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::{args::Cli, failure::Failure};

/// All commands with their arguments.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // Exits with 2, or with 0 after help.
    let cli = Cli::parse();
    let output = cli.globals.output;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closes the pipe has seen enough.
        Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(output);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // What asks at the terminal comes first: an interrupt then ends the program as it ends any other.
    let prepared = cli.command.prepare(&cli.globals)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Local(format!("The program can't start: {error}.")))?;
    let result = runtime.block_on(commands::run(cli.command, cli.globals, prepared));
    // A thread that reads the terminal does not hold up the end.
    runtime.shutdown_background();
    result
}
