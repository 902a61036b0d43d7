//! Orgs that end: picked by label, by their lease or by the key that made them, and sent off together.

use diesel::{expression::SqlLiteral, prelude::*, sql_types::Text};
use ids::{OrgId, PartnerId};
use orgs::{DeletionSelector, DueLimits, ExpiredOrgs, Org, OrgStatus, OrgVisibility};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    announcements,
    dialect::{self, due::OrgQueue},
    orgs::{OrgRow, Query, is_live, is_staying, labelled, visible},
    schema::orgs as table,
    session::{Session, Writing},
    steps, values,
};

/// The orgs that are to go, of those that are not going or gone.
fn doomed(which: &DeletionSelector) -> Query<'_> {
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

pub(crate) fn expired_by_partner<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
    after: Option<PartnerId>,
    limits: DueLimits,
) -> Result<ExpiredOrgs, StoreError> {
    let (now, after) = (values::micros(now), after.map(|id| id.to_string()));
    let seen = session.run(|connection| {
        let after = after.as_deref().unwrap_or_default();
        let partners = (after, values::row_count(limits.partners));
        dialect::due::org_partners(connection, OrgQueue::EXPIRING, partners)
    })?;
    let after = values::optional_id(seen.after.as_deref(), "the partner of an org")?;
    let expired = seen.rows.into_iter().filter(|(_, end)| *end <= now);
    let partners: Vec<String> = expired.map(|(partner, _)| partner).collect();
    if partners.is_empty() {
        let orgs = Vec::new();
        return Ok(ExpiredOrgs { orgs, after });
    }
    let each = (limits.orgs / partners.len()).max(1);
    let rows = session.run(|connection| {
        let which = (OrgQueue::EXPIRING, partners.as_slice());
        dialect::due::orgs_of(connection, which, now, values::row_count(each))
    })?;
    let orgs = rows
        .iter()
        .map(|(_, id, _)| values::id(id, "the id of an org"))
        .collect::<Result<_, _>>()?;
    Ok(ExpiredOrgs { orgs, after })
}

pub(crate) fn list<M>(
    session: &mut Session<M>,
    which: &DeletionSelector,
    limit: usize,
) -> Result<Vec<Org>, StoreError> {
    let rows: Vec<OrgRow> = session.run(|connection| {
        doomed(which)
            .limit(values::row_count(limit))
            .select(OrgRow::as_select())
            .load(connection)
    })?;
    rows.into_iter().map(Org::try_from).collect()
}

pub(crate) fn lock(
    session: &mut Session<Writing>,
    which: &DeletionSelector,
    limit: usize,
) -> Result<Vec<Org>, StoreError> {
    let mut ids: Vec<String> = session.run(|connection| {
        doomed(which)
            .limit(values::row_count(limit))
            .select(table::id)
            .load(connection)
    })?;
    // Whoever holds several holds them in the same order, so that nobody waits in a circle.
    ids.sort_unstable();
    session.run(|connection| dialect::lock_orgs(connection, &ids))?;
    // While the locks were waited for, some may have been sent off by others, or renewed.
    let rows: Vec<OrgRow> = session.run(|connection| {
        doomed(which)
            .filter(table::id.eq_any(&ids))
            .select(OrgRow::as_select())
            .load(connection)
    })?;
    rows.into_iter().map(Org::try_from).collect()
}

pub(crate) fn begin_deprovision(
    session: &mut Session<Writing>,
    ids: &[OrgId],
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let at = values::micros(at);
    session.run(|connection| {
        diesel::update(table::table.filter(table::id.eq_any(&ids)))
            .set((
                table::status.eq(OrgStatus::Deprovisioning.as_str()),
                table::updated_at.eq(at),
                table::failure_code.eq(None::<String>),
                table::failure_message.eq(None::<String>),
                table::attempts.eq(0),
                table::due_at.eq(at),
                table::steps.eq(with_taking_away()),
            ))
            .execute(connection)
    })?;
    Ok(())
}

/// The steps of an org, and the one in which it is taken away behind them.
fn with_taking_away() -> SqlLiteral<Text> {
    let step = steps::TAKING_AWAY;
    diesel::dsl::sql(&format!(
        "CASE steps WHEN '[]' THEN '[{step}]' \
         ELSE substr(steps, 1, length(steps) - 1) || ',{step}]' END"
    ))
}

pub(crate) fn renew(
    session: &mut Session<Writing>,
    id: OrgId,
    expires_at: OffsetDateTime,
) -> Result<(), StoreError> {
    let id = id.to_string();
    let end = values::micros(expires_at);
    let to_announce = announcements::end_to_announce(session, &id, end)?;
    session.run(|connection| {
        diesel::update(table::table.find(&id))
            .set((
                table::expires_at.eq(end),
                table::end_to_announce.eq(to_announce),
            ))
            .execute(connection)
    })?;
    Ok(())
}
