//! The runs of the index, and what they cover.

use diesel::{QueryResult, dsl, prelude::*};

use crate::{
    connection::{
        AnyConnection,
        prepared::{self, PreparedByType},
    },
    tables::audit_segments::{self, audit_segments as segments},
};

diesel::table! {
    audit_index_runs (id) {
        id -> BigInt,
        state -> Text,
        tier -> BigInt,
        first_number -> BigInt,
        last_number -> BigInt,
        first_slot -> BigInt,
        last_slot -> BigInt,
        pages -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(audit_index_runs, segments);

const BUILDING: &str = "building";
const LIVE: &str = "live";
const DROPPED: &str = "dropped";

/// A run of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub(crate) struct Run {
    pub(crate) id: i64,
    /// How often what it has was merged.
    pub(crate) tier: i64,
    /// The numbers of the segments that it covers.
    pub(crate) first_number: i64,
    pub(crate) last_number: i64,
    /// The slots that they are in.
    pub(crate) first_slot: i64,
    pub(crate) last_slot: i64,
    /// How many pages it has.
    pub(crate) pages: i64,
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// The id that the engine gave to the last row that was added with none.
    fn last_insert_rowid() -> diesel::sql_types::BigInt;
}

/// The live runs that have segments between two slots, and their last slots.
pub(crate) fn live(
    connection: &mut AnyConnection,
    first: i64,
    last: i64,
) -> QueryResult<Vec<(i64, i64)>> {
    let question = audit_index_runs::table
        .filter(audit_index_runs::state.eq(LIVE))
        .filter(audit_index_runs::last_slot.ge(first))
        .filter(audit_index_runs::first_slot.le(last))
        .select((audit_index_runs::id, audit_index_runs::last_slot));
    prepared::load_by_type(connection, question)
}

/// Up to which number live runs cover all segments.
pub(crate) fn covered(connection: &mut AnyConnection) -> QueryResult<i64> {
    let question = audit_index_runs::table
        .filter(audit_index_runs::state.eq(LIVE))
        .select(dsl::max(audit_index_runs::last_number));
    let last: Option<Option<i64>> = prepared::first_by_type(connection, question)?;
    Ok(last.flatten().unwrap_or(0))
}

/// The live runs, in the order of what they cover.
pub(crate) fn runs(connection: &mut AnyConnection) -> QueryResult<Vec<Run>> {
    let columns = (
        audit_index_runs::id,
        audit_index_runs::tier,
        audit_index_runs::first_number,
        audit_index_runs::last_number,
        audit_index_runs::first_slot,
        audit_index_runs::last_slot,
        audit_index_runs::pages,
    );
    let question = audit_index_runs::table
        .filter(audit_index_runs::state.eq(LIVE))
        .order(audit_index_runs::last_number.asc())
        .select(columns);
    prepared::load_by_type(connection, question)
}

/// Adds a run that is being built; its id.
pub(crate) fn begin_run(connection: &mut AnyConnection) -> QueryResult<i64> {
    let run = diesel::insert_into(audit_index_runs::table).values((
        audit_index_runs::state.eq(BUILDING),
        audit_index_runs::tier.eq(0),
        audit_index_runs::first_number.eq(0),
        audit_index_runs::last_number.eq(0),
        audit_index_runs::first_slot.eq(0),
        audit_index_runs::last_slot.eq(0),
        audit_index_runs::pages.eq(0),
    ));
    match connection {
        AnyConnection::Postgres(postgres) => {
            run.returning(audit_index_runs::id).get_result(postgres)
        }
        AnyConnection::Sqlite(sqlite) => {
            run.execute(sqlite)?;
            PreparedByType(diesel::select(last_insert_rowid())).get_result(sqlite)
        }
    }
}

/// Whether a run is being built.
pub(crate) fn is_building(connection: &mut AnyConnection, run: i64) -> QueryResult<bool> {
    let question = audit_index_runs::table
        .find(run)
        .select(audit_index_runs::state);
    let state: Option<String> = prepared::first_by_type(connection, question)?;
    Ok(state.is_some_and(|state| state == BUILDING))
}

/// Has a run that was built count.
pub(crate) fn end_run(connection: &mut AnyConnection, run: &Run) -> QueryResult<()> {
    let change = diesel::update(audit_index_runs::table.find(run.id)).set((
        audit_index_runs::state.eq(LIVE),
        audit_index_runs::tier.eq(run.tier),
        audit_index_runs::first_number.eq(run.first_number),
        audit_index_runs::last_number.eq(run.last_number),
        audit_index_runs::first_slot.eq(run.first_slot),
        audit_index_runs::last_slot.eq(run.last_slot),
        audit_index_runs::pages.eq(run.pages),
    ));
    prepared::execute(connection, change).map(drop)
}

/// Has a run count no more.
pub(crate) fn drop_run(connection: &mut AnyConnection, run: i64) -> QueryResult<()> {
    let change =
        diesel::update(audit_index_runs::table.find(run)).set(audit_index_runs::state.eq(DROPPED));
    prepared::execute(connection, change).map(drop)
}

/// Gives up all runs that are being built.
pub(crate) fn drop_unfinished(connection: &mut AnyConnection) -> QueryResult<()> {
    let unfinished = audit_index_runs::table.filter(audit_index_runs::state.eq(BUILDING));
    let change = diesel::update(unfinished).set(audit_index_runs::state.eq(DROPPED));
    prepared::execute(connection, change).map(drop)
}

/// Gives up the live runs that cover no segment any more.
pub(crate) fn drop_empty(connection: &mut AnyConnection) -> QueryResult<()> {
    let covered = segments::table.filter(segments::number.between(
        audit_index_runs::first_number,
        audit_index_runs::last_number,
    ));
    let empty = audit_index_runs::table
        .filter(audit_index_runs::state.eq(LIVE))
        .filter(dsl::not(dsl::exists(covered)));
    let change = diesel::update(empty).set(audit_index_runs::state.eq(DROPPED));
    prepared::execute(connection, change).map(drop)
}

/// Lets no live run cover a number above this one: what comes next may get it.
fn uncover_above(connection: &mut AnyConnection, number: i64) -> QueryResult<()> {
    let beyond = audit_index_runs::table
        .filter(audit_index_runs::state.eq(LIVE))
        .filter(audit_index_runs::last_number.gt(number));
    let change = diesel::update(beyond).set(audit_index_runs::last_number.eq(number));
    prepared::execute(connection, change).map(drop)
}

/// A dropped run, if there is one.
pub(crate) fn dropped(connection: &mut AnyConnection) -> QueryResult<Option<i64>> {
    let question = audit_index_runs::table
        .filter(audit_index_runs::state.eq(DROPPED))
        .select(audit_index_runs::id)
        .limit(1);
    Ok(prepared::load(connection, question)?.pop())
}

/// Deletes a segment, and lets no run cover its number where the next one may get it.
pub(crate) fn delete_segment(
    connection: &mut AnyConnection,
    second: i64,
    last_id: &[u8],
) -> QueryResult<()> {
    let it = segments::table
        .filter(segments::second.eq(second))
        .filter(segments::last_id.eq(last_id));
    if matches!(connection, AnyConnection::Postgres(_)) {
        return diesel::delete(it).execute(connection).map(drop);
    }
    let newest = audit_segments::newest(connection)?;
    diesel::delete(it).execute(connection)?;
    // SQLite gives the number of the newest again.
    let left = audit_segments::newest(connection)?;
    if newest != left {
        uncover_above(connection, left)?;
    }
    Ok(())
}

/// Deletes a dropped run.
pub(super) fn delete(connection: &mut AnyConnection, run: i64) -> QueryResult<()> {
    let dropped = audit_index_runs::table
        .filter(audit_index_runs::id.eq(run))
        .filter(audit_index_runs::state.eq(DROPPED));
    prepared::execute(connection, diesel::delete(dropped)).map(drop)
}
