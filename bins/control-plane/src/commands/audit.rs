//! `molecule-cp audit`: exports and prunes the audit log, also beside a server.

use std::{
    io::{BufWriter, ErrorKind, Write, stdout},
    time::Instant,
};

use anyhow::ensure;
use api::EventView;
use audit::{AuditVisibility, Event, EventFilter};
use clap::Subcommand;
use ids::{EventId, PageRequest, TypedId as _, Ulid};
use indicatif::{ProgressBar, ProgressStyle};
use service::{Env, Pruning};
use storage::SqlDatabase;
use stores::{Database as _, prelude::*};
use time::{Date, OffsetDateTime, macros::format_description};

use super::{on_database, print, system_user};
use crate::settings::Settings;

const PAGE: usize = 1000;

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Delete the events that happened before a time
    Prune {
        /// A time (2026-04-23T08:00:00Z) or a date, which begins at midnight UTC
        #[arg(long, value_parser = moment)]
        before: OffsetDateTime,
    },
    /// Write events to standard output, the oldest first, each a line of JSON
    Export {
        /// From this time or date on
        #[arg(long, value_parser = moment)]
        since: Option<OffsetDateTime>,
        /// Before this time or date; without it, before two seconds ago
        #[arg(long, value_parser = moment)]
        until: Option<OffsetDateTime>,
        /// After this event, evt_…, in the order of the ids, which no clock disturbs
        #[arg(long)]
        after: Option<EventId>,
    },
}

pub fn run(settings: &Settings, command: AuditCommand) -> anyhow::Result<()> {
    on_database(settings, async |db, env| match command {
        AuditCommand::Prune { before } => prune(db, env, before).await,
        AuditCommand::Export {
            since,
            until,
            after,
        } => {
            let until = end(env, until).await;
            export(db, env, (since, until), after).await
        }
    })
}

/// A time as in the API, or a date, which is its midnight.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    match Date::parse(text, format_description!("[year]-[month]-[day]")) {
        Ok(date) => Ok(date.midnight().assume_utc()),
        Err(_) => api::parse_time(text).map_err(|form| format!("{form} or a date: 2026-04-23")),
    }
}

/// The end of an export, behind which events may still be written. An end that comes soon is waited for, so
/// that the next export can begin with it.
async fn end(env: &Env, until: Option<OffsetDateTime>) -> OffsetDateTime {
    let now = env.now();
    match until {
        None => now - audit::LAG,
        Some(until) if until > now => {
            let end = now - audit::LAG;
            tracing::warn!(
                %end,
                "--until is in the future; events up to this end are exported, and the next export begins there"
            );
            end
        }
        Some(until) => {
            let left = until + audit::LAG - now;
            tokio::time::sleep(left.try_into().unwrap_or_default()).await;
            until
        }
    }
}

async fn prune(db: &SqlDatabase, env: &Env, before: OffsetDateTime) -> anyhow::Result<()> {
    ensure!(before <= env.now(), "--before: must not be in the future");
    let all = EventFilter::all(AuditVisibility::All);
    let oldest = page(db, &all, None, 1).await?;
    let progress = Progress::new(oldest.first(), before);
    let mut pruning = Pruning::new(env, before, Some(system_user()));
    loop {
        let began = Instant::now();
        let more = pruning.part(db).await?;
        progress.set_reached(pruning.reached());
        if !more {
            break;
        }
        // On SQLite one process writes at a time, so this leaves the server as much time as it took.
        tokio::time::sleep(began.elapsed()).await;
    }
    progress.finish();
    print(&format!("deleted {} events\n", pruning.deleted()))
}

async fn export(
    db: &SqlDatabase,
    env: &Env,
    (since, until): (Option<OffsetDateTime>, OffsetDateTime),
    after: Option<EventId>,
) -> anyhow::Result<()> {
    let filter = EventFilter {
        since,
        until: Some(until),
        open_before: Some(env.now() - service::MAX_OPEN_AGE),
        ..EventFilter::all(AuditVisibility::All)
    };
    let mut output = BufWriter::new(stdout().lock());
    let mut progress: Option<Progress> = None;
    let mut after = after.map(|id| id.ulid());
    loop {
        let events = page(db, &filter, after, PAGE).await?;
        let progress = progress.get_or_insert_with(|| Progress::new(events.first(), until));
        let Some(last) = events.last().map(|event| event.id.ulid()) else {
            break;
        };
        for event in events {
            match write(&mut output, event) {
                // The reader has closed the pipe.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
        }
        after = Some(last);
        progress.set_reached(after);
    }
    if let Some(progress) = progress {
        progress.finish();
    }
    match output.flush() {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        flushed => Ok(flushed?),
    }
}

fn write(output: &mut impl Write, event: Event) -> std::io::Result<()> {
    serde_json::to_writer(&mut *output, &EventView::from(event.closed()))?;
    output.write_all(b"\n")
}

async fn page(
    db: &SqlDatabase,
    filter: &EventFilter,
    after: Option<Ulid>,
    limit: usize,
) -> anyhow::Result<Vec<Event>> {
    // No other caller waits, so a page needs no budget.
    let page = PageRequest::new(limit, after).with_budget(usize::MAX);
    let filter = filter.clone();
    let page = db
        .read(move |view| view.events_oldest_first(&filter, page))
        .await?;
    Ok(page.items)
}

/// A progress bar on standard error when that is a terminal.
struct Progress {
    start_ms: u64,
    bar: ProgressBar,
}

impl Progress {
    /// From the oldest event to a time.
    fn new(oldest: Option<&Event>, until: OffsetDateTime) -> Self {
        let until_ms = u64::try_from(until.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let start_ms = oldest.map_or(until_ms, |event| event.id.ulid().timestamp_ms());
        let bar = ProgressBar::new(until_ms.saturating_sub(start_ms));
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {eta} left") {
            bar.set_style(style);
        }
        Self { start_ms, bar }
    }

    fn set_reached(&self, id: Option<Ulid>) {
        if let Some(id) = id {
            let done = id.timestamp_ms().saturating_sub(self.start_ms);
            self.bar.set_position(done);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<i64>) {
        let actual = moment(text).ok().map(OffsetDateTime::unix_timestamp);
        assert_eq!(actual, expect, "{text}");
    }

    #[test]
    fn a_time_or_a_date_is_a_moment() {
        check("2026-04-23", Some(1_776_902_400));
        check("2026-04-23T00:00:00Z", Some(1_776_902_400));
        check("2026-04-23T02:00:00+02:00", Some(1_776_902_400));
        check("2026-02-30", None);
        check("yesterday", None);
        check("", None);
    }
}
