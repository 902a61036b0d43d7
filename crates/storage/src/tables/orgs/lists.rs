//! Lists of orgs. Where a filter picks few, they are found by its index; otherwise the visible orgs are walked,
//! newest first.

use diesel::prelude::*;
use ids::{OrgId, TypedId as _, Ulid};
use orgs::{Org, OrgCriteria, OrgFilter, OrgStatus, OrgVisibility};
use stores::StoreError;
use time::{Duration, OffsetDateTime};

use super::{
    labels,
    row::{OrgRow, is_deleted, is_live, orgs as table},
    slugs::slugs,
};
use crate::{connection::AnyBackend, session::Session, tables::values};

/// By how much a clock may have been set back, so that lists by the time of creation are exact all the same.
const CLOCK_STEP: Duration = Duration::DAY;

/// The ids of all orgs that the filter's most selective member picks, the highest first; `None` when they
/// are more than `limit`, or the filter has no such member.
pub(super) fn candidates<M>(
    session: &mut Session<M>,
    filter: &OrgFilter,
    limit: usize,
) -> Result<Option<Vec<String>>, StoreError> {
    let partner = match filter.visibility {
        OrgVisibility::One(_, id) => return Ok(Some(vec![id.to_string()])),
        OrgVisibility::All => None,
        OrgVisibility::Partner(partner) | OrgVisibility::MadeBy(partner, _) => Some(partner),
    };
    let rows = values::row_count(limit.saturating_add(1));
    let mut ids = match (&filter.slug, &filter.external_id, filter.labels.first()) {
        // Of those that are not deleted one has the slug, whoever else has had it.
        (Some(slug), ..) if !wants_deleted(filter) => {
            let holder = slugs::table.find(slug.as_str()).select(slugs::org_id);
            session.run(|connection| holder.load::<String>(connection))?
        }
        (_, Some(external_id), _) => {
            let mut query = table::table
                .filter(table::external_id.eq(external_id.as_str()))
                .select(table::id)
                .limit(rows)
                .into_boxed::<AnyBackend>();
            query = if wants_deleted(filter) {
                query.filter(is_deleted())
            } else {
                query.filter(is_live())
            };
            if let Some(partner) = partner {
                query = query.filter(table::partner_id.eq(partner.to_string()));
            }
            session.run(|connection| query.load(connection))?
        }
        (.., Some(label)) if let Some(partner) = partner => {
            labels::ids_labelled(session, partner, label, !wants_deleted(filter), rows)?
        }
        (Some(slug), ..) => {
            let query = table::table
                .filter(table::slug.eq(slug.as_str()))
                .filter(is_deleted())
                .select(table::id)
                .limit(rows);
            session.run(|connection| query.load(connection))?
        }
        (None, None, _) => return Ok(None),
    };
    if ids.len() > limit {
        return Ok(None);
    }
    ids.sort_unstable_by(|one, other| other.cmp(one));
    Ok(Some(ids))
}

/// The next of some orgs below an id.
pub(super) fn next_of<M>(
    session: &mut Session<M>,
    ids: &[String],
    below: Option<Ulid>,
    limit: i64,
) -> Result<Vec<Org>, StoreError> {
    let below = below.map(|id| OrgId::from_ulid(id).to_string());
    let left = ids
        .iter()
        .filter(|id| below.as_ref().is_none_or(|below| *id < below));
    let some: Vec<&String> = left
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .collect();
    let query = table::table
        .filter(table::id.eq_any(some))
        .order(table::id.desc())
        .select(OrgRow::as_select());
    orgs(session.run(|connection| query.load(connection))?)
}

/// The next orgs below an id of those that may be in the list: of the partner, deleted or not.
pub(super) fn next<M>(
    session: &mut Session<M>,
    filter: &OrgFilter,
    below: Option<Ulid>,
    limit: i64,
) -> Result<Vec<Org>, StoreError> {
    let mut query = table::table
        .order(table::id.desc())
        .limit(limit)
        .select(OrgRow::as_select())
        .into_boxed::<AnyBackend>();
    let (partner, maker) = match filter.visibility {
        OrgVisibility::All => (None, None),
        OrgVisibility::MadeBy(partner, key) => (Some(partner), Some(key)),
        OrgVisibility::Partner(partner) | OrgVisibility::One(partner, _) => (Some(partner), None),
    };
    if let Some(partner) = partner {
        query = query.filter(table::partner_id.eq(partner.to_string()));
    }
    // Each condition has an index of its own, but for the deleted orgs of all partners.
    if !wants_deleted(filter) {
        query = query.filter(is_live());
        if let (Some(key), true) = (filter.criteria.created_by.or(maker), partner.is_some()) {
            query = query.filter(table::created_by_key_id.eq(key.to_string()));
        }
    } else if partner.is_some() {
        query = query.filter(is_deleted());
    }
    let (oldest, newest) = ids_of(&filter.criteria);
    if let Some(oldest) = oldest {
        query = query.filter(table::id.ge(oldest.to_string()));
    }
    let below = below.into_iter().chain(newest).min();
    if let Some(below) = below {
        query = query.filter(table::id.lt(OrgId::from_ulid(below).to_string()));
    }
    orgs(session.run(|connection| query.load(connection))?)
}

/// Between which ids the orgs are that were created between two times. An id is made right after the time of
/// the creation is taken, but of a clock that is set back ids keep the later time for as long as it was ahead.
fn ids_of(criteria: &OrgCriteria) -> (Option<OrgId>, Option<Ulid>) {
    let milliseconds = |at: OffsetDateTime| {
        let milliseconds = at.unix_timestamp_nanos() / 1_000_000;
        u64::try_from(milliseconds).unwrap_or_default()
    };
    let oldest = criteria.created_since.map(|since| {
        let since = since.checked_sub(CLOCK_STEP).unwrap_or(since);
        OrgId::from_ulid(Ulid::from_parts(milliseconds(since), 0))
    });
    let newest = criteria.created_until.map(|until| {
        let until = until.checked_add(CLOCK_STEP).unwrap_or(until);
        Ulid::from_parts(milliseconds(until), u128::MAX)
    });
    (oldest, newest)
}

fn wants_deleted(filter: &OrgFilter) -> bool {
    filter.status == Some(OrgStatus::Deleted)
}

fn orgs(rows: Vec<OrgRow>) -> Result<Vec<Org>, StoreError> {
    rows.into_iter().map(Org::try_from).collect()
}
