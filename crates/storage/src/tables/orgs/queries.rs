//! What is asked about orgs.

use std::collections::HashMap;

use diesel::{dsl::count_star, prelude::*};
use ids::{KeyId, OrgId, Page, PageRequest, PartnerId, PlanName, TypedId as _};
use orgs::{Org, OrgFilter, OrgQueries, OrgVisibility, StatusSummary};
use stores::StoreError;
use time::Duration;

use super::{
    lists,
    row::{OrgRow, is_live, orgs as table},
};
use crate::{
    connection::{
        AnyConnection,
        prepared::{self, Prepared},
    },
    session::Session,
    tables::{paged, values},
};

/// How many rows of orgs each id is found in that are not deleted; ids without any are left out. On
/// PostgreSQL it is one query for all ids, on SQLite one for each.
macro_rules! live_counts {
    ($session:expr, $column:ident, $ids:expr) => {{
        let ids: Vec<String> = $ids.iter().map(ToString::to_string).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let live = table::table.filter(is_live());
        let counts: Vec<(String, i64)> = $session.run(|connection| match connection {
            AnyConnection::Postgres(postgres) => Prepared(
                live.filter(table::$column.eq_any(&ids))
                    .group_by(table::$column)
                    .select((table::$column, count_star())),
            )
            .load(postgres),
            AnyConnection::Sqlite(sqlite) => ids
                .iter()
                .map(|id| {
                    let its = live.clone().filter(table::$column.eq(id));
                    let count = Prepared(its.select(count_star())).get_result(sqlite)?;
                    Ok((id.clone(), count))
                })
                .collect(),
        })?;
        in_order(&ids, counts)
    }};
}

impl<M> OrgQueries for Session<M> {
    type Error = StoreError;

    fn org(&mut self, visibility: OrgVisibility, id: OrgId) -> Result<Option<Org>, StoreError> {
        self.run(|connection| {
            let found = table::table
                .find(id.to_string())
                .select(prepared::columns::<OrgRow>());
            prepared::first_by_type::<_, OrgRow>(connection, found)
        })?
        .map(Org::try_from)
        .transpose()
        .map(|org| org.filter(|org| visibility.includes(org)))
    }

    /// A page of orgs. Where a filter picks few, they are found by its index; otherwise the visible orgs are
    /// walked, newest first.
    fn orgs(&mut self, filter: &OrgFilter, page: PageRequest) -> Result<Page<Org>, StoreError> {
        let few = lists::candidates(self, filter, page.budget)?;
        paged::page(
            self,
            page,
            |org: &Org| org.id.ulid(),
            |org| filter.includes(org),
            |session, below, limit| match &few {
                Some(few) => lists::next_of(session, few, below, limit),
                None => lists::next(session, filter, below, limit),
            },
        )
    }

    /// How many orgs each partner has that are not deleted, in the order of the question.
    fn live_org_counts(&mut self, partners: &[PartnerId]) -> Result<Vec<u64>, StoreError> {
        live_counts!(self, partner_id, partners)
    }

    /// How many orgs each key has made that are not deleted, in the order of the question.
    fn live_org_counts_of_keys(&mut self, keys: &[KeyId]) -> Result<Vec<u64>, StoreError> {
        live_counts!(self, created_by_key_id, keys)
    }

    fn org_status_summaries(&mut self, ids: &[OrgId]) -> Result<Vec<StatusSummary>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, String, i64)> = self.run(|connection| {
            table::table
                .filter(table::id.eq_any(&ids))
                .select((table::id, table::status, table::updated_at))
                .load(connection)
        })?;
        rows.into_iter()
            .map(|(id, status, updated_at)| {
                Ok(StatusSummary {
                    id: values::id(&id, "the id of an org")?,
                    status: status
                        .parse()
                        .map_err(|_| values::corrupt("the status of an org"))?,
                    updated_at: values::time(updated_at, "the last change of an org")?,
                })
            })
            .collect()
    }

    fn provisioning_times(
        &mut self,
        plan: &PlanName,
        limit: usize,
    ) -> Result<Vec<Duration>, StoreError> {
        let rows: Vec<(i64, Option<i64>)> = self.run(|connection| {
            table::table
                .filter(table::plan.eq(plan.as_str()))
                .filter(table::ready_at.is_not_null())
                .order(table::ready_at.desc())
                .limit(values::row_count(limit))
                .select((table::created_at, table::ready_at))
                .load(connection)
        })?;
        let took = |(created, ready): (i64, Option<i64>)| {
            Duration::microseconds(ready.unwrap_or(created).saturating_sub(created))
        };
        Ok(rows.into_iter().map(took).collect())
    }
}

fn in_order(ids: &[String], counts: Vec<(String, i64)>) -> Result<Vec<u64>, StoreError> {
    let counts: HashMap<String, i64> = counts.into_iter().collect();
    let count = |id| counts.get(id).copied().unwrap_or_default();
    ids.iter()
        .map(|id| values::number(count(id), "a number of orgs"))
        .collect()
}
