//! What waits for the writer.

use audit::Event;
use stores::StoreError;
use tokio::sync::oneshot;

use crate::{
    backlog::Told,
    session::{Session, Writing},
};

/// Where an answer goes.
pub(super) type Caller<T, E> = oneshot::Sender<Result<T, E>>;

/// Something that waits for the writer.
pub(super) enum Job {
    /// The closure of a transaction.
    Work(Box<dyn Work>),
    /// An event to be added by itself.
    Event(Box<Event>, Told),
}

/// When the events of a closure's changes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// With those of the whole batch.
    Together,
    /// With the closure, so that what is wrong with them is its fault alone.
    Apart,
}

/// The closure of a transaction, whatever it returns.
pub(super) trait Work: Send {
    /// Runs it under a savepoint and keeps what it returned.
    fn run(&mut self, session: &mut Session<Writing>, events: Events);

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
    fn run(&mut self, session: &mut Session<Writing>, events: Events) {
        // Nobody waits for it any more, and nothing of it has been done.
        if self.caller.is_closed() {
            return;
        }
        let begun = session.begin().map_err(E::from);
        self.result = Some(begun.and_then(|()| match events {
            Events::Together => session.guarded(&self.work),
            Events::Apart => session.guarded_with_events(&self.work),
        }));
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
