//! What waits for the writer.

use audit::Event;
use stores::StoreError;
use tokio::sync::oneshot;

use crate::{
    events::guarded_with_events,
    group_commit::{
        acks::Ack,
        queue::{Queueable, Urgent},
    },
    session::{Session, Writing},
    stamps::Stamps,
};

/// Where an answer goes.
pub(super) type Caller<T, E> = oneshot::Sender<Result<T, E>>;

/// Something that waits for the writer.
pub(super) enum Job {
    /// The closure of a transaction.
    Work(Box<dyn Work>),
    /// The same of a small note that comes with an event.
    Note(Box<dyn Work>),
    /// An event to be added by itself.
    Event(Box<Event>, Ack),
    /// A closure that changes nothing and fails when changes would.
    Probe(Box<dyn Work>),
    /// The closure of a transaction that a crash of the machine may undo.
    Unsynced(Box<dyn Work>),
    /// Nothing.
    Wake,
}

impl Queueable for Job {
    fn append(event: Box<Event>, ack: Ack) -> Self {
        Self::Event(event, ack)
    }

    fn is_awaited(&self) -> bool {
        match self {
            Self::Work(_) | Self::Note(_) | Self::Probe(_) | Self::Unsynced(_) | Self::Wake => true,
            Self::Event(_, ack) => ack.is_awaited(),
        }
    }
}

impl Urgent for Job {
    fn wake() -> Self {
        Self::Wake
    }
}

/// How closures share a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchMode {
    /// With nothing between them: one that fails fails the transaction.
    NoSavepoint,
    /// Each under a savepoint, for which the engine copies every page before it is changed. Their events
    /// are written together.
    Savepoint,
    /// Each under a savepoint and with its own events, so that what is wrong with them is its fault alone.
    SavepointWithEvents,
}

/// The closure of a transaction, whatever it returns.
pub(super) trait Work: Send {
    /// Runs it and keeps what it returned; whether the transaction can go on.
    fn run(&mut self, session: &mut Session<Writing>, mode: BatchMode, stamps: &Stamps) -> bool;

    /// Answers its caller, once it is known what became of the batch.
    fn answer(self: Box<Self>, batch: &Result<(), StoreError>);
}

/// A closure, what it returned, and who waits for that.
pub(super) struct Pending<F, T, E> {
    work: F,
    result: Option<Result<T, E>>,
    caller: Caller<T, E>,
}

impl<F, T, E> Pending<F, T, E> {
    pub(super) const fn new(work: F, caller: Caller<T, E>) -> Self {
        Self {
            work,
            result: None,
            caller,
        }
    }
}

impl<F, T, E> Work for Pending<F, T, E>
where
    F: Fn(&mut Session<Writing>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, session: &mut Session<Writing>, mode: BatchMode, stamps: &Stamps) -> bool {
        // Nobody waits for it any more, and nothing of it has been done.
        if self.caller.is_closed() {
            return true;
        }
        let savepoint = |session: &mut Session<Writing>| session.begin().map_err(E::from);
        self.result = match mode {
            BatchMode::NoSavepoint => session.without_savepoint(&self.work).map(Ok),
            BatchMode::Savepoint => {
                Some(savepoint(session).and_then(|()| session.guarded(&self.work)))
            }
            BatchMode::SavepointWithEvents => Some(
                savepoint(session).and_then(|()| guarded_with_events(session, &self.work, stamps)),
            ),
        };
        self.result.is_some()
    }

    fn answer(self: Box<Self>, batch: &Result<(), StoreError>) {
        let answer = match (self.result, batch) {
            // Its own error, and its changes are undone either way.
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(_)) | None, Err(error)) => Err(error.clone().into()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => return,
        };
        // Whoever has gone away needs no answer.
        drop(self.caller.send(answer));
    }
}
