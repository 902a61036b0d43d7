//! Orgs that are to be deleted: picked by label, by their lease or by the key that made them.

use diesel::{expression::SqlLiteral, prelude::*, sql_types::Text};
use ids::{OrgId, PartnerId};
use orgs::{
    DeletionSelector, DueLimits, ExpiredOrgs, Org, OrgDeletionQueries, OrgDeletionStore, OrgStatus,
    OrgVisibility,
};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    labels::labelled,
    queue::{self, OrgQueue},
    row::{OrgRow, is_live, is_staying, orgs as table},
    steps,
    visible::{Query, visible},
};
use crate::{
    session::{Session, Writing},
    tables::{locks::lock, values},
};

/// The orgs that are to go, of those that are not going or gone.
fn selected(which: &DeletionSelector) -> Query<'_> {
    let staying = OrgStatus::DELETABLE.map(OrgStatus::as_str);
    let query = match which {
        DeletionSelector::Labelled(visibility, labels) => {
            let live = visible(*visibility).filter(is_live());
            labelled(live, labels, true).order(table::id.desc())
        }
        DeletionSelector::Expired(now) => return expired(*now),
        DeletionSelector::ExpiredAmong(now, ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            return expired(*now).filter(table::id.eq_any(ids));
        }
        DeletionSelector::MadeBy(key) => visible(OrgVisibility::All)
            .filter(table::created_by_key_id.eq(key.to_string()))
            .filter(table::delete_protection.eq(false))
            .filter(is_live()),
    };
    query.filter(table::status.eq_any(staying))
}

/// The orgs whose lease has run out, of those that are not going or gone, the first to end first. The order
/// keeps PostgreSQL to the index, whatever it knows of the table.
fn expired<'a>(now: OffsetDateTime) -> Query<'a> {
    visible(OrgVisibility::All)
        .filter(is_staying())
        .filter(table::expires_at.le(values::micros(now)))
        .order(table::expires_at)
}

impl<M> OrgDeletionQueries for Session<M> {
    type Error = StoreError;

    fn orgs_to_delete(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, StoreError> {
        let rows: Vec<OrgRow> = self.run(|connection| {
            selected(which)
                .limit(values::row_count(limit))
                .select(OrgRow::as_select())
                .load(connection)
        })?;
        rows.into_iter().map(Org::try_from).collect()
    }

    fn expired_orgs(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<ExpiredOrgs, StoreError> {
        let (now, after) = (values::micros(now), after.map(|id| id.to_string()));
        let seen = self.run(|connection| {
            let after = after.as_deref().unwrap_or_default();
            let partners = (after, values::row_count(limits.partners));
            queue::partners(connection, OrgQueue::EXPIRING, partners)
        })?;
        let after = values::optional_id(seen.after.as_deref(), "the partner of an org")?;
        let expired = seen.rows.into_iter().filter(|(_, end)| *end <= now);
        let partners: Vec<String> = expired.map(|(partner, _)| partner).collect();
        if partners.is_empty() {
            let orgs = Vec::new();
            return Ok(ExpiredOrgs { orgs, after });
        }
        let each = (limits.orgs / partners.len()).max(1);
        let rows = self.run(|connection| {
            let which = (OrgQueue::EXPIRING, partners.as_slice());
            queue::orgs_of(connection, which, now, values::row_count(each))
        })?;
        let orgs = rows
            .iter()
            .map(|(_, id, _)| values::id(id, "the id of an org"))
            .collect::<Result<_, _>>()?;
        Ok(ExpiredOrgs { orgs, after })
    }
}

impl OrgDeletionStore for Session<Writing> {
    fn orgs_to_delete_for_update(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, StoreError> {
        let mut ids: Vec<String> = self.run(|connection| {
            selected(which)
                .limit(values::row_count(limit))
                .select(table::id)
                .load(connection)
        })?;
        // Whoever holds several holds them in the same order, so that nobody waits in a circle.
        ids.sort_unstable();
        let rows = table::table
            .filter(table::id.eq_any(&ids))
            .order(table::id)
            .select(table::id);
        if !ids.is_empty() {
            self.run(|connection| lock!(connection, rows.for_no_key_update()))?;
        }
        // While the locks were waited for, some may have been deleted by others, or renewed.
        let rows: Vec<OrgRow> = self.run(|connection| {
            selected(which)
                .filter(table::id.eq_any(&ids))
                .select(OrgRow::as_select())
                .load(connection)
        })?;
        rows.into_iter().map(Org::try_from).collect()
    }

    fn orgs_begin_deprovision(
        &mut self,
        ids: &[OrgId],
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let at = values::micros(at);
        self.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(&ids)))
                .set((
                    table::status.eq(OrgStatus::Deprovisioning.as_str()),
                    table::updated_at.eq(at),
                    table::failure_code.eq(None::<String>),
                    table::failure_message.eq(None::<String>),
                    table::attempts.eq(0),
                    table::due_at.eq(at),
                    table::pending_change.eq(None::<String>),
                    table::steps.eq(with_deprovision_step()),
                ))
                .execute(connection)
        })?;
        Ok(())
    }
}

/// The steps of an org, and the one of its deprovisioning behind them.
fn with_deprovision_step() -> SqlLiteral<Text> {
    let step = steps::PENDING_DEPROVISION;
    diesel::dsl::sql(&format!(
        "CASE steps WHEN '[]' THEN '[{step}]' \
         ELSE substr(steps, 1, length(steps) - 1) || ',{step}]' END"
    ))
}
