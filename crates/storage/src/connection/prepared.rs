//! Statements that are prepared once for each connection.
//!
//! Diesel prepares every update, every upsert and, through the enum of both engines, every query
//! with a limit anew, since the text of such a statement may be another one each time. Those that are
//! given to these functions have the same text each time, or one of a few, and stay prepared under it.

use diesel::{
    QueryResult, SqliteConnection,
    backend::Backend,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    query_dsl::methods::LoadQuery,
    sqlite::Sqlite,
};

use super::{AnyConnection, PgConnection};

/// A statement whose text is the same each time.
pub(crate) struct Prepared<Q>(pub(crate) Q);

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

// The cache then knows it by its text, never by its type alone: an insertion of one type leaves out
// the columns that have no value, and has more than one text.
impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Prepared<Q> {}

/// A query whose text its type alone tells: no value makes it another one. It is found by its type, and its
/// text is not even made.
pub(crate) struct PreparedByType<Q>(pub(crate) Q);

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for PreparedByType<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q: QueryId> QueryId for PreparedByType<Q> {
    type QueryId = PreparedByType<Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = {
        assert!(Q::HAS_STATIC_QUERY_ID, "the text of this query varies");
        true
    };
}

impl<Q: Query> Query for PreparedByType<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for PreparedByType<Q> {}

/// The columns that a row is made of, whatever the engine.
pub(crate) fn columns<R: Selectable<Sqlite>>() -> R::SelectExpression {
    R::construct_selection()
}

/// Runs a change whose text is the same each time, or one of a few; tells how many rows it met.
pub(crate) fn execute<Q>(connection: &mut AnyConnection, statement: Q) -> QueryResult<usize>
where
    Q: QueryFragment<Pg> + QueryFragment<Sqlite>,
{
    on_both!(connection, |inner| Prepared(statement).execute(inner))
}

/// Runs a query whose text is the same each time, or one of a few.
pub(crate) fn load<'q, Q, T>(connection: &mut AnyConnection, query: Q) -> QueryResult<Vec<T>>
where
    Prepared<Q>: LoadQuery<'q, PgConnection, T> + LoadQuery<'q, SqliteConnection, T>,
{
    on_both!(connection, |inner| Prepared(query).load(inner))
}

/// Runs a query, which must be [`PreparedByType`].
pub(crate) fn load_by_type<'q, Q, T>(
    connection: &mut AnyConnection,
    query: Q,
) -> QueryResult<Vec<T>>
where
    PreparedByType<Q>: LoadQuery<'q, PgConnection, T> + LoadQuery<'q, SqliteConnection, T>,
{
    on_both!(connection, |inner| PreparedByType(query).load(inner))
}

/// Runs a query that one row answers, or none; it must be [`PreparedByType`].
pub(crate) fn first_by_type<'q, Q, T>(
    connection: &mut AnyConnection,
    query: Q,
) -> QueryResult<Option<T>>
where
    PreparedByType<Q>: LoadQuery<'q, PgConnection, T> + LoadQuery<'q, SqliteConnection, T>,
{
    Ok(load_by_type(connection, query)?.pop())
}

#[cfg(test)]
mod tests {
    use stores::StoreError;

    use super::*;
    use crate::{Writing, migrate, session::Session};

    diesel::table! {
        meta (name) {
            name -> Text,
            value -> Text,
        }
    }

    #[derive(diesel::QueryableByName)]
    struct Listed {
        #[diesel(sql_type = diesel::sql_types::Text, column_name = statement)]
        text: String,
    }

    #[test]
    fn a_change_stays_prepared_and_tells_how_many_rows_it_met() {
        let Some(server) = testkit::postgres::Server::shared() else {
            return;
        };
        let url = server.new_database().parse().unwrap();
        migrate(&url).unwrap();
        let mut session = Session::<Writing>::connect(&url).unwrap();
        let mut run = |name: &str| -> Result<usize, StoreError> {
            let named = diesel::update(meta::table.filter(meta::name.eq(name)));
            session.run(|connection| execute(connection, named.set(meta::value.eq("1"))))
        };
        assert_eq!(run("nobody's").unwrap(), 0);
        assert_eq!(run("nobody's either").unwrap(), 0);
        let added = diesel::insert_into(meta::table);
        let added = added.values((meta::name.eq("ours"), meta::value.eq("0")));
        let added = session.run(|connection| execute(connection, added));
        assert_eq!(added.unwrap(), 1);
        let prepared: Vec<Listed> = session
            .run(|connection| {
                diesel::sql_query("SELECT statement FROM pg_prepared_statements").load(connection)
            })
            .unwrap();
        let updates = prepared.iter().filter(|it| it.text.starts_with("UPDATE"));
        assert_eq!(updates.count(), 1);
    }
}
