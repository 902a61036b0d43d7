//! Deleting what is older than it need be of deliveries, deleted endpoints and announcements.

use diesel::{
    dsl::{exists, not},
    prelude::*,
};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::WebhookRetention;

use super::{
    locks::load_unlocked, values, webhook_announcements,
    webhook_deliveries::webhook_deliveries as deliveries,
    webhook_endpoints::webhook_endpoints as endpoints,
};
use crate::session::{Session, Writing};

impl WebhookRetention for Session<Writing> {
    /// What another transaction holds is left for the next time, so that nobody waits.
    fn webhooks_forget(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let since = values::micros(since);
        let left = |deleted: usize| values::row_count(limit.saturating_sub(deleted));

        let ended = deliveries::table
            .filter(deliveries::ended_at.lt(since))
            .order(deliveries::ended_at)
            .limit(left(0))
            .select(deliveries::id);
        let ended = self.run(|connection| load_unlocked!(connection, ended, for_update))?;
        let mut deleted = delete_deliveries(self, ended)?;

        let gone = endpoints::table
            .filter(endpoints::forget_after.lt(since))
            .order(endpoints::forget_after)
            .limit(left(deleted))
            .select(endpoints::id);
        let gone: Vec<String> =
            self.run(|connection| load_unlocked!(connection, gone, for_update))?;
        let orphaned = deliveries::table
            .filter(deliveries::endpoint_id.eq_any(&gone))
            .limit(left(deleted))
            .select(deliveries::id);
        let orphaned = self.run(|connection| load_unlocked!(connection, orphaned, for_update))?;
        deleted += delete_deliveries(self, orphaned)?;
        deleted += delete_endpoints(self, gone, since, left(deleted))?;

        deleted += webhook_announcements::expire(self, since, left(deleted))?;
        Ok(deleted)
    }
}

/// Deletes those of these deleted endpoints that have no deliveries left and were deleted before a time; the
/// others that have none are looked at again by then.
fn delete_endpoints(
    session: &mut Session<Writing>,
    deleted: Vec<String>,
    since: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let left = deliveries::table.filter(deliveries::endpoint_id.eq(endpoints::id));
    let bare: Vec<(String, Option<i64>)> = session.run(|connection| {
        endpoints::table
            .filter(endpoints::id.eq_any(deleted))
            .filter(not(exists(left)))
            .select((endpoints::id, endpoints::deleted_at))
            .load(connection)
    })?;
    // What was deleted just now may be about to get one more delivery, of a change that began before.
    let is_old = |(_, at): &(String, Option<i64>)| at.is_some_and(|at| at < since);
    let (old, young): (Vec<_>, Vec<_>) = bare.into_iter().partition(is_old);
    let ids = |rows: Vec<(String, Option<i64>)>| rows.into_iter().map(|(id, _)| id);
    let (young, old): (Vec<String>, Vec<String>) = (
        ids(young).collect(),
        ids(old).take(usize::try_from(limit).unwrap_or(0)).collect(),
    );
    session.run(|connection| {
        diesel::update(endpoints::table.filter(endpoints::id.eq_any(young)))
            .set(endpoints::forget_after.eq(endpoints::deleted_at))
            .execute(connection)
    })?;
    session.run(|connection| {
        diesel::delete(endpoints::table.filter(endpoints::id.eq_any(old))).execute(connection)
    })
}

fn delete_deliveries(
    session: &mut Session<Writing>,
    ids: Vec<String>,
) -> Result<usize, StoreError> {
    session.run(|connection| {
        diesel::delete(deliveries::table.filter(deliveries::id.eq_any(ids))).execute(connection)
    })
}
