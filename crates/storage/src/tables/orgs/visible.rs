//! The orgs that a caller may see.

use diesel::prelude::*;
use ids::PartnerId;
use orgs::OrgVisibility;

use super::row::orgs as table;
use crate::connection::AnyBackend;

/// Orgs that are asked for.
pub(super) type Query<'a> = table::BoxedQuery<'a, AnyBackend>;

/// The orgs that the caller may see, and no others.
pub(super) fn visible<'a>(visibility: OrgVisibility) -> Query<'a> {
    let query = table::table.into_boxed::<AnyBackend>();
    let of = |query: Query<'a>, partner: PartnerId| {
        query.filter(table::partner_id.eq(partner.to_string()))
    };
    match visibility {
        OrgVisibility::All => query,
        OrgVisibility::Partner(partner) => of(query, partner),
        OrgVisibility::MadeBy(partner, key) => {
            of(query, partner).filter(table::created_by_key_id.eq(key.to_string()))
        }
        OrgVisibility::One(partner, id) => of(query, partner).filter(table::id.eq(id.to_string())),
    }
}
