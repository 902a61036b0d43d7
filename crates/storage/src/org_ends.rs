//! Orgs that end: picked by label, by their lease or by the key that made them, and sent off together.

use diesel::{dsl::max, prelude::*};
use ids::OrgId;
use orgs::{Doomed, Org, OrgSight, OrgStatus, StepName, StepStatus};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect,
    org_work::StepRow,
    orgs::{OrgRow, Query, in_sight, labelled},
    schema::{org_steps, orgs as table},
    session::{Session, Writing},
    values,
};

/// The orgs that are to go, of those that are not going or gone.
fn doomed(which: &Doomed) -> Query<'_> {
    let staying = OrgStatus::STAYING.map(OrgStatus::as_str);
    let query = match which {
        Doomed::Labelled(sight, labels) => {
            labelled(in_sight(*sight), labels).order(table::id.desc())
        }
        Doomed::Expired(now) => {
            in_sight(OrgSight::All).filter(table::expires_at.le(values::micros(*now)))
        }
        Doomed::MadeBy(key) => {
            in_sight(OrgSight::All).filter(table::created_by_key_id.eq(key.to_string()))
        }
    };
    query.filter(table::status.eq_any(staying))
}

pub(crate) fn list<M>(
    session: &mut Session<M>,
    which: &Doomed,
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
    which: &Doomed,
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

pub(crate) fn send_off(
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
            ))
            .execute(connection)
    })?;
    let last: Vec<(String, Option<i64>)> = session.run(|connection| {
        org_steps::table
            .filter(org_steps::org_id.eq_any(&ids))
            .group_by(org_steps::org_id)
            .select((org_steps::org_id, max(org_steps::position)))
            .load(connection)
    })?;
    let steps: Vec<StepRow> = last
        .into_iter()
        .map(|(org_id, last)| StepRow {
            org_id,
            position: last.map_or(0, |last| last.saturating_add(1)),
            name: StepName::Deprovision.as_str().to_owned(),
            status: StepStatus::Pending.as_str().to_owned(),
            attempts: 0,
            started_at: None,
            finished_at: None,
        })
        .collect();
    session.run(|connection| dialect::steps_insert(connection, &steps))
}

pub(crate) fn renew(
    session: &mut Session<Writing>,
    id: OrgId,
    expires_at: OffsetDateTime,
) -> Result<(), StoreError> {
    session.run(|connection| {
        diesel::update(table::table.find(id.to_string()))
            .set(table::expires_at.eq(values::micros(expires_at)))
            .execute(connection)
    })?;
    Ok(())
}
