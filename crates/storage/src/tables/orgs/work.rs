//! The work on orgs: which are due, who has leased them, and how far they are.

use std::collections::{HashMap, HashSet};

use diesel::{QueryResult, dsl::min, prelude::*};
use ids::{OrgId, PartnerId};
use orgs::{
    DueLimits, DueOrg, DueOrgs, Lease, LeaseToken, Org, OrgBacklog, OrgProgress, OrgStatus,
    OrgWork, OrgWorkQueries, OrgWorkStore, Step,
};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    labels,
    progress::{self, in_order, taken, work},
    queue::{self, OrgQueue},
    row::{OrgRow, ProgressRow, orgs as table},
    steps,
};
use crate::{
    connection::{
        AnyConnection,
        prepared::{self, Prepared, PreparedByType},
    },
    session::{Session, Writing},
    tables::{
        locks::{load_unlocked, lock},
        values,
    },
};

/// The statuses in which orgs are worked on, and where they wait for it.
const PENDING: [(OrgStatus, OrgQueue); 3] = [
    (OrgStatus::Provisioning, OrgQueue::PROVISIONING),
    (OrgStatus::Updating, OrgQueue::UPDATING),
    (OrgStatus::Deprovisioning, OrgQueue::DEPROVISIONING),
];

impl<M> OrgWorkQueries for Session<M> {
    type Error = StoreError;

    fn org_steps(&mut self, org: OrgId) -> Result<Vec<Step>, StoreError> {
        let text: Option<String> = self.run(|connection| {
            let found = table::table.find(org.to_string()).select(table::steps);
            prepared::first_by_type(connection, found)
        })?;
        text.map_or_else(|| Ok(Vec::new()), |text| steps::parse(&text))
    }

    /// When the first org falls due of those that nobody holds at `now`.
    fn next_org_due(&mut self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, StoreError> {
        let now = values::micros(now);
        let first: Option<i64> = self.run(|connection| {
            table::table
                .filter(table::due_at.is_not_null())
                .filter(table::lease_until.is_null().or(table::lease_until.le(now)))
                .select(min(table::due_at))
                .get_result(connection)
        })?;
        values::optional_time(first, "the time at which an org is due")
    }

    fn orgs_due(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<DueOrgs, StoreError> {
        let (now, after) = (values::micros(now), after.map(|id| id.to_string()));
        let after = after.as_deref().unwrap_or_default();
        let mut found = DueOrgs::default();
        for (status, queue) in PENDING {
            let seen = self.run(|connection| {
                let partners = (after, values::row_count(limits.partners));
                queue::partners(connection, queue, partners)
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
            let rows = self.run(|connection| {
                let which = (queue, partners.as_slice());
                queue::orgs_of(connection, which, now, values::row_count(each))
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

    /// How many orgs are due at `now` and held by nobody then, and since when the first of them is.
    fn org_backlog(&mut self, now: OffsetDateTime, limit: usize) -> Result<OrgBacklog, StoreError> {
        let oldest = self.next_org_due(now)?.filter(|&due| due <= now);
        let now = values::micros(now);
        let due = self.run(|connection| queue::count(connection, now, values::row_count(limit)))?;
        Ok(OrgBacklog {
            due: values::number(due, "the number of orgs that are due")?,
            oldest,
        })
    }
}

impl OrgWorkStore for Session<Writing> {
    fn steps_replace(&mut self, org: OrgId, steps: &[Step]) -> Result<(), StoreError> {
        let replaced = diesel::update(table::table.find(org.to_string()))
            .set(table::steps.eq(steps::text(steps)));
        self.run(|connection| prepared::execute(connection, replaced))?;
        Ok(())
    }

    fn orgs_lease(
        &mut self,
        ids: &[OrgId],
        now: OffsetDateTime,
        lease: Lease,
        begin: impl Fn(&mut OrgProgress),
    ) -> Result<Vec<OrgWork>, StoreError> {
        let (ids, now): (Vec<String>, _) = (
            ids.iter().map(ToString::to_string).collect(),
            values::micros(now),
        );
        let free: HashSet<String> = self
            .run(|connection| unleased(connection, &ids, now))?
            .into_iter()
            .collect();
        let ids: Vec<String> = ids.into_iter().filter(|id| free.contains(id)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.run(|connection| progress::load(connection, &ids))?;
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
        self.run(|connection| progress::write(connection, &rows))?;
        Ok(found.into_iter().map(|one| one.work).collect())
    }

    fn lease_renew(&mut self, id: OrgId, lease: Lease) -> Result<(), StoreError> {
        let held = table::table
            .find(id.to_string())
            .filter(table::lease_token.eq(lease.token.0.to_string()));
        self.run(|connection| {
            diesel::update(held)
                .set(table::lease_until.eq(values::micros(lease.until)))
                .execute(connection)
        })?;
        Ok(())
    }

    fn org_leased(&mut self, id: OrgId, token: LeaseToken) -> Result<Option<Org>, StoreError> {
        let row = table::table.find(id.to_string()).select(table::id);
        self.run(|connection| lock!(connection, row.for_no_key_update()))?;
        self.run(|connection| {
            let held = table::table
                .find(id.to_string())
                .filter(table::lease_token.eq(token.0.to_string()))
                .select(prepared::columns::<OrgRow>());
            prepared::first_by_type::<_, OrgRow>(connection, held)
        })?
        .map(Org::try_from)
        .transpose()
    }

    fn orgs_leased(
        &mut self,
        held: &[(OrgId, LeaseToken)],
    ) -> Result<Vec<Option<OrgWork>>, StoreError> {
        let ids: Vec<String> = held.iter().map(|(id, _)| id.to_string()).collect();
        let rows = self.run(|connection| progress::lock(connection, &ids))?;
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

    fn orgs_progress(&mut self, progress: &[OrgProgress]) -> Result<(), StoreError> {
        let rows: Vec<ProgressRow> = progress
            .iter()
            .map(|one| ProgressRow::new(one, None))
            .collect();
        self.run(|connection| progress::write(connection, &rows))?;
        let orgs: Vec<&Org> = progress.iter().map(|one| &one.work.org).collect();
        labels::retire(self, &orgs)
    }

    /// Makes orgs due that would be due after a time, and has leases end that would end after it.
    fn orgs_make_due(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let (later_than, limit) = (values::micros(later_than), values::row_count(limit));
        let at = values::micros(at);
        let due = table::table
            .filter(table::due_at.gt(later_than))
            .order(table::due_at)
            .limit(limit)
            .select(table::id);
        let due: Vec<String> =
            self.run(|connection| load_unlocked!(connection, due, for_no_key_update))?;
        let leased = table::table
            .filter(table::lease_token.is_not_null())
            .filter(table::lease_until.gt(later_than))
            .limit(limit)
            .select(table::id);
        let leased: Vec<String> =
            self.run(|connection| load_unlocked!(connection, leased, for_no_key_update))?;
        // A row is updated once in a transaction.
        let (both, leased): (Vec<String>, Vec<String>) =
            leased.into_iter().partition(|id| due.contains(id));
        let due: Vec<String> = due.into_iter().filter(|id| !both.contains(id)).collect();
        let ends = table::lease_until.eq(at);
        let counts = [
            self.run(|connection| {
                diesel::update(table::table.filter(table::id.eq_any(due)))
                    .set(table::due_at.eq(at))
                    .execute(connection)
            })?,
            self.run(|connection| {
                diesel::update(table::table.filter(table::id.eq_any(both)))
                    .set((table::due_at.eq(at), ends))
                    .execute(connection)
            })?,
            self.run(|connection| {
                diesel::update(table::table.filter(table::id.eq_any(leased)))
                    .set(ends)
                    .execute(connection)
            })?,
        ];
        Ok(counts.into_iter().sum())
    }

    fn lease_release(&mut self, id: OrgId, token: LeaseToken) -> Result<(), StoreError> {
        let held = table::table
            .find(id.to_string())
            .filter(table::lease_token.eq(token.0.to_string()));
        let released = diesel::update(held).set((
            table::lease_token.eq(None::<String>),
            table::lease_until.eq(None::<i64>),
        ));
        self.run(|connection| prepared::execute(connection, released))?;
        Ok(())
    }
}

/// Those of these orgs that are due and that nobody has leased. On PostgreSQL they are locked, and those
/// that another transaction has locked are left out.
fn unleased(connection: &mut AnyConnection, ids: &[String], now: i64) -> QueryResult<Vec<String>> {
    let free = table::table
        .filter(table::due_at.le(now))
        .filter(table::lease_until.is_null().or(table::lease_until.le(now)))
        .select(table::id);
    match connection {
        AnyConnection::Postgres(postgres) => {
            let these = free.filter(table::id.eq_any(ids)).order(table::id);
            Prepared(these.for_no_key_update().skip_locked()).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => {
            let mut all = Vec::with_capacity(ids.len());
            for id in ids {
                all.append(&mut PreparedByType(free.filter(table::id.eq(id))).load(sqlite)?);
            }
            Ok(all)
        }
    }
}
