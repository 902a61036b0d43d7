//! Ids and times of events, given right before they are committed.
//!
//! A reader that stays [`audit::LAG`] behind the clock must not be overtaken. So a stamp is good for a
//! moment only: a transaction that has not written its events by then is rolled back and runs again, and
//! PostgreSQL ends one that does not commit right after it has written them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use audit::{Event, Receipt, Stamper};
use stores::StoreError;

use crate::connection::error::EngineMessage;

/// How old a stamp may be when its event is written.
const STAMP_TTL: Duration = Duration::from_millis(600);

/// How long PostgreSQL waits for the commit once an event is written, in milliseconds. With
/// [`STAMP_TTL`] it leaves a commit some of [`audit::LAG`].
pub(crate) const COMMIT_TIMEOUT_MS: &str = "1000";

/// What gives events their ids and times. Without a stamper, events keep those that they come with.
#[derive(Clone, Default)]
pub(crate) struct Stamps(Option<Stamper>);

/// Until when events with fresh stamps must be written. `None` is no bound.
pub(crate) type Deadline = Option<Instant>;

impl Stamps {
    pub(crate) const fn new(stamper: Stamper) -> Self {
        Self(Some(stamper))
    }

    /// The deadline of stamps that are given from now on.
    pub(crate) fn deadline(&self) -> Deadline {
        self.0.as_ref().map(|_| Instant::now() + STAMP_TTL)
    }

    pub(crate) fn stamp(&self, event: &mut Event) {
        if let Some(stamper) = &self.0 {
            let stamp = stamper();
            event.id = stamp.id;
            event.occurred_at = stamp.at;
        }
    }
}

/// An event of a change, which is written when the change's transaction ends.
pub(crate) struct Unwritten {
    pub(crate) event: Event,
    receipt: Receipt,
}

impl Unwritten {
    pub(crate) fn new(event: &Event) -> (Self, Receipt) {
        let receipt = Receipt::pending(event.id);
        let unwritten = Self {
            event: event.clone(),
            receipt: receipt.clone(),
        };
        (unwritten, receipt)
    }

    pub(crate) fn stamp(&mut self, stamps: &Stamps) {
        stamps.stamp(&mut self.event);
        self.receipt.give(self.event.id);
    }
}

/// The error for an event whose id another one has.
pub(crate) fn duplicate_id() -> StoreError {
    let message = "there is an event of this id already".to_owned();
    StoreError::Engine(Arc::new(EngineMessage(message)))
}

#[cfg(test)]
mod tests;
