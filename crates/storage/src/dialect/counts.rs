//! How many live orgs there are: on PostgreSQL one question for many, on SQLite one for each.

use diesel::{QueryResult, dsl::count_star, prelude::*};

use super::same::Same;
use crate::{connection::AnyConnection, orgs::is_live, schema::orgs};

/// How many rows of orgs each id is found in that are not deleted; ids without any are left out.
macro_rules! live_orgs {
    ($(#[$doc:meta])* $name:ident, $of:ident) => {
        $(#[$doc])*
        pub(crate) fn $name(
            connection: &mut AnyConnection,
            ids: &[String],
        ) -> QueryResult<Vec<(String, i64)>> {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let live = orgs::table.filter(is_live());
            match connection {
                AnyConnection::Postgres(postgres) => Same(
                    live.filter(orgs::$of.eq_any(ids))
                        .group_by(orgs::$of)
                        .select((orgs::$of, count_star())),
                )
                .load(postgres),
                AnyConnection::Sqlite(sqlite) => ids
                    .iter()
                    .map(|id| {
                        let its = live.clone().filter(orgs::$of.eq(id)).select(count_star());
                        Ok((id.clone(), Same(its).get_result(sqlite)?))
                    })
                    .collect(),
            }
        }
    };
}

live_orgs!(
    /// The orgs of partners.
    live_orgs_of_partners, partner_id
);
live_orgs!(
    /// The orgs that keys have made.
    live_orgs_of_keys, created_by_key_id
);
