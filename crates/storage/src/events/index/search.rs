//! Looking for the segments that mention a subject, from the newest on.

use stores::StoreError;

use super::{
    super::segment::Subject,
    page::{key, slots_of},
    posting::Slot,
};
use crate::{dialect, session::Session};

/// A search: what is left of what may have segments of the subject.
#[derive(Debug)]
pub(in super::super) struct Search {
    whom: Subject,
    /// The slots in which the segments must be.
    first: Slot,
    last: Slot,
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
    /// Begins to look for segments between two slots.
    pub(in super::super) fn begin<M>(
        session: &mut Session<M>,
        whom: Subject,
        first: Slot,
        last: Slot,
    ) -> Result<Self, StoreError> {
        let runs = session
            .run(|connection| dialect::index::live(connection, first.stored(), last.stored()))?;
        let mut runs: Vec<Run> = runs
            .into_iter()
            .map(|(id, last)| Slot::read(last).map(|last| Run { id, last }))
            .collect::<Result<_, _>>()?;
        runs.sort_unstable_by_key(|run| run.last);
        Ok(Self {
            whom,
            first,
            last,
            runs,
            found: Vec::new(),
        })
    }

    /// The next slot that has some, downwards.
    pub(in super::super) fn next<M>(
        &mut self,
        session: &mut Session<M>,
    ) -> Result<Option<Slot>, StoreError> {
        loop {
            let newest = self.found.iter().filter_map(|found| found.slots.last());
            let newest = newest.max().copied();
            // A run may have a newer one.
            let run = self
                .runs
                .pop_if(|run| newest.is_none_or(|slot| run.last >= slot));
            if let Some(run) = run {
                let key = key(&(self.whom, self.last));
                let found = self.look_into(session, run.id, &key, true)?;
                self.found.extend(found);
            } else {
                if let Some(slot) = newest {
                    self.take(session, slot)?;
                }
                return Ok(newest);
            }
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
