//! Admission of status polls that are held.
//!
//! A held poll keeps a connection and some memory, so each key and each client address has a share of those
//! that the process holds. A poll beyond it is answered at once, as if it had not asked to wait.

use std::sync::atomic::{AtomicU64, Ordering};

use ids::Ulid;
use ratelimit::Subject;

use crate::{
    Context,
    runtime::fair_share::{FairShare, Permit},
};

/// The most polls that one process holds: 20 000 take less than 300 MiB.
const MAX_HELD: usize = 20_000;

/// The limiters of one process.
#[derive(Debug)]
pub(crate) struct HeldPolls {
    by_key: FairShare<Ulid>,
    by_address: FairShare<Subject>,
    held: AtomicU64,
    over_key: AtomicU64,
    over_address: AtomicU64,
}

/// How many polls are held, and what became of those that asked for it since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldPollCounts {
    /// How many are held now.
    pub now: usize,
    /// How many were held.
    pub held: u64,
    /// How many were answered at once because their key's share was used up.
    pub over_key: u64,
    /// How many were answered at once because their address's share was used up.
    pub over_address: u64,
}

/// A poll that is held, until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldPoll<'a> {
    _of_key: Permit<'a, Ulid>,
    _of_address: Permit<'a, Subject>,
}

impl HeldPolls {
    /// For a process that can have so many calls at once. A held poll is one of them, so no key can hold
    /// all that the process has.
    pub(crate) fn new(max_calls: usize) -> Self {
        let capacity = max_calls.min(MAX_HELD);
        Self {
            by_key: FairShare::new(capacity),
            by_address: FairShare::new(capacity),
            held: AtomicU64::new(0),
            over_key: AtomicU64::new(0),
            over_address: AtomicU64::new(0),
        }
    }

    /// Holds a poll; `None` when a share is used up.
    pub(crate) fn acquire(&self, context: &Context) -> Option<HeldPoll<'_>> {
        let address = Subject::address(context.request.client.limited_by());
        let Some(of_key) = self.by_key.acquire(context.caller.ulid()) else {
            self.over_key.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let Some(of_address) = self.by_address.acquire(address) else {
            self.over_address.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(HeldPoll {
            _of_key: of_key,
            _of_address: of_address,
        })
    }

    pub(crate) fn counts(&self) -> HeldPollCounts {
        HeldPollCounts {
            now: self.by_key.total(),
            held: self.held.load(Ordering::Relaxed),
            over_key: self.over_key.load(Ordering::Relaxed),
            over_address: self.over_address.load(Ordering::Relaxed),
        }
    }
}
