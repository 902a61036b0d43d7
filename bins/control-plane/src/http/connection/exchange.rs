//! What a connection and the call that it carries tell one another.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};

use super::body_meter::BodyKind;

/// How far the call of a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    #[default]
    Idle,
    /// It is being worked on.
    Running,
    /// Its answer is being written.
    Answered,
}

/// What a connection and its call share. They run in the same task, so no lock is needed.
#[derive(Debug, Default)]
pub struct Exchange {
    phase: Cell<Phase>,
    begun: Cell<Option<BodyKind>>,
    body_left: Cell<bool>,
    body_wanted: Cell<bool>,
    input_ended: Cell<bool>,
    closing: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Exchange {
    /// A call begins, with a body of this kind.
    pub fn begin(&self, body: BodyKind) {
        self.phase.set(Phase::Running);
        self.begun.set(Some(body));
        self.body_left.set(body != BodyKind::Empty);
        self.body_wanted.set(false);
    }

    /// The call asks for its body; before that, nothing of it is read.
    pub fn want_body(&self) {
        self.body_wanted.set(true);
        self.wake();
    }

    /// The call is answered; what is written from now on is its answer.
    pub fn answer(&self) {
        self.phase.set(Phase::Answered);
    }

    /// Whether the connection ends with this answer: the server stops, or nobody knows where the next
    /// request begins.
    pub fn ends_with_answer(&self) -> bool {
        self.closing.get() || self.body_left.get()
    }

    /// Waits until the client has closed its side. Whether it is gone or waits for its answer nobody can
    /// tell before something is written.
    pub async fn input_end(&self) {
        // The connection is polled before its call, by the same task.
        poll_fn(|_| {
            if self.input_ended.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// How far the call is.
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The body of a call that has begun since this was asked last.
    pub(super) fn take_begun(&self) -> Option<BodyKind> {
        self.begun.take()
    }

    pub(super) fn is_body_wanted(&self) -> bool {
        self.body_wanted.get()
    }

    pub(super) fn body_ended(&self) {
        self.body_left.set(false);
    }

    pub(super) fn end_input(&self) {
        self.input_ended.set(true);
    }

    pub(super) fn has_input_ended(&self) -> bool {
        self.input_ended.get()
    }

    pub(super) fn close(&self) {
        self.closing.set(true);
    }

    /// The answer is written.
    pub(super) fn finish(&self) {
        self.phase.set(Phase::Idle);
    }

    /// Notes the task to wake, and whether it is another than before.
    pub(super) fn register(&self, waker: &Waker) -> bool {
        let mut task = self.task.borrow_mut();
        if task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return false;
        }
        *task = Some(waker.clone());
        true
    }

    pub(super) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}
