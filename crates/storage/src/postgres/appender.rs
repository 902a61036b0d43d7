//! The thread that appends audit events, many of them by one statement on a connection of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Instant,
};

use ids::EventId;
use stores::StoreError;

use super::{ATTEMPTS, Job, pause};
use crate::{
    connection::url::DatabaseUrl,
    events,
    group_commit::{
        acks::{AckPolicy, PendingAcks},
        queue::Receiver,
    },
    indexer::SegmentCounter,
    session::{Session, Writing},
};

/// How many events share a commit at the most; they fit into one segment.
const BATCH: usize = 512;

/// The owner of the connection on which events are appended.
pub(super) struct Appender {
    url: DatabaseUrl,
    /// None when it was lost, and at first: a server that is down is not missed before it is needed.
    session: Option<Session<Writing>>,
    ack_policy: Arc<AckPolicy>,
    /// Has one more with each batch.
    segment_counter: SegmentCounter,
}

impl Appender {
    pub(super) fn new(
        url: DatabaseUrl,
        session: Option<Session<Writing>>,
        ack_policy: Arc<AckPolicy>,
        segment_counter: SegmentCounter,
    ) -> Self {
        Self {
            url,
            session,
            ack_policy,
            segment_counter,
        }
    }

    /// Takes whatever waits, again and again, until nobody can send any more.
    pub(super) fn run(mut self, mut receiver: Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while receiver.receive(&mut jobs, BATCH) > 0 {
            let mut pending = PendingAcks::new(Arc::clone(&self.ack_policy));
            let mut settled = Vec::new();
            for job in jobs.drain(..) {
                match job {
                    Job::Event(event, ack) => pending.push(event, ack),
                    Job::Settled(caller) => settled.push(caller),
                }
            }
            let outcomes = self.append(&mut pending);
            pending.complete(outcomes.into_iter());
            // Whoever has gone away needs no answer.
            for caller in settled {
                let _ = caller.send(());
            }
        }
    }

    /// Adds events; what became of each, and its id.
    fn append(&mut self, pending: &mut PendingAcks) -> Vec<Result<EventId, StoreError>> {
        let count = pending.events().len();
        if count == 0 {
            return Vec::new();
        }
        let taken = Instant::now();
        let all = self.attempt(|session| {
            // It is stamped again for each attempt, on a connection that is there.
            let deadline = pending.stamp();
            // One statement is a transaction of its own, and spares two ways over the network.
            if events::fit_one_segment(pending.events()) {
                events::together(session, pending, deadline)
            } else {
                session.nested(|session| events::together(session, pending, deadline))
            }
        });
        let outcome = match all {
            Err(error) if count > 1 && !error.is_temporary() => {
                // One of them is to blame; the others have done nothing wrong. Each has a transaction
                // of its own, for all of them together could take longer than their stamps are good.
                self.attempt(|session| Ok(events::one_by_one(session, pending)))
            }
            all => all,
        };
        self.segment_counter.fetch_add(1, Ordering::Relaxed);
        if outcome.is_ok() {
            self.ack_policy.committed(taken);
        }
        outcome.unwrap_or_else(|error| {
            tracing::error!(%error, events = count, "audit events could not be written");
            std::iter::repeat_n(Err(error), count).collect()
        })
    }

    /// Does work on the session, again when another transaction was in its way.
    fn attempt<T>(
        &mut self,
        mut work: impl FnMut(&mut Session<Writing>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut attempt = 1;
        loop {
            let session = self.session()?;
            session.forget_conflict();
            session.forget_events();
            let outcome = work(session);
            let in_the_way = session.forget_conflict();
            if session.is_broken() {
                self.session = None;
            }
            if outcome.is_ok() || !in_the_way || attempt == ATTEMPTS {
                return outcome;
            }
            thread::sleep(pause(attempt));
            attempt += 1;
        }
    }

    /// The session, a new one when the old one no longer lives. What a connection that dies in the
    /// middle of a statement has done nobody knows, so that is never sent again on another one.
    fn session(&mut self) -> Result<&mut Session<Writing>, StoreError> {
        if let Some(session) = &mut self.session
            && session.test().is_err()
        {
            self.session = None;
        }
        match &mut self.session {
            Some(session) => Ok(session),
            none => Ok(none.insert(Session::connect(&self.url)?)),
        }
    }
}
