//! Logs on standard error: for people on a terminal, as JSON lines elsewhere.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::{EnvFilter, fmt};

/// `RUST_LOG` chooses what is logged. Without it, `info` and above, and no parse errors of the framework:
/// anybody could fill the log with them.
pub fn start() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,actix_http=off"));
    let builder = fmt().with_env_filter(filter).with_writer(stderr);
    if stderr().is_terminal() {
        builder.compact().with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
