//! Open sessions of one mode that nobody uses at the moment.
//!
//! A session is connected by the thread that needs it, never in the background: one that nobody asks for
//! would take a connection from others.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use stores::StoreError;

use crate::{
    connection::url::DatabaseUrl,
    session::{Mode, Session},
};

/// How long to wait for a session in use when the server gives no further connection.
const RETURN_TIMEOUT: Duration = Duration::from_secs(3);
/// How old a connection gets: it is replaced then, so that what a server keeps for it stays bounded and
/// a name that leads to another host is followed.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The sessions, for those who may block. A clone is another handle to the same.
pub(crate) struct Connections<M: Mode>(Arc<Shared<M>>);

struct Shared<M: Mode> {
    url: DatabaseUrl,
    /// How many callers there are at once, at the most.
    most: u32,
    /// Whether a session is asked whether it lives before it is used.
    test: bool,
    state: Mutex<State<M>>,
    returned: Condvar,
}

struct State<M: Mode> {
    idle: Vec<Session<M>>,
    in_use: usize,
}

impl<M: Mode> Clone for Connections<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Mode> Connections<M> {
    /// No session yet. With `test` each is asked whether it lives before it is used, unless it has
    /// answered a moment ago.
    pub(crate) fn new(url: &DatabaseUrl, most: u32, test: bool) -> Self {
        Self(Arc::new(Shared {
            url: url.clone(),
            most,
            test,
            state: Mutex::new(State {
                idle: Vec::new(),
                in_use: 0,
            }),
            returned: Condvar::new(),
        }))
    }

    /// How many there can be; whoever gates the callers sees to it.
    pub(crate) fn most(&self) -> u32 {
        self.0.most
    }

    /// A session that lives, or the error why there is none.
    pub(crate) fn get(&self) -> Result<PooledSession<M>, StoreError> {
        while let Some(mut session) = self.0.take_idle() {
            if !self.0.test || session.test().is_ok() {
                return Ok(session);
            }
            session.discard();
        }
        match Session::connect(&self.0.url) {
            Ok(session) => {
                self.0.lock().in_use += 1;
                Ok(self.0.lend(session))
            }
            // A server whose connections are used up serves with those that we have.
            Err(error) => self.0.wait_for_idle().ok_or(error),
        }
    }
}

impl<M: Mode> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lend(self: &Arc<Self>, session: Session<M>) -> PooledSession<M> {
        PooledSession {
            session: Some(session),
            home: Arc::clone(self),
        }
    }

    /// The session that was used last: its server knows most of what is asked.
    fn take_idle(self: &Arc<Self>) -> Option<PooledSession<M>> {
        let mut state = self.lock();
        let session = state.idle.pop()?;
        state.in_use += 1;
        Some(self.lend(session))
    }

    /// A session that another caller has returned meanwhile; `None` when nobody has one to return, or
    /// returns none in time.
    fn wait_for_idle(self: &Arc<Self>) -> Option<PooledSession<M>> {
        let deadline = Instant::now() + RETURN_TIMEOUT;
        let mut state = self.lock();
        while state.idle.is_empty() && state.in_use > 0 {
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.returned.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let session = state.idle.pop()?;
        state.in_use += 1;
        Some(self.lend(session))
    }
}

/// A session that goes back to the others when it is dropped.
pub(crate) struct PooledSession<M: Mode> {
    /// There until it is dropped.
    session: Option<Session<M>>,
    home: Arc<Shared<M>>,
}

impl<M: Mode> PooledSession<M> {
    /// Closes the session, whatever state it is in.
    fn discard(mut self) {
        self.session = None;
    }
}

impl<M: Mode> Deref for PooledSession<M> {
    type Target = Session<M>;

    fn deref(&self) -> &Session<M> {
        match &self.session {
            Some(session) => session,
            None => unreachable!("a session is there until it is dropped"),
        }
    }
}

impl<M: Mode> DerefMut for PooledSession<M> {
    fn deref_mut(&mut self) -> &mut Session<M> {
        match &mut self.session {
            Some(session) => session,
            None => unreachable!("a session is there until it is dropped"),
        }
    }
}

impl<M: Mode> Drop for PooledSession<M> {
    fn drop(&mut self) {
        // A panic may have left the session halfway through anything.
        let kept = self.session.take().filter(|_| !std::thread::panicking());
        let kept = kept.and_then(|mut session| {
            let fit = !session.is_broken() && session.age() < MAX_AGE;
            fit.then_some(session)
        });
        let mut state = self.home.lock();
        state.in_use = state.in_use.saturating_sub(1);
        state.idle.extend(kept);
        drop(state);
        // All of them look: when this was the last one in use and is broken, nobody else comes.
        self.home.returned.notify_all();
    }
}
