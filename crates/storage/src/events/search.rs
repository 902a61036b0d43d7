//! Looking for the segments that mention a subject, from the newest on.

use audit_log::{Slot, Subject, key_after, slots_of};
use stores::StoreError;

use crate::{
    session::Session,
    tables::{audit_index, values},
};

/// A search: what is left of what may have segments of the subject.
#[derive(Debug)]
pub(super) struct Search {
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
    pub(super) fn begin<M>(
        session: &mut Session<M>,
        whom: Subject,
        first: Slot,
        last: Slot,
    ) -> Result<Self, StoreError> {
        let runs = session
            .run(|connection| audit_index::live(connection, first.stored(), last.stored()))?;
        let mut runs: Vec<Run> = runs
            .into_iter()
            .map(|(id, last)| Slot::read(last).map(|last| Run { id, last }))
            .collect::<Result<_, _>>()
            .map_err(values::undecodable)?;
        runs.sort_unstable_by_key(|run| run.last);
        Ok(Self {
            whom,
            first,
            last,
            runs,
            found: Vec::new(),
        })
    }

    /// The next slots that have some, downwards, up to so many of them.
    pub(super) fn next<M>(
        &mut self,
        session: &mut Session<M>,
        most: usize,
    ) -> Result<Vec<Slot>, StoreError> {
        let mut slots = Vec::new();
        while slots.len() < most {
            let newest = self.found.iter().filter_map(|found| found.slots.last());
            let newest = newest.max().copied();
            // A run may have a newer one.
            let newer = |run: &Run| newest.is_none_or(|slot| run.last >= slot);
            if self.runs.last().is_some_and(newer) {
                let few = self.runs.len().saturating_sub(session.at_once());
                let runs: Vec<i64> = self.runs.drain(few..).map(|run| run.id).collect();
                self.look_into(session, &runs, &key_after(&self.whom, self.last))?;
            } else if let Some(slot) = newest {
                self.take(session, slot)?;
                slots.push(slot);
            } else {
                break;
            }
        }
        Ok(slots)
    }

    /// Takes a slot from whoever has it.
    fn take<M>(&mut self, session: &mut Session<M>, slot: Slot) -> Result<(), StoreError> {
        for mut found in std::mem::take(&mut self.found) {
            if found.slots.pop_if(|newest| *newest == slot).is_none() || !found.slots.is_empty() {
                self.found.push(found);
            } else if let Some(below) = found.below {
                self.look_into(session, &[found.run], &below)?;
            }
        }
        Ok(())
    }

    /// Adds what the pages of runs before a key have for the subject.
    fn look_into<M>(
        &mut self,
        session: &mut Session<M>,
        runs: &[i64],
        before: &[u8],
    ) -> Result<(), StoreError> {
        let pages =
            session.run(|connection| audit_index::pages_before(connection, runs, before))?;
        for (run, first, body) in pages {
            let mut slots = slots_of(&body, &self.whom).map_err(values::undecodable)?;
            slots.retain(|slot| (self.first..=self.last).contains(slot));
            // The page before this one may end with what this one begins with.
            let below = first.starts_with(&self.whom).then_some(first);
            if !slots.is_empty() {
                self.found.push(Found { run, slots, below });
            }
        }
        Ok(())
    }
}
