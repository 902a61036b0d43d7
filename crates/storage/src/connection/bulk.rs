//! Many rows in few statements: on PostgreSQL one for all of them, its values given as one array for
//! each column; on SQLite one prepared statement again and again.
//!
//! The texts of the statements are the same however many rows there are, so that they stay prepared. On
//! SQLite a text is not even put together again: that takes as long as the engine does.

use diesel::{
    QueryResult, RunQueryDsl, SqliteConnection,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, Text},
    sqlite::Sqlite,
};

use super::{AnyConnection, PgConnection};

/// The types that columns of bulk rows have.
pub(crate) mod kinds {
    use diesel::sql_types::Nullable;
    pub(crate) use diesel::sql_types::{BigInt as Number, Bool as Flag, Text};

    pub(crate) type OptionalText = Nullable<Text>;
    pub(crate) type OptionalNumber = Nullable<Number>;
}

/// One column of all rows.
pub(crate) enum Column<'a> {
    Text(Vec<&'a String>),
    OptionalText(Vec<&'a Option<String>>),
    Number(Vec<&'a i64>),
    OptionalNumber(Vec<&'a Option<i64>>),
    Flag(Vec<&'a bool>),
}

/// A row that is written together with others; [`bulk_row!`] implements it.
pub(crate) trait BulkRow: Sized {
    /// The names of its columns, separated by commas.
    const COLUMNS: &'static str;

    /// The columns of some rows.
    fn columns(rows: &[Self]) -> Vec<Column<'_>>;

    /// Adds its values to a statement, separated by commas.
    fn push_values<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()>;
}

/// A row that replaces parts of the row of its id; [`bulk_row!`] implements it.
pub(crate) trait BulkUpdate: BulkRow {
    /// Assigns to columns what those of the same name of `new` have, each with a comma behind.
    const ASSIGNMENTS: &'static str;

    /// Adds the same with its own values to a statement.
    fn push_assignments<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()>;
}

/// Names the columns of a row, their types and the fields that have their values.
///
/// With `set`, those columns are the ones that an update writes as they are.
macro_rules! bulk_row {
    ($row:ident {
        $first:ident: $first_kind:ident = $($first_field:ident).+,
        $($column:ident: $kind:ident = $($field:ident).+,)*
    }) => {
        impl $crate::connection::bulk::BulkRow for $row {
            const COLUMNS: &'static str =
                concat!(stringify!($first) $(, ", ", stringify!($column))*);

            fn columns(rows: &[Self]) -> Vec<$crate::connection::bulk::Column<'_>> {
                use $crate::connection::bulk::Column;
                vec![
                    Column::$first_kind(rows.iter().map(|row| &row.$($first_field).+).collect()),
                    $(Column::$kind(rows.iter().map(|row| &row.$($field).+).collect()),)*
                ]
            }

            fn push_values<'b>(
                &'b self,
                out: &mut diesel::query_builder::AstPass<'_, 'b, diesel::sqlite::Sqlite>,
            ) -> diesel::QueryResult<()> {
                use $crate::connection::bulk::kinds;
                out.push_bind_param::<kinds::$first_kind, _>(&self.$($first_field).+)?;
                $(
                    out.push_sql(", ");
                    out.push_bind_param::<kinds::$kind, _>(&self.$($field).+)?;
                )*
                Ok(())
            }
        }
    };
    ($row:ident {
        $($other:ident: $other_kind:ident = $($other_field:ident).+,)+
    } set {
        $($column:ident: $kind:ident = $($field:ident).+,)+
    }) => {
        $crate::connection::bulk::bulk_row!($row {
            $($other: $other_kind = $($other_field).+,)+
            $($column: $kind = $($field).+,)+
        });

        impl $crate::connection::bulk::BulkUpdate for $row {
            const ASSIGNMENTS: &'static str =
                concat!($(stringify!($column), " = new.", stringify!($column), ", "),+);

            fn push_assignments<'b>(
                &'b self,
                out: &mut diesel::query_builder::AstPass<'_, 'b, diesel::sqlite::Sqlite>,
            ) -> diesel::QueryResult<()> {
                use $crate::connection::bulk::kinds;
                $(
                    out.push_sql(concat!(stringify!($column), " = "));
                    out.push_bind_param::<kinds::$kind, _>(&self.$($field).+)?;
                    out.push_sql(", ");
                )+
                Ok(())
            }
        }
    };
}
pub(crate) use bulk_row;

/// A statement of PostgreSQL's around rows that are made of arrays.
pub(crate) struct Rows<'a> {
    before: &'static [&'static str],
    columns: Vec<Column<'a>>,
    after: &'static [&'static str],
}

impl<'a> Rows<'a> {
    /// The text before the rows and after them is given in parts.
    pub(crate) fn of<R: BulkRow>(
        before: &'static [&'static str],
        rows: &'a [R],
        after: &'static [&'static str],
    ) -> Self {
        Self {
            before,
            columns: R::columns(rows),
            after,
        }
    }
}

impl QueryFragment<Pg> for Rows<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for part in self.before {
            out.push_sql(part);
        }
        out.push_sql(" unnest(");
        for (n, column) in self.columns.iter().enumerate() {
            if n > 0 {
                out.push_sql(", ");
            }
            match column {
                Column::Text(all) => out.push_bind_param::<Array<Text>, _>(all)?,
                Column::OptionalText(all) => {
                    out.push_bind_param::<Array<kinds::OptionalText>, _>(all)?;
                }
                Column::Number(all) => out.push_bind_param::<Array<kinds::Number>, _>(all)?,
                Column::OptionalNumber(all) => {
                    out.push_bind_param::<Array<kinds::OptionalNumber>, _>(all)?;
                }
                Column::Flag(all) => out.push_bind_param::<Array<kinds::Flag>, _>(all)?,
            }
        }
        out.push_sql(") ");
        for part in self.after {
            out.push_sql(part);
        }
        Ok(())
    }
}

// It is kept prepared under its text, which is made of its parts and of how many columns there are.
impl QueryId for Rows<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// What such a statement answers with: ids.
impl Query for Rows<'_> {
    type SqlType = Text;
}

impl RunQueryDsl<PgConnection> for Rows<'_> {}

/// A row that is inserted together with others.
pub(crate) trait BulkInsert: BulkRow + 'static {
    /// The table.
    const TABLE: &'static str;
    /// What becomes of a row that is there already; nothing when that is an error.
    const ON_CONFLICT: &'static str = "";
}

/// The texts of the insertion of a row.
struct Texts<R>(R);

impl<R: BulkInsert> Texts<R> {
    const BEFORE: &'static [&'static str] = &["INSERT INTO ", R::TABLE, " (", R::COLUMNS, ")"];
    const FROM: &'static [&'static str] = &[
        "INSERT INTO ",
        R::TABLE,
        " (",
        R::COLUMNS,
        ") SELECT * FROM",
    ];
    const AFTER: &'static [&'static str] = &["AS new (", R::COLUMNS, ")", R::ON_CONFLICT];
}

/// Adds rows.
pub(crate) fn insert<R: BulkInsert>(connection: &mut AnyConnection, rows: &[R]) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match connection {
        AnyConnection::Postgres(postgres) => {
            Rows::of(Texts::<R>::FROM, rows, Texts::<R>::AFTER).execute(postgres)?;
        }
        AnyConnection::Sqlite(sqlite) => {
            for row in rows {
                insert_one(sqlite, row)?;
            }
        }
    }
    Ok(())
}

/// Adds a row to an SQLite file; how many were added.
pub(crate) fn insert_one<R: BulkInsert>(
    sqlite: &mut SqliteConnection,
    row: &R,
) -> QueryResult<usize> {
    InsertOne(row).execute(sqlite)
}

struct InsertOne<'a, R>(&'a R);

impl<R: BulkInsert> QueryFragment<Sqlite> for InsertOne<'_, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        for part in Texts::<R>::BEFORE {
            out.push_sql(part);
        }
        out.push_sql(" VALUES (");
        self.0.push_values(&mut out)?;
        out.push_sql(")");
        out.push_sql(R::ON_CONFLICT);
        Ok(())
    }
}

impl<R: BulkInsert> QueryId for InsertOne<'_, R> {
    type QueryId = InsertOne<'static, R>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<R> RunQueryDsl<SqliteConnection> for InsertOne<'_, R> {}
