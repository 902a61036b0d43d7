//! A connection as a reader or a writer sees it, with its transactions and savepoints. Nothing here knows a
//! table.

mod pooled;

use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use audit::{Event, Receipt};
use diesel::{QueryResult, connection::TransactionManager};
use stores::StoreError;

use crate::{
    budget::Budget,
    connection::{AnyConnection, error, url::DatabaseUrl},
    key_cache::KeyCache,
    stamps::{self, Unwritten},
};

/// For how long a connection that has answered is taken to live.
const FRESH: Duration = Duration::from_millis(250);

/// For how long the server's clock is taken to run as ours does.
const CLOCK_TTL: Duration = Duration::from_secs(60);

/// How long the pages of a list may be read, and whether anybody still waits for them.
#[derive(Clone, Debug)]
pub(crate) struct WorkLimit {
    pub(crate) deadline: Instant,
    pub(crate) abandoned: Arc<AtomicBool>,
}

/// The mode of a session that only asks.
#[derive(Clone, Copy, Debug)]
pub enum Reading {}

/// The mode of a session that also changes, within a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Writing {}

/// What a session may do.
pub(crate) trait Mode: 'static {
    /// Whether the engine itself is to refuse every change.
    const READ_ONLY: bool;
}

impl Mode for Reading {
    const READ_ONLY: bool = true;
}

impl Mode for Writing {
    const READ_ONLY: bool = false;
}

/// A connection on which every question can be asked and, when it is [`Writing`], every change made.
pub struct Session<M> {
    connection: AnyConnection,
    connected: Instant,
    /// When it last did what it was asked.
    answered: Instant,
    /// Whether the connection is gone.
    lost: bool,
    /// The error that has aborted the innermost transaction or savepoint.
    ///
    /// After a failed statement PostgreSQL refuses all others until a rollback, SQLite goes on. Here
    /// both refuse, so that what was caught and forgotten can't be committed in part.
    aborted: Option<StoreError>,
    /// Whether another transaction was in the way since [`Session::forget_conflict`].
    conflict: bool,
    /// The events of this transaction's changes that are yet to be written. They are written when it
    /// ends, all at once; what is rolled back takes its own along.
    events: Vec<Unwritten>,
    /// What the server's clock told, and when.
    server_clock: Option<(i64, Instant)>,
    /// The keys that need not be read again.
    pub(crate) key_cache: KeyCache,
    /// What the work has to keep to; `None` outside lists.
    limit: Option<WorkLimit>,
    /// Whether a page has ended because its budget was used up, since [`Session::take_cut`].
    cut: bool,
    mode: PhantomData<fn() -> M>,
}

impl<M> Session<M> {
    pub(crate) fn connect(url: &DatabaseUrl) -> Result<Self, StoreError>
    where
        M: Mode,
    {
        Ok(Self {
            connection: AnyConnection::connect(url, M::READ_ONLY)?,
            connected: Instant::now(),
            answered: Instant::now(),
            lost: false,
            aborted: None,
            conflict: false,
            events: Vec::new(),
            server_clock: None,
            key_cache: KeyCache::default(),
            limit: None,
            cut: false,
            mode: PhantomData,
        })
    }

    /// The same session in another mode. What the engine refuses stays as it was when it connected.
    pub(crate) fn into_mode<N>(self) -> Session<N> {
        Session {
            connection: self.connection,
            connected: self.connected,
            answered: self.answered,
            lost: self.lost,
            aborted: self.aborted,
            conflict: self.conflict,
            events: self.events,
            server_clock: self.server_clock,
            key_cache: self.key_cache,
            limit: self.limit,
            cut: self.cut,
            mode: PhantomData,
        }
    }

    /// Runs one statement.
    pub(crate) fn run<T>(
        &mut self,
        statement: impl FnOnce(&mut AnyConnection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        if let Some(error) = &self.aborted {
            return Err(error.clone());
        }
        let value = statement(&mut self.connection).map_err(|error| self.note(&error))?;
        self.answered = Instant::now();
        Ok(value)
    }

    /// Sees that the connection still answers, unless it has done so a moment ago.
    pub(crate) fn test(&mut self) -> Result<(), StoreError> {
        if self.answered.elapsed() <= FRESH {
            return Ok(());
        }
        self.connection.ping().map_err(|error| self.note(&error))
    }

    /// How long ago it was connected.
    pub(crate) fn age(&self) -> Duration {
        self.connected.elapsed()
    }

    /// Whether the connection is of no more use: lost, or left within a transaction.
    pub(crate) fn is_broken(&mut self) -> bool {
        self.lost || self.connection.is_broken()
    }

    fn note(&mut self, error: &diesel::result::Error) -> StoreError {
        self.conflict |= error::is_conflict(error);
        self.lost |= error::is_lost(error);
        let error = error::store_error(error);
        self.abort(&error);
        error
    }

    fn abort(&mut self, error: &StoreError) {
        if self.connection.depth() > 0 {
            self.aborted = Some(error.clone());
        }
    }

    /// Whether a page has to end here.
    ///
    /// # Errors
    /// [`StoreError::Abandoned`] when nobody waits for it any more.
    pub(crate) fn must_stop(&self, budget: &Budget) -> Result<bool, StoreError> {
        self.check_wanted()?;
        let late = |limit: &WorkLimit| Instant::now() >= limit.deadline;
        Ok(budget.is_spent() || self.limit.as_ref().is_some_and(late))
    }

    /// Sees that somebody still waits for the work.
    ///
    /// # Errors
    /// [`StoreError::Abandoned`] when nobody does.
    pub(crate) fn check_wanted(&self) -> Result<(), StoreError> {
        let abandoned = |limit: &WorkLimit| limit.abandoned.load(Ordering::Relaxed);
        if self.limit.as_ref().is_some_and(abandoned) {
            return Err(StoreError::Abandoned);
        }
        Ok(())
    }

    /// Sets or lifts the limit of the work that follows.
    pub(crate) fn set_limit(&mut self, limit: Option<WorkLimit>) {
        self.limit = limit;
    }

    /// Whether a page has ended because its budget was used up since the last call.
    pub(crate) const fn take_cut(&mut self) -> bool {
        std::mem::replace(&mut self.cut, false)
    }

    /// Notes that a page has ended because its budget was used up.
    pub(crate) const fn note_cut(&mut self) {
        self.cut = true;
    }

    /// How many questions are best asked as one.
    pub(crate) const fn at_once(&self) -> usize {
        self.connection.at_once()
    }

    /// The events of this transaction's changes that are yet to be written.
    pub(crate) fn events_to_come(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|unwritten| &unwritten.event)
    }

    /// Asks several questions of one and the same state of the database. Within a transaction they
    /// are its own, and see what it sees.
    pub(crate) fn snapshot<T>(
        &mut self,
        questions: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.connection.depth() > 0 {
            return questions(self);
        }
        self.run(AnyConnection::begin_snapshot)?;
        let answers = questions(self);
        let ended = self.roll_back_to(0);
        answers.and_then(|answers| ended.map(|()| answers))
    }

    /// Rolls back until `depth` transactions and savepoints are open.
    fn roll_back_to(&mut self, depth: u32) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        self.key_cache.clear();
        // Each turn takes one away, or finds the connection broken, and then there are none.
        while self.connection.depth() > depth {
            self.aborted = None;
            let undone = AnyConnection::rollback_transaction(&mut self.connection);
            outcome = outcome.and(undone.map_err(|error| self.note(&error)));
        }
        if self.connection.depth() < depth {
            // SQLite gives up the whole transaction when the disk is full. What follows must not start
            // one of its own in its place.
            self.aborted = Some(
                outcome
                    .clone()
                    .err()
                    .unwrap_or_else(error::transaction_gone),
            );
        } else if depth == 0 {
            self.aborted = None;
        }
        outcome
    }
}

impl Session<Writing> {
    /// Notes the event of a change, to be written when the transaction ends.
    pub(crate) fn add_event(&mut self, event: &Event) -> Result<Receipt, StoreError> {
        if let Some(error) = &self.aborted {
            return Err(error.clone());
        }
        let mut others = self.events.iter().rev();
        if others.any(|other| other.event.id == event.id) {
            let error = stamps::duplicate_id();
            self.abort(&error);
            return Err(error);
        }
        let (unwritten, receipt) = Unwritten::new(event);
        self.events.push(unwritten);
        Ok(receipt)
    }

    /// How many events are yet to be written.
    pub(crate) const fn event_count(&self) -> usize {
        self.events.len()
    }

    /// The events that are yet to be written, from this place on; they are no longer.
    pub(crate) fn take_events(&mut self, from: usize) -> Vec<Unwritten> {
        self.events.split_off(from.min(self.events.len()))
    }

    /// Forgets what an earlier transaction may have left behind.
    pub(crate) fn forget_events(&mut self) {
        self.events.clear();
    }

    /// Begins a transaction, or sets a savepoint when one is open.
    pub(crate) fn begin(&mut self) -> Result<(), StoreError> {
        self.run(AnyConnection::begin)
    }

    /// Runs work in a transaction, or in a savepoint when one is open: all of it is kept, or nothing.
    ///
    /// A panic passes through and leaves it open; [`Session::guarded`] sees to that.
    pub(crate) fn nested<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin()?;
        self.complete(work)
    }

    /// As [`Session::nested`] once the transaction has begun, and a panic is this work's error and
    /// nobody else's.
    pub(crate) fn guarded<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let (outer, events) = (self.outer_depth(), self.events.len());
        // Whatever state the panic leaves behind in the session is undone by the rollback below.
        catch_unwind(AssertUnwindSafe(|| self.complete(work))).unwrap_or_else(|_| {
            tracing::error!("the closure of a transaction panicked");
            self.events.truncate(events);
            self.roll_back_to(outer)?;
            Err(StoreError::Panicked.into())
        })
    }

    /// Does work in the transaction that is open; nothing when it fails or panics, and then all of the
    /// transaction is to be rolled back.
    pub(crate) fn without_savepoint<T, E>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Option<T> {
        let depth = self.connection.depth();
        let value = catch_unwind(AssertUnwindSafe(|| work(self))).ok()?.ok()?;
        (self.aborted.is_none() && self.connection.depth() == depth).then_some(value)
    }

    /// Does the work of a transaction or savepoint that has begun, and ends it.
    fn complete<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let (outer, events) = (self.outer_depth(), self.events.len());
        let result = work(self).and_then(|value| {
            self.run(AnyConnection::commit_transaction)?;
            Ok(value)
        });
        if result.is_err() {
            self.events.truncate(events);
            self.roll_back_to(outer)?;
        }
        result
    }

    /// How many are open around the innermost.
    fn outer_depth(&mut self) -> u32 {
        self.connection.depth().saturating_sub(1)
    }

    /// The error of a transaction whose events have not been written in time. Like one with another in
    /// its way, it may run again.
    pub(crate) fn too_late(&mut self) -> StoreError {
        self.conflict = true;
        let error = StoreError::Overloaded;
        self.abort(&error);
        error
    }

    /// What the server's clock will tell at that instant, in microseconds since 1970. It is asked once a
    /// minute; on SQLite there is no other clock, and no bound.
    pub(crate) fn server_micros(&mut self, at: Instant) -> Result<i64, StoreError> {
        let known = self.server_clock;
        let (told, when) = match known.filter(|(_, when)| when.elapsed() < CLOCK_TTL) {
            Some(known) => known,
            None => {
                let told = self.run(AnyConnection::clock_micros)?;
                *self.server_clock.insert((told, Instant::now()))
            }
        };
        let ahead = at.saturating_duration_since(when).as_micros();
        Ok(told.saturating_add(i64::try_from(ahead).unwrap_or(i64::MAX)))
    }

    /// Has the server asked for its time once more.
    pub(crate) const fn forget_server_clock(&mut self) {
        self.server_clock = None;
    }

    /// Whether another transaction was in the way since the last call.
    pub(crate) fn forget_conflict(&mut self) -> bool {
        std::mem::take(&mut self.conflict)
    }
}
