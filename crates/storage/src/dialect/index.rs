//! The index of the log.

mod locks;
mod many;

use audit_log::{Page, Subject};
use diesel::{QueryResult, dsl, prelude::*};

pub(crate) use self::locks::{acquire, commit_lazily, release, wait_for_inflight};
use super::{
    same::{self, Fixed, Same},
    segments::{Bodies, bytes_position},
};
use crate::{
    connection::AnyConnection,
    schema::{audit_index_pages as pages, audit_index_runs as runs, audit_segments as segments},
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
    let question = runs::table
        .filter(runs::state.eq(LIVE))
        .filter(runs::last_slot.ge(first))
        .filter(runs::first_slot.le(last))
        .select((runs::id, runs::last_slot));
    same::ask(connection, question)
}

/// A stretch of last ids within a second.
pub(crate) struct Stretch {
    pub(crate) second: i64,
    pub(crate) from: Vec<u8>,
    pub(crate) below: Vec<u8>,
}

/// How many questions are best asked as one: where each goes over a network, a few.
pub(crate) const fn at_once(connection: &AnyConnection) -> usize {
    match connection {
        AnyConnection::Postgres(_) => 8,
        AnyConnection::Sqlite(_) => 1,
    }
}

/// The last segments in these stretches, the last of which comes first, with ids below one; those without
/// the subject perhaps left out: their last ids and bodies.
pub(crate) fn segments_within(
    connection: &mut AnyConnection,
    subject: &Subject,
    stretches: &[Stretch],
    below: &[u8],
    limit: i64,
) -> QueryResult<Bodies> {
    let sqlite = match connection {
        AnyConnection::Postgres(postgres) => {
            let within = many::SegmentsWithin::new(subject, stretches, below, limit);
            return within.load(postgres);
        }
        AnyConnection::Sqlite(sqlite) => sqlite,
    };
    let mut all = Bodies::new();
    for stretch in stretches {
        let left = limit.saturating_sub(i64::try_from(all.len()).unwrap_or(i64::MAX));
        let question = segments::table
            .filter(segments::second.eq(stretch.second))
            .filter(segments::last_id.ge(&stretch.from))
            .filter(segments::last_id.lt(stretch.below.as_slice().min(below)))
            .order(segments::last_id.desc())
            .select((segments::last_id, segments::body))
            .limit(left);
        all.append(&mut Same(question).load(sqlite)?);
    }
    Ok(all)
}

/// The numbers, last ids and bodies of segments.
type Numbered = Vec<(i64, Vec<u8>, Vec<u8>)>;

/// The last segments between two numbers, neither of them included, that begin below an id; those without
/// the subject perhaps left out: their numbers, last ids and bodies.
pub(crate) fn segments_before(
    connection: &mut AnyConnection,
    subject: &Subject,
    (above, below): (i64, i64),
    first_below: &[u8],
    limit: i64,
) -> QueryResult<Numbered> {
    let question = segments::table
        .filter(segments::number.gt(above))
        .filter(segments::number.lt(below))
        .filter(segments::first_id.lt(first_below))
        .order(segments::number.desc())
        .select((segments::number, segments::last_id, segments::body))
        .limit(limit);
    match connection {
        // What is not wanted need not come over the network.
        AnyConnection::Postgres(postgres) => {
            let mentions = bytes_position(segments::body, &subject[..]).gt(0);
            Same(question.filter(mentions)).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => Same(question).load(sqlite),
    }
}

/// Up to which number live runs cover all segments.
pub(crate) fn covered(connection: &mut AnyConnection) -> QueryResult<i64> {
    let question = runs::table
        .filter(runs::state.eq(LIVE))
        .select(dsl::max(runs::last_number));
    let last: Option<Option<i64>> = same::ask_one(connection, question)?;
    Ok(last.flatten().unwrap_or(0))
}

/// The highest number of a segment.
pub(crate) fn newest(connection: &mut AnyConnection) -> QueryResult<i64> {
    let question = segments::table.select(dsl::max(segments::number));
    let last: Option<Option<i64>> = same::ask_one(connection, question)?;
    Ok(last.flatten().unwrap_or(0))
}

/// Runs, what a page of each begins with, and the bodies of those.
type Pages = Vec<(i64, Vec<u8>, Vec<u8>)>;

/// The last page of each run that begins before a key, of those that have one.
pub(crate) fn pages_before(
    connection: &mut AnyConnection,
    runs: &[i64],
    key: &[u8],
) -> QueryResult<Pages> {
    let sqlite = match connection {
        AnyConnection::Postgres(postgres) => {
            return many::PagesBefore { runs, key }.load(postgres);
        }
        AnyConnection::Sqlite(sqlite) => sqlite,
    };
    let mut all = Vec::new();
    for run in runs {
        let question = pages::table
            .filter(pages::run.eq(run))
            .filter(pages::first.lt(key))
            .order(pages::first.desc())
            .select((pages::run, pages::first, pages::body))
            .limit(1);
        all.append(&mut Same(question).load(sqlite)?);
    }
    Ok(all)
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
    same::list(connection, question)
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
    same::list(connection, question)
}

/// The last id of the segment of a number.
pub(crate) fn last_id(connection: &mut AnyConnection, number: i64) -> QueryResult<Option<Vec<u8>>> {
    let question = segments::table.find(number).select(segments::last_id);
    same::ask_one(connection, question)
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
    same::ask(connection, question)
}

/// Adds a run that is being built; its id.
pub(crate) fn begin_run(connection: &mut AnyConnection) -> QueryResult<i64> {
    let run = diesel::insert_into(runs::table).values((
        runs::state.eq(BUILDING),
        runs::tier.eq(0),
        runs::first_number.eq(0),
        runs::last_number.eq(0),
        runs::first_slot.eq(0),
        runs::last_slot.eq(0),
        runs::pages.eq(0),
    ));
    match connection {
        AnyConnection::Postgres(postgres) => run.returning(runs::id).get_result(postgres),
        AnyConnection::Sqlite(sqlite) => {
            run.execute(sqlite)?;
            Fixed(diesel::select(last_insert_rowid())).get_result(sqlite)
        }
    }
}

/// Whether a run is being built.
pub(crate) fn is_building(connection: &mut AnyConnection, run: i64) -> QueryResult<bool> {
    let question = runs::table.find(run).select(runs::state);
    let state: Option<String> = same::ask_one(connection, question)?;
    Ok(state.is_some_and(|state| state == BUILDING))
}

/// Adds pages to a run.
pub(crate) fn add_pages(
    connection: &mut AnyConnection,
    run: i64,
    added: &[Page],
) -> QueryResult<()> {
    let rows = added.iter().map(|page| {
        let (first, body) = (pages::first.eq(&page.first), pages::body.eq(&page.body));
        (pages::run.eq(run), first, body)
    });
    match connection {
        AnyConnection::Postgres(postgres) => {
            let all = diesel::insert_into(pages::table).values(rows.collect::<Vec<_>>());
            all.execute(postgres)?;
        }
        AnyConnection::Sqlite(sqlite) => {
            for page in rows {
                let one = diesel::insert_into(pages::table).values(page);
                one.execute(sqlite)?;
            }
        }
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
    same::change(connection, change).map(drop)
}

/// Has a run count no more.
pub(crate) fn drop_run(connection: &mut AnyConnection, run: i64) -> QueryResult<()> {
    let change = diesel::update(runs::table.find(run)).set(runs::state.eq(DROPPED));
    same::change(connection, change).map(drop)
}

/// Gives up all runs that are being built.
pub(crate) fn drop_unfinished(connection: &mut AnyConnection) -> QueryResult<()> {
    let unfinished = runs::table.filter(runs::state.eq(BUILDING));
    let change = diesel::update(unfinished).set(runs::state.eq(DROPPED));
    same::change(connection, change).map(drop)
}

/// Gives up the live runs that cover no segment any more.
pub(crate) fn drop_empty(connection: &mut AnyConnection) -> QueryResult<()> {
    let covered =
        segments::table.filter(segments::number.between(runs::first_number, runs::last_number));
    let empty = runs::table
        .filter(runs::state.eq(LIVE))
        .filter(dsl::not(dsl::exists(covered)));
    let change = diesel::update(empty).set(runs::state.eq(DROPPED));
    same::change(connection, change).map(drop)
}

/// Lets no live run cover a number above this one: what comes next may get it.
pub(crate) fn uncover_above(connection: &mut AnyConnection, number: i64) -> QueryResult<()> {
    let beyond = runs::table
        .filter(runs::state.eq(LIVE))
        .filter(runs::last_number.gt(number));
    let change = diesel::update(beyond).set(runs::last_number.eq(number));
    same::change(connection, change).map(drop)
}

/// A dropped run, if there is one.
pub(crate) fn dropped(connection: &mut AnyConnection) -> QueryResult<Option<i64>> {
    let question = runs::table
        .filter(runs::state.eq(DROPPED))
        .select(runs::id)
        .limit(1);
    Ok(same::list(connection, question)?.pop())
}

/// Deletes some pages of a dropped run, and the run once it has none; whether it is gone.
pub(crate) fn gc(connection: &mut AnyConnection, run: i64, limit: i64) -> QueryResult<bool> {
    let some = pages::table
        .filter(pages::run.eq(run))
        .order(pages::first.asc())
        .select(pages::first)
        .limit(limit);
    let firsts: Vec<Vec<u8>> = same::list(connection, some)?;
    if let Some(last) = firsts.last() {
        let these = pages::table
            .filter(pages::run.eq(run))
            .filter(pages::first.le(last));
        same::change(connection, diesel::delete(these))?;
    }
    if i64::try_from(firsts.len()).unwrap_or(i64::MAX) == limit {
        return Ok(false);
    }
    let dropped = runs::table
        .filter(runs::id.eq(run))
        .filter(runs::state.eq(DROPPED));
    same::change(connection, diesel::delete(dropped))?;
    Ok(true)
}
