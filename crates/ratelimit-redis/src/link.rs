//! Whether this process uses the server now, and what it owes there.

use std::{collections::HashMap, mem, sync::Arc, time::Instant};

use parking_lot::{Mutex, RwLock};
use ratelimit::{RateLimit, Subject};

use crate::{Failure, session::Session};

/// The way to the server.
#[derive(Default)]
pub(crate) struct Link {
    state: RwLock<State>,
    /// Whose calls were counted here and not by the server.
    owing: Mutex<HashMap<Subject, RateLimit>>,
}

#[derive(Default)]
enum State {
    /// The process has not connected yet.
    #[default]
    New,
    Up(Arc<Session>),
    Down(Outage),
}

/// Since when the server can't be used, and why.
struct Outage {
    since: Instant,
    failure: Failure,
    /// The generation of the server's state that was known, empty if none was.
    generation: String,
}

impl Link {
    /// The session, while the server is used.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        match &*self.state.read() {
            State::Up(session) => Some(Arc::clone(session)),
            State::New | State::Down(_) => None,
        }
    }

    /// The generation of the server's state that is known, empty if none is.
    pub(crate) fn generation(&self) -> String {
        match &*self.state.read() {
            State::New => String::new(),
            State::Up(session) => session.generation.clone(),
            State::Down(outage) => outage.generation.clone(),
        }
    }

    /// The server is used from now on.
    pub(crate) fn connected(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        let before = mem::replace(&mut *self.state.write(), State::Up(Arc::clone(&session)));
        if let State::Down(outage) = before {
            let seconds = outage.since.elapsed().as_secs();
            tracing::info!(seconds, "rate limits are shared through Redis again");
        }
        session
    }

    /// The server is not used from now on: a session has failed, or with `None` a connection. A session
    /// that is not in use any more changes nothing.
    pub(crate) fn failed(&self, session: Option<&Arc<Session>>, failure: &Failure) {
        let mut state = self.state.write();
        let outage = match (&mut *state, session) {
            (State::Up(now), Some(failed)) if Arc::ptr_eq(now, failed) => Outage {
                since: Instant::now(),
                failure: failure.clone(),
                generation: now.generation.clone(),
            },
            (State::Down(outage), None) => {
                // Texts of the same failure may differ.
                if outage.failure.number() == failure.number() {
                    return;
                }
                outage.failure = failure.clone();
                tracing::warn!(
                    reason = failure.reason(),
                    "rate limits are still not shared: {failure}"
                );
                return;
            }
            (State::New, None) => Outage {
                since: Instant::now(),
                failure: failure.clone(),
                generation: String::new(),
            },
            (State::New | State::Up(_) | State::Down(_), _) => return,
        };
        *state = State::Down(outage);
        drop(state);
        tracing::warn!(
            reason = failure.reason(),
            "rate limits are not shared, this instance goes on with its part of each: {failure}"
        );
    }

    /// Notes that calls of these subjects were counted by this process.
    pub(crate) fn owe(&self, limits: &[(Subject, RateLimit)]) {
        self.owing.lock().extend(limits.iter().copied());
    }

    /// Forgets those who owe nothing any more.
    pub(crate) fn retain_owing(&self, is_owing: impl Fn(Subject, RateLimit) -> bool) {
        let mut owing = self.owing.lock();
        owing.retain(|&subject, &mut limit| is_owing(subject, limit));
    }

    /// Takes what was noted, to hand it over.
    pub(crate) fn take_owing(&self) -> HashMap<Subject, RateLimit> {
        mem::take(&mut *self.owing.lock())
    }

    /// Puts back what could not be handed over.
    pub(crate) fn put_back(&self, owing: HashMap<Subject, RateLimit>) {
        let mut now = self.owing.lock();
        for (subject, limit) in owing {
            // A newer limit counts.
            now.entry(subject).or_insert(limit);
        }
    }
}
