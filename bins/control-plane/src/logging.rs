//! Logs on standard error: for people on a terminal, as JSON lines elsewhere.

use std::{
    env,
    fmt::Result,
    io::{IsTerminal as _, stderr},
};

use serde_json::json;
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _,
    filter::Targets,
    fmt::{
        self, FmtContext, FormatEvent, FormatFields,
        format::{Compact, Format, Json, Writer},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::traces::Scope;

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
        format
            .compact()
            .with_target(false)
            .map_event_format(NamingRequest)
            .boxed()
    } else {
        format
            .json()
            .flatten_event(true)
            .map_event_format(NamingRequest)
            .boxed()
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

/// Has each line of a request name it, and its trace.
struct NamingRequest<F>(F);

impl<S, N, T> FormatEvent<S, N> for NamingRequest<Format<Json, T>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<Json, T>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        let named = Scope::with_current(|scope| {
            let mut line = String::new();
            self.0
                .format_event(context, Writer::new(&mut line), event)?;
            // Before the line's own members.
            let line = line.strip_prefix('{').unwrap_or(&line);
            write!(writer, "{{\"request_id\":{},", json!(&*scope.request_id))?;
            if let Some(trace) = scope.trace {
                write!(writer, "\"trace_id\":\"{}\",", trace.trace())?;
            }
            writer.write_str(line)
        });
        named.unwrap_or_else(|| self.0.format_event(context, writer, event))
    }
}

impl<S, N, T> FormatEvent<S, N> for NamingRequest<Format<Compact, T>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<Compact, T>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        if let Some(named) = Scope::with_current(|scope| write!(writer, "{} ", scope.request_id)) {
            named?;
        }
        self.0.format_event(context, writer, event)
    }
}
