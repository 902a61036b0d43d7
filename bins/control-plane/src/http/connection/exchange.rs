//! State that a connection and its call share.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    task::{Poll, Waker},
};

use super::{body_meter::BodyKind, limiter::Notices};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No call.
    #[default]
    Idle,
    Running,
    /// The response is being written.
    Responded,
}

/// Connection and call run in the same task, so no lock is needed.
#[derive(Debug, Default)]
pub struct Exchange {
    phase: Cell<Phase>,
    begun: Cell<Option<BodyKind>>,
    body_left: Cell<bool>,
    body_wanted: Cell<bool>,
    input_ended: Cell<bool>,
    closing: Cell<bool>,
    /// Whether the last response says that the connection closes.
    close_announced: Cell<bool>,
    notices: Notices,
    task: RefCell<Option<Waker>>,
}

impl Exchange {
    pub(super) fn new(notices: Notices) -> Self {
        Self {
            notices,
            ..Self::default()
        }
    }

    /// A call begins, with a body of this kind.
    pub fn begin(&self, body: BodyKind) {
        self.phase.set(Phase::Running);
        self.begun.set(Some(body));
        self.body_left.set(body != BodyKind::Empty);
        self.body_wanted.set(false);
    }

    /// The call asks for its body. Nothing of it is read before.
    pub fn want_body(&self) {
        self.body_wanted.set(true);
        self.wake();
    }

    /// The call has its response; what is written from now on is that.
    pub fn respond(&self) {
        self.phase.set(Phase::Responded);
    }

    /// Whether the connection is closed after this response, which must say so: the server stops, or it is
    /// unknown where the next request begins.
    pub fn closes_after_response(&self) -> bool {
        let closes = self.closing.get() || self.body_left.get() || self.notices.is_stopping();
        self.close_announced.set(closes);
        closes
    }

    pub(super) fn is_close_announced(&self) -> bool {
        self.close_announced.get()
    }

    /// Waits until the client has closed its side. Whether it is gone, or waits for its response, shows only
    /// when something is written.
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

    /// Waits with a response that costs nobody anything until it is made. Meanwhile the connection counts as idle: when
    /// another one needs its place, the wait ends, and it is closed behind the response.
    pub async fn give_way(&self, wait: impl Future<Output = ()>) {
        let mut wait = pin!(wait);
        self.notices.set_waits_for_client(true);
        poll_fn(|context| {
            if self.notices.is_evicted() {
                Poll::Ready(())
            } else {
                wait.as_mut().poll(context)
            }
        })
        .await;
        self.notices.set_waits_for_client(false);
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The body of a call that has begun since this was called last.
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

    /// The response is written.
    pub(super) fn finish(&self) {
        self.phase.set(Phase::Idle);
    }

    /// Registers the task to wake; true when it is another than before.
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
