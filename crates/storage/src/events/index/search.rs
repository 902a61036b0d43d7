//! Looking for the segments that mention a subject, from the newest on.

use ids::Ulid;
use stores::StoreError;

use super::{
    super::segment::{Subject, ulid},
    page::{key, slots_of},
    posting::Slot,
};
use crate::{dialect, session::Session, values};

/// How many slots may lie between two segments that no run covers, so that they are read by one
/// question: a second.
const NEAR: u64 = 125;

/// Ids between which segments end that may mention the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Stretch {
    pub(in super::super) lowest: Ulid,
    pub(in super::super) highest: Ulid,
}

/// A search: what is left of what may have segments of the subject.
#[derive(Debug)]
pub(in super::super) struct Search {
    whom: Subject,
    /// The slots in which the segments must be.
    first: Slot,
    last: Slot,
    /// Segments that no run covers, the newest last.
    uncovered: Vec<(Slot, Slot)>,
    /// Runs that have not been looked into, by their last slots.
    runs: Vec<Run>,
    /// What the others have.
    found: Vec<Found>,
}

#[derive(Debug)]
struct Run {
    id: i64,
    last: Slot,
}

/// What a run has for the subject.
#[derive(Debug)]
struct Found {
    run: i64,
    /// The slots of the page that was read last, the newest last; never empty.
    slots: Vec<Slot>,
    /// The key below which there may be a page with more.
    below: Option<Vec<u8>>,
}

impl Search {
    /// Begins to look for segments whose last ids lie between two.
    pub(in super::super) fn begin<M>(
        session: &mut Session<M>,
        whom: Subject,
        from: Ulid,
        to: Ulid,
    ) -> Result<Self, StoreError> {
        let (first, last) = (Slot::of(from), Slot::of(to));
        let runs = session
            .run(|connection| dialect::index::live(connection, number(first), number(last)))?;
        let mut runs: Vec<Run> = runs
            .into_iter()
            .map(|(id, last)| {
                Ok(Run {
                    id,
                    last: slot(last)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        runs.sort_unstable_by_key(|run| run.last);
        let uncovered = session.run(dialect::index::uncovered)?;
        let mut slots: Vec<Slot> = uncovered
            .into_iter()
            .map(|id| <[u8; 16]>::try_from(id).map(ulid).map(Slot::of))
            .collect::<Result<_, _>>()
            .map_err(|_| values::corrupt("the id of a segment"))?;
        slots.retain(|slot| (first..=last).contains(slot));
        slots.sort_unstable();
        let near = |one: &Slot, next: &Slot| next.number() - one.number() <= NEAR;
        let uncovered = slots
            .chunk_by(near)
            .filter_map(|slots| Some((*slots.first()?, *slots.last()?)))
            .collect();
        Ok(Self {
            whom,
            first,
            last,
            uncovered,
            runs,
            found: Vec::new(),
        })
    }

    /// The next stretch of ids, downwards; those that are left end below.
    pub(in super::super) fn next<M>(
        &mut self,
        session: &mut Session<M>,
    ) -> Result<Option<Stretch>, StoreError> {
        loop {
            let newest_found = self
                .found
                .iter()
                .filter_map(|found| found.slots.last())
                .max();
            let newest_found = newest_found.copied();
            let newest_uncovered = self.uncovered.last().map(|(_, last)| *last);
            let newest = newest_found.max(newest_uncovered);
            if let Some(run) = self
                .runs
                .pop_if(|run| newest.is_none_or(|slot| run.last >= slot))
            {
                let key = key(&(self.whom, self.last));
                let found = self.look_into(session, run.id, &key, true)?;
                self.found.extend(found);
                continue;
            }
            let Some(newest) = newest else {
                return Ok(None);
            };
            if newest_uncovered == Some(newest)
                && let Some((first, last)) = self.uncovered.pop()
            {
                return Ok(Some(Stretch {
                    lowest: first.lowest(),
                    highest: last.highest(),
                }));
            }
            self.take(session, newest)?;
            return Ok(Some(Stretch {
                lowest: newest.lowest(),
                highest: newest.highest(),
            }));
        }
    }

    /// Takes a slot from whoever has it.
    fn take<M>(&mut self, session: &mut Session<M>, slot: Slot) -> Result<(), StoreError> {
        for mut found in std::mem::take(&mut self.found) {
            if found.slots.pop_if(|newest| *newest == slot).is_none() || !found.slots.is_empty() {
                self.found.push(found);
            } else if let Some(below) = found.below {
                let more = self.look_into(session, found.run, &below, false)?;
                self.found.extend(more);
            }
        }
        Ok(())
    }

    /// What the page before a key has for the subject, if it has any; one of that very key counts too
    /// when it is included.
    fn look_into<M>(
        &self,
        session: &mut Session<M>,
        run: i64,
        before: &[u8],
        included: bool,
    ) -> Result<Option<Found>, StoreError> {
        let page = session
            .run(|connection| dialect::index::page_before(connection, run, before, included))?;
        let Some((first, body)) = page else {
            return Ok(None);
        };
        let mut slots = slots_of(&body, &self.whom)?;
        slots.retain(|slot| (self.first..=self.last).contains(slot));
        // The page before this one may end with what this one begins with.
        let below = first.starts_with(&self.whom).then_some(first);
        Ok((!slots.is_empty()).then_some(Found { run, slots, below }))
    }
}

fn number(slot: Slot) -> i64 {
    i64::try_from(slot.number()).unwrap_or(i64::MAX)
}

fn slot(number: i64) -> Result<Slot, StoreError> {
    values::number(number, "a slot of the index of events").map(Slot::new)
}
