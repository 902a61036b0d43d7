//! `molecule-cp`: the partner control plane, its HTTP API and its command line.

mod background;
mod commands;
mod handlers;
mod http;
mod inventory;
mod logging;
mod metrics;
mod pepper;
mod provisioner;
mod routes;
mod settings;
mod webhooks;

use std::process::ExitCode;

use clap::Parser as _;

/// Most of what a call allocates is small and short-lived, and is freed on another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command_line = commands::CommandLine::parse();
    logging::start();
    commands::shield();
    match commands::run(command_line) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
