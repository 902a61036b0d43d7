//! Ends that have been announced, of orgs by their lease and of keys.

use diesel::{QueryResult, dsl::max, prelude::*};
use stores::StoreError;
use webhooks::ANNOUNCED_AHEAD;

use super::locks::load_unlocked;
use crate::{
    connection::{AnyConnection, on_both},
    session::{Session, Writing},
};

diesel::table! {
    webhook_announcements (subject, ends_at) {
        subject -> Text,
        ends_at -> BigInt,
    }
}

/// The end that is to be announced of what ends at `end`: where an earlier end was announced, not before
/// that one has passed.
pub(super) fn end_to_announce(
    session: &mut Session<Writing>,
    subject: &str,
    end: i64,
) -> Result<i64, StoreError> {
    let ahead = i64::try_from(ANNOUNCED_AHEAD.whole_microseconds()).unwrap_or(i64::MAX);
    let last: Option<i64> = session.run(|connection| {
        webhook_announcements::table
            .filter(webhook_announcements::subject.eq(subject))
            .select(max(webhook_announcements::ends_at))
            .get_result(connection)
    })?;
    Ok(last.map_or(end, |last| end.max(last.saturating_add(ahead))))
}

/// Notes an announcement unless it is noted; whether it was added.
pub(super) fn insert(
    connection: &mut AnyConnection,
    subject: &str,
    ends_at: i64,
) -> QueryResult<bool> {
    let row = (
        webhook_announcements::subject.eq(subject),
        webhook_announcements::ends_at.eq(ends_at),
    );
    on_both!(connection, |inner| diesel::insert_into(
        webhook_announcements::table
    )
    .values(row)
    .on_conflict((
        webhook_announcements::subject,
        webhook_announcements::ends_at
    ))
    .do_nothing()
    .execute(inner))
    .map(|rows| rows > 0)
}

/// Deletes up to `limit` announcements of ends before a time, the oldest first; how many.
pub(super) fn expire(
    session: &mut Session<Writing>,
    since: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let past = webhook_announcements::table
        .filter(webhook_announcements::ends_at.lt(since))
        .order(webhook_announcements::ends_at)
        .limit(limit)
        .select((
            webhook_announcements::subject,
            webhook_announcements::ends_at,
        ));
    let past: Vec<(String, i64)> =
        session.run(|connection| load_unlocked!(connection, past, for_update))?;
    let mut deleted = 0;
    for place in past {
        deleted += session.run(|connection| {
            diesel::delete(webhook_announcements::table.find(place)).execute(connection)
        })?;
    }
    Ok(deleted)
}
