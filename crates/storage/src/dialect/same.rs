//! Statements that are prepared once for each connection.
//!
//! Diesel prepares every update, every upsert and, through the enum of both engines, every question
//! with a limit anew, since the text of such a statement may be another one each time. Those that are
//! given to these functions have the same text each time, or one of a few, and stay prepared under it.

use diesel::{
    QueryResult, SqliteConnection,
    backend::Backend,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    query_dsl::methods::LoadQuery,
    sql_types::Integer,
    sqlite::Sqlite,
};

use crate::connection::{AnyConnection, PgConnection};

/// A statement whose text is the same each time.
pub(crate) struct Same<Q>(pub(crate) Q);

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Same<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

// The cache then knows it by its text, never by its type alone: an insertion of one type leaves out
// the columns that have no value, and has more than one text.
impl<Q> QueryId for Same<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Same<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Same<Q> {}

/// A question whose text its type alone tells: no value makes it another one. It is looked up by its type,
/// and its text is not even made.
pub(crate) struct Fixed<Q>(pub(crate) Q);

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Fixed<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q: QueryId> QueryId for Fixed<Q> {
    type QueryId = Fixed<Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = {
        assert!(Q::HAS_STATIC_QUERY_ID, "the text of this question varies");
        true
    };
}

impl<Q: Query> Query for Fixed<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Fixed<Q> {}

/// The columns that a row is made of, whatever the engine.
pub(crate) fn columns<R: Selectable<Sqlite>>() -> R::SelectExpression {
    R::construct_selection()
}

/// A change that answers with a row for each that it met. On PostgreSQL diesel asks a reference to what it
/// executes whether that may stay prepared, and so never comes to [`Same`]; what it loads, it asks itself.
struct Counted<Q>(Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Counted<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(" RETURNING 1");
        Ok(())
    }
}

impl<Q> Query for Counted<Q> {
    type SqlType = Integer;
}

/// Makes a change; tells how many rows it met.
pub(crate) fn change<Q>(connection: &mut AnyConnection, statement: Q) -> QueryResult<usize>
where
    Q: QueryFragment<Pg> + QueryFragment<Sqlite>,
{
    match connection {
        AnyConnection::Postgres(postgres) => {
            let met: Vec<i32> = Same(Counted(statement)).load(postgres)?;
            Ok(met.len())
        }
        AnyConnection::Sqlite(sqlite) => Same(statement).execute(sqlite),
    }
}

/// Asks a question whose text is the same each time, or one of a few.
pub(crate) fn list<'q, Q, T>(connection: &mut AnyConnection, question: Q) -> QueryResult<Vec<T>>
where
    Same<Q>: LoadQuery<'q, PgConnection, T> + LoadQuery<'q, SqliteConnection, T>,
{
    match connection {
        AnyConnection::Postgres(postgres) => Same(question).load(postgres),
        AnyConnection::Sqlite(sqlite) => Same(question).load(sqlite),
    }
}

/// Asks a question, which must be [`Fixed`].
pub(crate) fn ask<'q, Q, T>(connection: &mut AnyConnection, question: Q) -> QueryResult<Vec<T>>
where
    Fixed<Q>: LoadQuery<'q, PgConnection, T> + LoadQuery<'q, SqliteConnection, T>,
{
    match connection {
        AnyConnection::Postgres(postgres) => Fixed(question).load(postgres),
        AnyConnection::Sqlite(sqlite) => Fixed(question).load(sqlite),
    }
}

/// Asks a question that one row answers, or none; it must be [`Fixed`].
pub(crate) fn ask_one<'q, Q, T>(
    connection: &mut AnyConnection,
    question: Q,
) -> QueryResult<Option<T>>
where
    Fixed<Q>: LoadQuery<'q, PgConnection, T> + LoadQuery<'q, SqliteConnection, T>,
{
    Ok(ask(connection, question)?.pop())
}

#[cfg(test)]
mod tests {
    use stores::StoreError;

    use super::*;
    use crate::{Writing, migrate, schema::meta, session::Session};

    #[derive(diesel::QueryableByName)]
    struct Prepared {
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
            session.run(|connection| change(connection, named.set(meta::value.eq("1"))))
        };
        assert_eq!(run("nobody's").unwrap(), 0);
        assert_eq!(run("nobody's either").unwrap(), 0);
        let added = diesel::insert_into(meta::table);
        let added = added.values((meta::name.eq("ours"), meta::value.eq("0")));
        let added = session.run(|connection| change(connection, added));
        assert_eq!(added.unwrap(), 1);
        let prepared: Vec<Prepared> = session
            .run(|connection| {
                diesel::sql_query("SELECT statement FROM pg_prepared_statements").load(connection)
            })
            .unwrap();
        let updates = prepared.iter().filter(|it| it.text.starts_with("UPDATE"));
        assert_eq!(updates.count(), 1);
    }
}
