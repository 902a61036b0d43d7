//! The reconciler's rows: which orgs are due, who holds them, and the steps of each.

use diesel::{
    dsl::{count_star, min},
    prelude::*,
};
use ids::OrgId;
use orgs::{Lease, LeaseToken, Org, OrgBacklog, Step, StepName, StepStatus};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect::{self, same},
    orgs::OrgRow,
    schema::{org_steps, orgs as table},
    session::{Session, Writing},
    values,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = org_steps)]
pub(crate) struct StepRow {
    pub(crate) org_id: String,
    pub(crate) position: i64,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) attempts: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
}

impl TryFrom<StepRow> for Step {
    type Error = StoreError;

    fn try_from(row: StepRow) -> Result<Self, StoreError> {
        Ok(Self {
            name: StepName::parse(&row.name).ok_or(values::corrupt("the name of a step"))?,
            status: StepStatus::parse(&row.status)
                .ok_or(values::corrupt("the status of a step"))?,
            attempts: values::number(row.attempts, "the attempts at a step")?,
            started_at: values::optional_time(row.started_at, "the start of a step")?,
            finished_at: values::optional_time(row.finished_at, "the end of a step")?,
        })
    }
}

pub(crate) fn steps<M>(session: &mut Session<M>, org: OrgId) -> Result<Vec<Step>, StoreError> {
    session
        .run(|connection| {
            let all = org_steps::table
                .filter(org_steps::org_id.eq(org.to_string()))
                .order(org_steps::position)
                .select(same::columns::<StepRow>());
            same::ask::<_, StepRow>(connection, all)
        })?
        .into_iter()
        .map(Step::try_from)
        .collect()
}

pub(crate) fn steps_insert(
    session: &mut Session<Writing>,
    org: OrgId,
    steps: &[Step],
) -> Result<(), StoreError> {
    for (position, step) in steps.iter().enumerate() {
        let row = StepRow {
            org_id: org.to_string(),
            position: values::row_count(position),
            name: step.name.as_str().to_owned(),
            status: step.status.as_str().to_owned(),
            attempts: step.attempts.into(),
            started_at: step.started_at.map(values::micros),
            finished_at: step.finished_at.map(values::micros),
        };
        let added = diesel::insert_into(org_steps::table).values(&row);
        session.run(|connection| same::change(connection, added))?;
    }
    Ok(())
}

pub(crate) fn steps_replace(
    session: &mut Session<Writing>,
    org: OrgId,
    steps: &[Step],
) -> Result<(), StoreError> {
    let all = org_steps::table.filter(org_steps::org_id.eq(org.to_string()));
    session.run(|connection| same::change(connection, diesel::delete(all)))?;
    steps_insert(session, org, steps)
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
) -> Result<Vec<Org>, StoreError> {
    let now = values::micros(now);
    let half = values::row_count(limit / 2);
    let mut ids = session.run(|connection| dialect::due_new_orgs(connection, now, half))?;
    let all =
        session.run(|connection| dialect::due_orgs(connection, now, values::row_count(limit)))?;
    for id in all {
        if ids.len() < limit && !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut leased = Vec::with_capacity(ids.len());
    for id in &ids {
        let held = diesel::update(table::table.find(id)).set((
            table::lease_token.eq(lease.token.0.to_string()),
            table::lease_until.eq(values::micros(lease.until)),
        ));
        session.run(|connection| same::change(connection, held))?;
        let row = session.run(|connection| {
            let found = table::table.find(id).select(same::columns::<OrgRow>());
            same::ask_one::<_, OrgRow>(connection, found)
        })?;
        leased.extend(row.map(Org::try_from).transpose()?);
    }
    Ok(leased)
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
