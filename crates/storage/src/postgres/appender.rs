//! The thread that appends audit events, many of them by one statement on a connection of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
};

use audit::Event;
use stores::StoreError;

use super::{ATTEMPTS, Job, pause};
use crate::{
    backlog::{Appended, Backlog},
    events,
    indexer::News,
    queue::Waiting,
    session::{Session, Writing},
    url::DatabaseUrl,
};

/// How many events share a commit at the most; they fit into one segment.
const BATCH: usize = 512;

/// The owner of the connection on which events are appended.
pub(super) struct Appender {
    url: DatabaseUrl,
    /// None when it was lost, and at first: a server that is down is not missed before it is needed.
    session: Option<Session<Writing>>,
    backlog: Arc<Backlog>,
    /// Has one more with each batch.
    news: News,
}

impl Appender {
    pub(super) fn new(
        url: DatabaseUrl,
        session: Option<Session<Writing>>,
        backlog: Arc<Backlog>,
        news: News,
    ) -> Self {
        Self {
            url,
            session,
            backlog,
            news,
        }
    }

    /// Takes whatever waits, again and again, until nobody can send any more.
    pub(super) fn run(mut self, mut waiting: Waiting<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while waiting.take(&mut jobs, BATCH) > 0 {
            let mut appended = Appended::new(Arc::clone(&self.backlog));
            let mut settled = Vec::new();
            for job in jobs.drain(..) {
                match job {
                    Job::Event(event, told) => appended.push(event, told),
                    Job::Settled(caller) => settled.push(caller),
                }
            }
            let outcomes = self.append(appended.events());
            appended.answer(outcomes.into_iter());
            // Whoever has gone away needs no answer.
            for caller in settled {
                let _ = caller.send(());
            }
        }
    }

    /// Adds events; what became of each.
    fn append(&mut self, events: &[Box<Event>]) -> Vec<Result<(), StoreError>> {
        if events.is_empty() {
            return Vec::new();
        }
        // One statement is a transaction of its own, and spares two ways over the network.
        let all = if events::fit_one_segment(events) {
            self.attempt(|session| events::together(session, events))
        } else {
            self.attempt(|session| session.nested(|session| events::together(session, events)))
        };
        let outcome = match all {
            Err(error) if events.len() > 1 && !error.is_temporary() => {
                // One of them is to blame; the others have done nothing wrong.
                self.attempt(|session| {
                    session.nested(|session| Ok(events::one_by_one(session, events)))
                })
            }
            all => all,
        };
        self.news.fetch_add(1, Ordering::Relaxed);
        outcome.unwrap_or_else(|error| {
            tracing::error!(%error, events = events.len(), "audit events could not be written");
            events.iter().map(|_| Err(error.clone())).collect()
        })
    }

    /// Does work on the session, again when another transaction was in its way.
    fn attempt<T>(
        &mut self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, StoreError>,
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
