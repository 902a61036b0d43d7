//! Several runs read as one.

use audit_log::{Posting, read_page};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::{Halt, IndexWriter, Indexer};
use crate::tables::{audit_index as rows, values};

/// The postings of several runs, in their order, each once.
pub(super) struct MergedRuns {
    inputs: Vec<Input>,
    /// The next posting of each input that has more, the least first.
    heads: BinaryHeap<Reverse<(Posting, usize)>>,
    begun: bool,
    last: Option<Posting>,
}

/// A run that is read from its beginning to its end.
struct Input {
    run: i64,
    /// What was read and not taken yet.
    postings: VecDeque<Posting>,
    /// The first posting of the last page that was read.
    after: Vec<u8>,
}

impl MergedRuns {
    pub(super) fn of(runs: &[i64]) -> Self {
        Self {
            inputs: runs
                .iter()
                .map(|run| Input {
                    run: *run,
                    postings: VecDeque::new(),
                    after: Vec::new(),
                })
                .collect(),
            heads: BinaryHeap::new(),
            begun: false,
            last: None,
        }
    }

    pub(super) fn next(
        &mut self,
        indexer: &mut Indexer<impl IndexWriter>,
    ) -> Result<Option<Posting>, Halt> {
        if !self.begun {
            self.begun = true;
            for place in 0..self.inputs.len() {
                self.refill(indexer, place)?;
            }
        }
        while let Some(Reverse((posting, place))) = self.heads.pop() {
            self.refill(indexer, place)?;
            if self.last != Some(posting) {
                self.last = Some(posting);
                return Ok(Some(posting));
            }
        }
        Ok(None)
    }

    /// Puts the next posting of an input among the heads, if it has one.
    fn refill(
        &mut self,
        indexer: &mut Indexer<impl IndexWriter>,
        place: usize,
    ) -> Result<(), Halt> {
        let Some(input) = self.inputs.get_mut(place) else {
            return Ok(());
        };
        if input.postings.is_empty() {
            let pages = indexer.read(|session| {
                session.run(|connection| rows::pages_after(connection, input.run, &input.after, 8))
            })?;
            for (first, body) in pages {
                input
                    .postings
                    .extend(read_page(&body).map_err(values::undecodable)?);
                input.after = first;
            }
        }
        if let Some(posting) = input.postings.pop_front() {
            self.heads.push(Reverse((posting, place)));
        }
        Ok(())
    }
}
