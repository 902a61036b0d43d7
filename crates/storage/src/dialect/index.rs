//! The index of the log, which SQLite alone has.

use diesel::{QueryResult, SqliteConnection, dsl, prelude::*, result};

use super::{
    same::{Fixed, Same},
    segments::Bodies,
};
use crate::{
    connection::AnyConnection,
    events::index::Page,
    schema::{audit_index_pages as pages, audit_index_runs as runs, numbered_segments as segments},
};

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

/// A segment that is to be covered.
#[derive(Debug, Queryable)]
pub(crate) struct Uncovered {
    pub(crate) number: i64,
    pub(crate) last_id: Vec<u8>,
    pub(crate) events: i64,
    pub(crate) body: Vec<u8>,
}

/// Whether segments are found by an index that is made behind them, and not by mentions.
pub(crate) const fn is_indexed(connection: &AnyConnection) -> bool {
    matches!(connection, AnyConnection::Sqlite(_))
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// The id that the engine gave to the last row that was added with none.
    fn last_insert_rowid() -> diesel::sql_types::BigInt;
}

fn sqlite(connection: &mut AnyConnection) -> QueryResult<&mut SqliteConnection> {
    match connection {
        AnyConnection::Sqlite(sqlite) => Ok(sqlite),
        AnyConnection::Postgres(_) => {
            let message = "PostgreSQL has no such index".into();
            Err(result::Error::QueryBuilderError(message))
        }
    }
}

/// The live runs that have segments between two slots, and their last slots.
pub(crate) fn live(
    connection: &mut AnyConnection,
    first: i64,
    last: i64,
) -> QueryResult<Vec<(i64, i64)>> {
    let question = runs::table
        .filter(runs::state.eq(LIVE))
        .filter(runs::last_slot.ge(first))
        .filter(runs::first_slot.le(last))
        .select((runs::id, runs::last_slot));
    Fixed(question).load(sqlite(connection)?)
}

/// The last segments of a second whose last ids are not below one and are below another: their last ids
/// and bodies.
pub(crate) fn segments_within(
    connection: &mut AnyConnection,
    second: i64,
    from: &[u8],
    below: &[u8],
    limit: i64,
) -> QueryResult<Bodies> {
    let question = segments::table
        .filter(segments::second.eq(second))
        .filter(segments::last_id.ge(from))
        .filter(segments::last_id.lt(below))
        .order(segments::last_id.desc())
        .select((segments::last_id, segments::body))
        .limit(limit);
    Same(question).load(sqlite(connection)?)
}

/// The numbers, last ids and bodies of segments.
type Numbered = Vec<(i64, Vec<u8>, Vec<u8>)>;

/// The last segments between two numbers, neither of them included: their numbers, last ids and bodies.
pub(crate) fn segments_before(
    connection: &mut AnyConnection,
    above: i64,
    below: i64,
    limit: i64,
) -> QueryResult<Numbered> {
    let question = segments::table
        .filter(segments::number.gt(above))
        .filter(segments::number.lt(below))
        .order(segments::number.desc())
        .select((segments::number, segments::last_id, segments::body))
        .limit(limit);
    Same(question).load(sqlite(connection)?)
}

/// Up to which number live runs cover all segments.
pub(crate) fn covered(connection: &mut AnyConnection) -> QueryResult<i64> {
    let question = runs::table
        .filter(runs::state.eq(LIVE))
        .select(dsl::max(runs::last_number));
    let last: Option<i64> = Fixed(question).get_result(sqlite(connection)?)?;
    Ok(last.unwrap_or(0))
}

/// The highest number of a segment.
pub(crate) fn newest(connection: &mut AnyConnection) -> QueryResult<i64> {
    let question = segments::table.select(dsl::max(segments::number));
    let last: Option<i64> = Fixed(question).get_result(sqlite(connection)?)?;
    Ok(last.unwrap_or(0))
}

/// The last page of a run that begins before a key, or with it when that is included.
pub(crate) fn page_before(
    connection: &mut AnyConnection,
    run: i64,
    key: &[u8],
    included: bool,
) -> QueryResult<Option<(Vec<u8>, Vec<u8>)>> {
    let question = pages::table
        .filter(pages::run.eq(run))
        .order(pages::first.desc())
        .select((pages::first, pages::body))
        .limit(1);
    let connection = sqlite(connection)?;
    if included {
        Same(question.filter(pages::first.le(key))).get_result(connection)
    } else {
        Same(question.filter(pages::first.lt(key))).get_result(connection)
    }
    .optional()
}

/// Some pages of a run after a key, in their order.
pub(crate) fn pages_after(
    connection: &mut AnyConnection,
    run: i64,
    key: &[u8],
    limit: i64,
) -> QueryResult<Vec<(Vec<u8>, Vec<u8>)>> {
    let question = pages::table
        .filter(pages::run.eq(run))
        .filter(pages::first.gt(key))
        .order(pages::first.asc())
        .select((pages::first, pages::body))
        .limit(limit);
    Same(question).load(sqlite(connection)?)
}

/// The first segments after a number.
pub(crate) fn segments_after(
    connection: &mut AnyConnection,
    number: i64,
    limit: i64,
) -> QueryResult<Vec<Uncovered>> {
    let question = segments::table
        .filter(segments::number.gt(number))
        .order(segments::number.asc())
        .select((
            segments::number,
            segments::last_id,
            segments::events,
            segments::body,
        ))
        .limit(limit);
    Same(question).load(sqlite(connection)?)
}

/// The last id of the segment of a number.
pub(crate) fn last_id(connection: &mut AnyConnection, number: i64) -> QueryResult<Option<Vec<u8>>> {
    let question = segments::table.find(number).select(segments::last_id);
    Fixed(question).get_result(sqlite(connection)?).optional()
}

/// The live runs, in the order of what they cover.
pub(crate) fn runs(connection: &mut AnyConnection) -> QueryResult<Vec<Run>> {
    let columns = (
        runs::id,
        runs::tier,
        runs::first_number,
        runs::last_number,
        runs::first_slot,
        runs::last_slot,
        runs::pages,
    );
    let question = runs::table
        .filter(runs::state.eq(LIVE))
        .order(runs::last_number.asc())
        .select(columns);
    Fixed(question).load(sqlite(connection)?)
}

/// Adds a run that is being built; its id.
pub(crate) fn begin_run(connection: &mut AnyConnection) -> QueryResult<i64> {
    let connection = sqlite(connection)?;
    diesel::insert_into(runs::table)
        .values((
            runs::state.eq(BUILDING),
            runs::tier.eq(0),
            runs::first_number.eq(0),
            runs::last_number.eq(0),
            runs::first_slot.eq(0),
            runs::last_slot.eq(0),
            runs::pages.eq(0),
        ))
        .execute(connection)?;
    Fixed(diesel::select(last_insert_rowid())).get_result(connection)
}

/// Whether a run is being built.
pub(crate) fn is_building(connection: &mut AnyConnection, run: i64) -> QueryResult<bool> {
    let question = runs::table.find(run).select(runs::state);
    let state: Option<String> = Fixed(question).get_result(sqlite(connection)?).optional()?;
    Ok(state.is_some_and(|state| state == BUILDING))
}

/// Adds pages to a run.
pub(crate) fn add_pages(
    connection: &mut AnyConnection,
    run: i64,
    added: &[Page],
) -> QueryResult<()> {
    let connection = sqlite(connection)?;
    for page in added {
        diesel::insert_into(pages::table)
            .values((
                pages::run.eq(run),
                pages::first.eq(&page.first),
                pages::body.eq(&page.body),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// Has a run that was built count.
pub(crate) fn end_run(connection: &mut AnyConnection, run: &Run) -> QueryResult<()> {
    let change = diesel::update(runs::table.find(run.id)).set((
        runs::state.eq(LIVE),
        runs::tier.eq(run.tier),
        runs::first_number.eq(run.first_number),
        runs::last_number.eq(run.last_number),
        runs::first_slot.eq(run.first_slot),
        runs::last_slot.eq(run.last_slot),
        runs::pages.eq(run.pages),
    ));
    Same(change).execute(sqlite(connection)?).map(drop)
}

/// Has a run count no more.
pub(crate) fn drop_run(connection: &mut AnyConnection, run: i64) -> QueryResult<()> {
    let change = diesel::update(runs::table.find(run)).set(runs::state.eq(DROPPED));
    Same(change).execute(sqlite(connection)?).map(drop)
}

/// Gives up all runs that are being built.
pub(crate) fn drop_unfinished(connection: &mut AnyConnection) -> QueryResult<()> {
    let unfinished = runs::table.filter(runs::state.eq(BUILDING));
    let change = diesel::update(unfinished).set(runs::state.eq(DROPPED));
    Same(change).execute(sqlite(connection)?).map(drop)
}

/// Gives up the live runs that cover no segment any more.
pub(crate) fn drop_empty(connection: &mut AnyConnection) -> QueryResult<()> {
    let covered =
        segments::table.filter(segments::number.between(runs::first_number, runs::last_number));
    let empty = runs::table
        .filter(runs::state.eq(LIVE))
        .filter(dsl::not(dsl::exists(covered)));
    let change = diesel::update(empty).set(runs::state.eq(DROPPED));
    Same(change).execute(sqlite(connection)?).map(drop)
}

/// Lets no live run cover a number above this one: what comes next may get it.
pub(crate) fn uncover_above(connection: &mut AnyConnection, number: i64) -> QueryResult<()> {
    let beyond = runs::table
        .filter(runs::state.eq(LIVE))
        .filter(runs::last_number.gt(number));
    let change = diesel::update(beyond).set(runs::last_number.eq(number));
    Same(change).execute(sqlite(connection)?).map(drop)
}

/// A dropped run, if there is one.
pub(crate) fn dropped(connection: &mut AnyConnection) -> QueryResult<Option<i64>> {
    let question = runs::table
        .filter(runs::state.eq(DROPPED))
        .select(runs::id)
        .limit(1);
    Same(question).get_result(sqlite(connection)?).optional()
}

/// Deletes some pages of a dropped run, and the run once it has none; whether it is gone.
pub(crate) fn clear(connection: &mut AnyConnection, run: i64, limit: i64) -> QueryResult<bool> {
    let connection = sqlite(connection)?;
    let some = pages::table
        .filter(pages::run.eq(run))
        .select(pages::id)
        .limit(limit);
    let ids: Vec<i64> = Same(some).load(connection)?;
    for id in &ids {
        diesel::delete(pages::table.find(id)).execute(connection)?;
    }
    if i64::try_from(ids.len()).unwrap_or(i64::MAX) == limit {
        return Ok(false);
    }
    let dropped = runs::table
        .filter(runs::id.eq(run))
        .filter(runs::state.eq(DROPPED));
    diesel::delete(dropped).execute(connection)?;
    Ok(true)
}
