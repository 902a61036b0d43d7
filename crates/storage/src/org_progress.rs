//! How far orgs have come, and how long that takes.

use diesel::prelude::*;
use ids::{OrgId, PlanName};
use orgs::OrgStatus;
use stores::StoreError;
use time::Duration;

use crate::{schema::orgs as table, session::Session, values};

pub(crate) fn statuses<M>(
    session: &mut Session<M>,
    ids: &[OrgId],
) -> Result<Vec<(OrgId, OrgStatus)>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, String)> = session.run(|connection| {
        table::table
            .filter(table::id.eq_any(&ids))
            .select((table::id, table::status))
            .load(connection)
    })?;
    rows.into_iter()
        .map(|(id, status)| {
            let id = values::id(&id, "the id of an org")?;
            let status = status
                .parse()
                .map_err(|_| values::corrupt("the status of an org"))?;
            Ok((id, status))
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
