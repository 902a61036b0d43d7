//! How far orgs have come, and how long that takes.

use diesel::prelude::*;
use ids::{OrgId, PlanName};
use orgs::StatusSummary;
use stores::StoreError;
use time::Duration;

use crate::{schema::orgs as table, session::Session, values};

pub(crate) fn standings<M>(
    session: &mut Session<M>,
    ids: &[OrgId],
) -> Result<Vec<StatusSummary>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, String, i64)> = session.run(|connection| {
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

pub(crate) fn provisioning_times<M>(
    session: &mut Session<M>,
    plan: &PlanName,
    limit: usize,
) -> Result<Vec<Duration>, StoreError> {
    let rows: Vec<(i64, Option<i64>)> = session.run(|connection| {
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
