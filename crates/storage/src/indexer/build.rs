//! A run is written, and then it counts.

use audit_log::{Page, PageBuilder, Posting, Slot};
use std::{thread, time::Instant};

use stores::StoreError;

use super::{Halt, IndexWriter, Indexer};
use crate::{
    session::{Session, Writing},
    tables::{
        audit_index::{self as rows, Run},
        audit_segments, values,
    },
};

/// What a run is made of.
pub(super) enum Source {
    /// The segments after a number, up to another one, which has this last id.
    Segments {
        after: i64,
        to: i64,
        last_id: Vec<u8>,
    },
    /// Other runs.
    Runs(Vec<i64>),
}

impl<H: IndexWriter> Indexer<H> {
    /// Has the pages of a run written, a few at a time; whether it counts, which it does not when
    /// somebody else was faster.
    pub(super) fn build(
        &mut self,
        source: Source,
        tier: i64,
        (base, last): (Slot, Slot),
        mut next: impl FnMut(&mut Self) -> Result<Option<Posting>, Halt>,
    ) -> Result<bool, Halt> {
        let mut pages = PageBuilder::new(base);
        let (mut run, mut written) = (None, 0);
        loop {
            let posting = next(self)?;
            let ended = posting.is_none();
            let chunk = if let Some(posting) = posting {
                pages.push(posting).map_err(values::undecodable)?;
                if pages.ready() < self.sizes.pages_per_commit {
                    continue;
                }
                pages.take()
            } else {
                std::mem::replace(&mut pages, PageBuilder::new(base))
                    .end()
                    .map_err(values::undecodable)?
            };
            written += i64::try_from(chunk.len()).unwrap_or(0);
            let begun = Instant::now();
            let Some(id) = self.add(run, chunk)? else {
                return Ok(false);
            };
            run = Some(id);
            if ended {
                let run = Run {
                    id,
                    tier,
                    first_number: 0,
                    last_number: 0,
                    first_slot: base.stored(),
                    last_slot: last.stored(),
                    pages: written,
                };
                return self
                    .writer
                    .change(move |session| end(session, run, &source));
            }
            // Others write too.
            thread::sleep(begun.elapsed());
        }
    }

    /// Adds pages to a run, or begins one with them; which run, unless it has been given up.
    pub(super) fn add(&mut self, run: Option<i64>, chunk: Vec<Page>) -> Result<Option<i64>, Halt> {
        self.writer.change(move |session| {
            let id = match run {
                Some(run) => {
                    if !session.run(|connection| rows::is_building(connection, run))? {
                        return Ok(None);
                    }
                    run
                }
                None => session.run(rows::begin_run)?,
            };
            session.run(|connection| rows::add_pages(connection, id, &chunk))?;
            Ok(Some(id))
        })
    }
}

/// Has a run count in place of what it was made of, if that still is what it was; whether it does.
fn end(session: &mut Session<Writing>, mut run: Run, source: &Source) -> Result<bool, StoreError> {
    let building = session.run(|connection| rows::is_building(connection, run.id))?;
    let replaced = match source {
        Source::Segments { after, to, last_id } => {
            // As long as the last of them is there, nothing else has got a number of theirs.
            let still = session.run(|connection| audit_segments::last_id(connection, *to))?;
            let covered = session.run(rows::covered)?;
            (run.first_number, run.last_number) = (after + 1, *to);
            (still.as_ref() == Some(last_id) && covered == *after).then(Vec::new)
        }
        Source::Runs(ids) => {
            let mut live = session.run(rows::runs)?;
            live.retain(|run| ids.contains(&run.id));
            let first = live.iter().map(|run| run.first_number).min();
            let last = live.iter().map(|run| run.last_number).max();
            (run.first_number, run.last_number) = (first.unwrap_or(0), last.unwrap_or(0));
            (live.len() == ids.len()).then(|| ids.clone())
        }
    };
    let Some(replaced) = replaced.filter(|_| building) else {
        session.run(|connection| rows::drop_run(connection, run.id))?;
        return Ok(false);
    };
    for id in replaced {
        session.run(|connection| rows::drop_run(connection, id))?;
    }
    session.run(|connection| rows::end_run(connection, &run))?;
    Ok(true)
}
