//! The reconciler's rows: which orgs are due, who holds them, and the steps of each.

use std::collections::{HashMap, HashSet};

use diesel::{
    dsl::{count_star, min},
    prelude::*,
};
use ids::OrgId;
use orgs::{Lease, LeaseToken, Org, OrgBacklog, OrgProgress, OrgWork, Step};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect::{self, same},
    orgs::{OrgRow, retire_labels},
    schema::orgs as table,
    session::{Session, Writing},
    steps, values,
};

/// What stands in an org's row for a worker: the org, its steps, who holds it, and when it is due.
pub(crate) type WorkRow = (OrgRow, String, Option<String>, Option<i64>);

fn work((org, text, _, _): WorkRow) -> Result<OrgWork, StoreError> {
    Ok(OrgWork {
        org: Org::try_from(org)?,
        steps: steps::parse(&text)?,
    })
}

/// An org that is taken as it was found.
fn taken(row: WorkRow) -> Result<OrgProgress, StoreError> {
    let due_at = values::optional_time(row.3, "the time at which an org is due")?;
    Ok(OrgProgress {
        work: work(row)?,
        due_at,
        release: false,
        cancel: false,
    })
}

pub(crate) fn steps_of<M>(session: &mut Session<M>, org: OrgId) -> Result<Vec<Step>, StoreError> {
    let text: Option<String> = session.run(|connection| {
        let found = table::table.find(org.to_string()).select(table::steps);
        same::ask_one(connection, found)
    })?;
    text.map_or_else(|| Ok(Vec::new()), |text| steps::parse(&text))
}

pub(crate) fn steps_replace(
    session: &mut Session<Writing>,
    org: OrgId,
    steps: &[Step],
) -> Result<(), StoreError> {
    let replaced =
        diesel::update(table::table.find(org.to_string())).set(table::steps.eq(steps::text(steps)));
    session.run(|connection| same::change(connection, replaced))?;
    Ok(())
}

/// When the first org falls due of those that nobody holds at `now`.
pub(crate) fn next_due<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, StoreError> {
    let now = values::micros(now);
    let first: Option<i64> = session.run(|connection| {
        table::table
            .filter(table::due_at.is_not_null())
            .filter(table::lease_until.is_null().or(table::lease_until.le(now)))
            .select(min(table::due_at))
            .get_result(connection)
    })?;
    values::optional_time(first, "the time at which an org is due")
}

/// How many orgs are due at `now` and held by nobody then, and since when the first of them is.
pub(crate) fn backlog<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<OrgBacklog, StoreError> {
    let now = values::micros(now);
    let (due, oldest): (i64, Option<i64>) = session.run(|connection| {
        table::table
            .filter(table::due_at.le(now))
            .filter(table::lease_until.is_null().or(table::lease_until.le(now)))
            .select((count_star(), min(table::due_at)))
            .get_result(connection)
    })?;
    Ok(OrgBacklog {
        due: values::number(due, "the number of orgs that are due")?,
        oldest: values::optional_time(oldest, "the time at which an org is due")?,
    })
}

pub(crate) fn lease(
    session: &mut Session<Writing>,
    now: OffsetDateTime,
    lease: Lease,
    limit: usize,
    begin: impl Fn(&mut OrgProgress),
) -> Result<Vec<OrgWork>, StoreError> {
    let now = values::micros(now);
    let half = values::row_count(limit / 2);
    let mut ids = session.run(|connection| dialect::due_new_orgs(connection, now, half))?;
    let all =
        session.run(|connection| dialect::due_orgs(connection, now, values::row_count(limit)))?;
    let new: HashSet<String> = ids.iter().cloned().collect();
    let more = all.into_iter().filter(|id| !new.contains(id));
    ids.extend(more.take(limit.saturating_sub(new.len())));
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.run(|connection| dialect::many::orgs_found(connection, &ids))?;
    let mut found = Vec::with_capacity(ids.len());
    for row in in_order(rows, &ids).into_iter().flatten() {
        let mut one = taken(row)?;
        begin(&mut one);
        found.push(one);
    }
    let rows: Vec<_> = found
        .iter()
        .map(|one| ProgressRow::new(one, Some(lease)))
        .collect();
    session.run(|connection| dialect::many::orgs_progress(connection, &rows))?;
    Ok(found.into_iter().map(|one| one.work).collect())
}

/// The rows of these orgs, in their order; one that is named twice comes twice.
fn in_order(rows: Vec<WorkRow>, ids: &[String]) -> Vec<Option<WorkRow>> {
    let rows: HashMap<String, WorkRow> = rows
        .into_iter()
        .map(|row| (row.0.id.clone(), row))
        .collect();
    ids.iter().map(|id| rows.get(id).cloned()).collect()
}

pub(crate) fn lease_renew(
    session: &mut Session<Writing>,
    id: OrgId,
    lease: Lease,
) -> Result<(), StoreError> {
    let held = table::table
        .find(id.to_string())
        .filter(table::lease_token.eq(lease.token.0.to_string()));
    session.run(|connection| {
        diesel::update(held)
            .set(table::lease_until.eq(values::micros(lease.until)))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn leased(
    session: &mut Session<Writing>,
    id: OrgId,
    token: LeaseToken,
) -> Result<Option<Org>, StoreError> {
    session.run(|connection| dialect::lock_org(connection, &id.to_string()))?;
    session
        .run(|connection| {
            let held = table::table
                .find(id.to_string())
                .filter(table::lease_token.eq(token.0.to_string()))
                .select(same::columns::<OrgRow>());
            same::ask_one::<_, OrgRow>(connection, held)
        })?
        .map(Org::try_from)
        .transpose()
}

pub(crate) fn leased_all(
    session: &mut Session<Writing>,
    held: &[(OrgId, LeaseToken)],
) -> Result<Vec<Option<OrgWork>>, StoreError> {
    let ids: Vec<String> = held.iter().map(|(id, _)| id.to_string()).collect();
    let rows = session.run(|connection| dialect::many::orgs_held(connection, &ids))?;
    in_order(rows, &ids)
        .into_iter()
        .zip(held)
        .map(|(row, (_, token))| {
            let token = token.0.to_string();
            let row = row.filter(|(_, _, holder, _)| holder.as_ref() == Some(&token));
            row.map(work).transpose()
        })
        .collect()
}

/// How far a worker has come with an org, as it is written.
pub(crate) struct ProgressRow {
    pub(crate) org: OrgRow,
    pub(crate) steps: String,
    pub(crate) due_at: Option<i64>,
    /// Whether the lease stays as it is; otherwise it becomes the one below, or none.
    pub(crate) keep: bool,
    pub(crate) lease_token: Option<String>,
    pub(crate) lease_until: Option<i64>,
    pub(crate) cancel: bool,
}

impl ProgressRow {
    /// A row that is written with a new lease, or whose lease goes on or ends as the progress says.
    fn new(one: &OrgProgress, lease: Option<Lease>) -> Self {
        Self {
            org: OrgRow::from(&one.work.org),
            steps: steps::text(&one.work.steps),
            due_at: one.due_at.map(values::micros),
            keep: lease.is_none() && !one.release,
            lease_token: lease.map(|lease| lease.token.0.to_string()),
            lease_until: lease.map(|lease| values::micros(lease.until)),
            cancel: one.cancel,
        }
    }
}

pub(crate) fn progress(
    session: &mut Session<Writing>,
    progress: &[OrgProgress],
) -> Result<(), StoreError> {
    let rows: Vec<ProgressRow> = progress
        .iter()
        .map(|one| ProgressRow::new(one, None))
        .collect();
    session.run(|connection| dialect::many::orgs_progress(connection, &rows))?;
    let orgs: Vec<&Org> = progress.iter().map(|one| &one.work.org).collect();
    retire_labels(session, &orgs)
}

pub(crate) fn lease_release(
    session: &mut Session<Writing>,
    id: OrgId,
    token: LeaseToken,
) -> Result<(), StoreError> {
    let held = table::table
        .find(id.to_string())
        .filter(table::lease_token.eq(token.0.to_string()));
    let released = diesel::update(held).set((
        table::lease_token.eq(None::<String>),
        table::lease_until.eq(None::<i64>),
    ));
    session.run(|connection| same::change(connection, released))?;
    Ok(())
}
