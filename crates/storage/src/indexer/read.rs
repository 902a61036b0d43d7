//! Reading what no run covers yet.

use audit_log::{Posting, Slot, Subject, subjects_of};
use std::collections::HashMap;

use foldhash::fast::RandomState;
use stores::StoreError;

use super::{AT_ONCE, IndexSettings};
use crate::{
    session::{Reading, Session},
    tables::{audit_index as rows, audit_segments, values},
};

/// Whom segments mention in which slots.
#[derive(Default)]
pub(super) struct Mentions(HashMap<Subject, Vec<Slot>, RandomState>);

impl Mentions {
    pub(super) fn add(&mut self, subject: &Subject, slot: Slot) {
        let slots = self.0.entry(*subject).or_default();
        // Segments come about in the order of their slots.
        if slots.last() != Some(&slot) {
            slots.push(slot);
        }
    }

    /// All of them, sorted, none twice.
    pub(super) fn postings(self) -> impl Iterator<Item = Posting> {
        let mut subjects: Vec<_> = self.0.into_iter().collect();
        subjects.sort_unstable_by_key(|(subject, _)| *subject);
        subjects.into_iter().flat_map(|(subject, mut slots)| {
            slots.sort_unstable();
            slots.dedup();
            slots.into_iter().map(move |slot| (subject, slot))
        })
    }
}

/// What was read of segments that no run covers.
pub(super) struct Read {
    pub(super) mentions: Mentions,
    /// The slots of the segments.
    pub(super) slots: Vec<Slot>,
    /// The number before theirs, the last of theirs, and the last id of that.
    pub(super) after: i64,
    pub(super) to: i64,
    pub(super) last_id: Vec<u8>,
    /// How many are left, or fewer.
    pub(super) left: i64,
    /// Whether the number after theirs is nobody's, and may yet be somebody's.
    gap: bool,
}

impl Read {
    /// The next ones, if there are a few; of numbers above `settled` as many as come without a gap.
    pub(super) fn next(
        session: &mut Session<Reading>,
        sizes: &IndexSettings,
        settled: i64,
    ) -> Result<Option<Self>, StoreError> {
        let after = session.run(rows::covered)?;
        let newest = session.run(audit_segments::newest)?;
        if newest - after < sizes.min_segments {
            return Ok(None);
        }
        let mut read = Self {
            mentions: Mentions::default(),
            slots: Vec::new(),
            after,
            to: after,
            last_id: Vec::new(),
            left: 0,
            gap: false,
        };
        let mut events = 0;
        while !read.gap && read.count() < sizes.segments && events < sizes.events {
            let limit = (sizes.segments - read.count()).min(AT_ONCE);
            let segments =
                session.run(|connection| audit_segments::after(connection, read.to, limit))?;
            if segments.is_empty() {
                break;
            }
            for segment in segments {
                read.gap = segment.number - 1 > settled.max(read.to);
                if read.gap {
                    break;
                }
                let id = <[u8; 16]>::try_from(&segment.last_id[..])
                    .map_err(|_| values::corrupt("the id of a segment"))?;
                let slot = Slot::of_bytes(id);
                read.slots.push(slot);
                for subject in subjects_of(&segment.body).map_err(values::undecodable)? {
                    read.mentions.add(subject, slot);
                }
                (read.to, read.last_id) = (segment.number, segment.last_id);
                events += segment.events;
            }
        }
        read.left = newest - read.to;
        Ok(Some(read))
    }

    /// How many they are.
    fn count(&self) -> i64 {
        i64::try_from(self.slots.len()).unwrap_or(i64::MAX)
    }

    /// Whether a gap has left them too few for a run.
    pub(super) fn is_blocked(&self, sizes: &IndexSettings) -> bool {
        self.gap && self.count() < sizes.min_segments
    }
}
