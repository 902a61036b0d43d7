//! Logs on standard error: for people on a terminal, as JSON lines elsewhere.

use std::{
    env,
    io::{IsTerminal as _, stderr},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// `RUST_LOG` chooses what is logged, by levels of crates and modules. Without it, `info` and above, and no
/// parse errors of the framework: anybody could fill the log with them.
///
/// A level or `target=level`, with commas in between, is all that is understood. Patterns of fields would
/// need a library of regular expressions, and that takes long to build.
pub fn start() {
    let chosen = env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let (filter, error) = match chosen.map(|text| text.parse::<Targets>()) {
        None => (default_filter(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (default_filter(), Some(error)),
    };
    let format = fmt::layer().with_writer(stderr);
    let format = if stderr().is_terminal() {
        format.compact().with_target(false).boxed()
    } else {
        format.json().flatten_event(true).boxed()
    };
    tracing_subscriber::registry()
        .with(format.with_filter(filter))
        .init();
    if let Some(error) = error {
        tracing::warn!("RUST_LOG is ignored: {error}. Write it as in RUST_LOG=info,storage=debug.");
    }
}

fn default_filter() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("actix_server", LevelFilter::WARN)
        .with_target("actix_http", LevelFilter::OFF)
}
