//! What shares one transaction of the writer.

use std::{sync::Arc, time::Instant};

use ids::EventId;
use stores::StoreError;

use super::{
    sync::Committed,
    work::{BatchMode, Job, Work},
};
use crate::{
    events,
    group_commit::acks::{AckPolicy, PendingAcks},
    session::{Session, Writing},
};

/// What is done in one transaction.
pub(super) struct Batch {
    /// When the writer took it.
    taken: Instant,
    work: Vec<Box<dyn Work>>,
    changes: bool,
    only_probes: bool,
    needs_sync: bool,
    pending: PendingAcks,
    outcomes: Vec<Result<EventId, StoreError>>,
}

/// Why a batch was not written.
pub(super) enum Failed {
    /// A closure failed and had no savepoint.
    Work,
    /// The database did not take it.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Batch {
    pub(super) fn new(jobs: impl Iterator<Item = Job>, ack_policy: Arc<AckPolicy>) -> Self {
        let mut batch = Self {
            taken: Instant::now(),
            work: Vec::new(),
            changes: false,
            only_probes: true,
            needs_sync: false,
            pending: PendingAcks::new(ack_policy),
            outcomes: Vec::new(),
        };
        for job in jobs {
            batch.only_probes &= matches!(job, Job::Probe(_) | Job::Wake);
            batch.needs_sync |= matches!(job, Job::Work(_) | Job::Note(_) | Job::Event(..));
            match job {
                Job::Work(work) => {
                    batch.work.push(work);
                    batch.changes = true;
                }
                Job::Note(work) | Job::Probe(work) | Job::Unsynced(work) => batch.work.push(work),
                Job::Wake => {}
                Job::Event(event, ack) => batch.pending.push(event, ack),
            }
        }
        batch
    }

    /// Does everything.
    pub(super) fn run(
        &mut self,
        session: &mut Session<Writing>,
        mode: BatchMode,
    ) -> Result<(), Failed> {
        for work in &mut self.work {
            if !work.run(session, mode, self.pending.stamps()) {
                return Err(Failed::Work);
            }
        }
        // Whatever takes long comes before.
        self.outcomes = match mode {
            BatchMode::NoSavepoint | BatchMode::Savepoint => {
                let deadline = self.pending.stamp();
                events::together(session, &self.pending, deadline)?
            }
            BatchMode::SavepointWithEvents => events::one_by_one(session, &mut self.pending),
        };
        Ok(())
    }

    /// Whether it has more than events and notes.
    pub(super) const fn changes(&self) -> bool {
        self.changes
    }

    /// Whether it has changed nothing, and so has nothing to make durable.
    pub(super) const fn only_probes(&self) -> bool {
        self.only_probes
    }

    /// Whether somebody is answered only when it is durable.
    pub(super) const fn needs_sync(&self) -> bool {
        self.needs_sync
    }

    /// How many jobs it has.
    pub(super) fn len(&self) -> usize {
        self.work.len().saturating_add(self.pending.events().len())
    }
}

impl Committed for Batch {
    fn answer(self, outcome: &Result<(), StoreError>) {
        if self.needs_sync && outcome.is_ok() {
            self.pending.policy().committed(self.taken);
        }
        for work in self.work {
            work.answer(outcome);
        }
        // When the transaction did not even begin, there are no outcomes.
        let none = StoreError::Unavailable(None);
        let outcomes = self.outcomes.into_iter().map(Some);
        let outcomes = outcomes.chain(std::iter::repeat(None));
        self.pending.complete(outcomes.map(|own| match own {
            Some(own) => own.and_then(|id| outcome.clone().map(|()| id)),
            None => Err(outcome.clone().err().unwrap_or_else(|| none.clone())),
        }));
    }
}
