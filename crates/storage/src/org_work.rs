//! The reconciler's rows: which orgs are due, who holds them, and the steps of each.

use std::collections::{HashMap, HashSet};

use diesel::{dsl::min, prelude::*};
use ids::{OrgId, PartnerId};
use orgs::{
    DueLimits, DueOrg, DueOrgs, Lease, LeaseToken, Org, OrgBacklog, OrgProgress, OrgStatus,
    OrgWork, Step,
};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect::{self, due::OrgQueue, same},
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
    limit: usize,
) -> Result<OrgBacklog, StoreError> {
    let oldest = next_due(session, now)?.filter(|&due| due <= now);
    let now = values::micros(now);
    let due = session
        .run(|connection| dialect::due::orgs_count(connection, now, values::row_count(limit)))?;
    Ok(OrgBacklog {
        due: values::number(due, "the number of orgs that are due")?,
        oldest,
    })
}

/// The statuses in which orgs are worked on, and where they wait for it.
const PENDING: [(OrgStatus, OrgQueue); 2] = [
    (OrgStatus::Provisioning, OrgQueue::PROVISIONING),
    (OrgStatus::Deprovisioning, OrgQueue::DEPROVISIONING),
];

pub(crate) fn due<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
    after: Option<PartnerId>,
    limits: DueLimits,
) -> Result<DueOrgs, StoreError> {
    let (now, after) = (values::micros(now), after.map(|id| id.to_string()));
    let after = after.as_deref().unwrap_or_default();
    let mut found = DueOrgs::default();
    for (status, queue) in PENDING {
        let seen = session.run(|connection| {
            let partners = (after, values::row_count(limits.partners));
            dialect::due::org_partners(connection, queue, partners)
        })?;
        let seen_to: Option<PartnerId> =
            values::optional_id(seen.after.as_deref(), "the partner of an org")?;
        found.after = found.after.into_iter().chain(seen_to).min();
        let due = seen.rows.into_iter().filter(|(_, due)| *due <= now);
        let partners: Vec<String> = due.map(|(partner, _)| partner).collect();
        if partners.is_empty() {
            continue;
        }
        let each = limits.orgs.div_ceil(partners.len()).max(1);
        let rows = session.run(|connection| {
            let which = (queue, partners.as_slice());
            dialect::due::orgs_of(connection, which, now, values::row_count(each))
        })?;
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (partner, id, due) in rows {
            let count = counts.entry(partner.clone()).or_default();
            *count += 1;
            found.more |= *count >= each;
            found.orgs.push(DueOrg {
                id: values::id(&id, "the id of an org")?,
                partner_id: values::id(&partner, "the partner of an org")?,
                status,
                due_at: values::time(due, "the time at which an org is due")?,
            });
        }
    }
    Ok(found)
}

pub(crate) fn lease(
    session: &mut Session<Writing>,
    ids: &[OrgId],
    now: OffsetDateTime,
    lease: Lease,
    begin: impl Fn(&mut OrgProgress),
) -> Result<Vec<OrgWork>, StoreError> {
    let (ids, now): (Vec<String>, _) = (
        ids.iter().map(ToString::to_string).collect(),
        values::micros(now),
    );
    let free: HashSet<String> = session
        .run(|connection| dialect::due::orgs_free(connection, &ids, now))?
        .into_iter()
        .collect();
    let ids: Vec<String> = ids.into_iter().filter(|id| free.contains(id)).collect();
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

/// Makes orgs due that would be due after a time, and has leases end that would end after it.
pub(crate) fn hasten(
    session: &mut Session<Writing>,
    later_than: OffsetDateTime,
    at: OffsetDateTime,
    limit: usize,
) -> Result<usize, StoreError> {
    let (later_than, limit) = (values::micros(later_than), values::row_count(limit));
    let at = values::micros(at);
    let due = session.run(|connection| dialect::hasten::orgs_due(connection, later_than, limit))?;
    let leased =
        session.run(|connection| dialect::hasten::orgs_leased(connection, later_than, limit))?;
    // A row is updated once in a transaction.
    let (both, leased): (Vec<String>, Vec<String>) =
        leased.into_iter().partition(|id| due.contains(id));
    let due: Vec<String> = due.into_iter().filter(|id| !both.contains(id)).collect();
    let ends = table::lease_until.eq(at);
    let counts = [
        session.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(due)))
                .set(table::due_at.eq(at))
                .execute(connection)
        })?,
        session.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(both)))
                .set((table::due_at.eq(at), ends))
                .execute(connection)
        })?,
        session.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(leased)))
                .set(ends)
                .execute(connection)
        })?,
    ];
    Ok(counts.into_iter().sum())
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
