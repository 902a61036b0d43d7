//! `molecule-cp`: the partner control plane, its HTTP API and its command line.

mod background;
mod commands;
mod github;
mod handlers;
mod http;
mod inventory;
mod issuers;
mod limiter;
mod logging;
mod metrics;
mod pepper;
mod private_files;
mod provisioner;
mod routes;
mod settings;
mod traces;
mod webhooks;

use std::{
    io::{Write as _, stdout},
    time::Duration,
};

use clap::Parser as _;

/// Most of what a call allocates is small and short-lived, and is freed on another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the databases may take to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

fn main() {
    let command_line = commands::CommandLine::parse();
    logging::start();
    commands::shield();
    let code = match commands::run(command_line) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            1
        }
    };
    if !storage::wait_until_closed(CLOSE_TIMEOUT) {
        tracing::warn!("the database did not let go in time; it is left as it is");
    }
    end(code.into())
}

/// Ends the process without the exit handlers of C libraries: they would take down what a thread still uses
/// that waits for a silent server, and such a thread can't be waited for.
fn end(code: i32) -> ! {
    // A closed pipe is not an error.
    let _ = stdout().flush();
    signal_hook::low_level::exit(code)
}
