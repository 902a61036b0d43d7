#![doc = include_str!("../README.md")]
//!
//! # A timeline
//!
//! The algorithm is the generic cell rate algorithm (GCRA, ITU-T I.371). With 3 per 60 s, requests at these
//! seconds are decided so:
//!
//! | second | 0 | 0 | 0 | 0 | 20 | 21 | 60 |
//! |---|---|---|---|---|---|---|---|
//! | decision | yes | yes | yes | no, 20 s | yes | no, 19 s | yes |
//! | remaining | 2 | 1 | 0 | 0 | 0 | 0 | 1 |
//!
//! A subject's debt outlives a change of its limit: requests that are not paid for stay so. With 20 per 3600 s
//! used up, 19 per 3600 s allow no request before the first is paid for; 21 per 3600 s allow one.
//!
//! A request that counts against several limits is counted by all of them or by none.
//!
//! Several processes share limits through a server, see the crate `molecule-ratelimit-redis`. What each of
//! them does while that server is gone is decided here: [`MemoryLimiter::check_share`].

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod gcra;
mod leases;
mod limit;
mod memory;
mod subject;

use std::{future::Future, time::Duration};

pub use leases::{Leases, Unused};
pub use limit::{InvalidRateLimit, RateLimit};
pub use memory::{Debt, MemoryLimiter};
pub use subject::Subject;

/// A limiter's decision about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The limit that was applied.
    pub limit: RateLimit,
    /// How many more requests would be allowed at once, after this one if it was counted.
    pub remaining: u32,
    /// How long until the whole burst is there again.
    pub full_after: Duration,
    /// `None` when the request is allowed, else how long to wait for the next one that is.
    pub retry_after: Option<Duration>,
}

impl Decision {
    /// Whether the request may go on.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.retry_after.is_none()
    }
}

/// Decides request by request, and keeps what it must to do so.
///
/// One subject's requests never change the decisions for another.
/// An implementation never drops a subject that still has a debt.
pub trait Limiter: Send + Sync + 'static {
    /// Counts one request of `subject` against `limit` and decides on it; a rejected call costs nothing.
    fn check(&self, subject: Subject, limit: RateLimit) -> impl Future<Output = Decision> + Send;

    /// Counts one request against several limits, each of another subject. When one of them rejects it,
    /// it costs nothing with any of them, at no moment.
    fn check_all(
        &self,
        limits: &[(Subject, RateLimit)],
    ) -> impl Future<Output = Vec<Decision>> + Send;

    /// Decides as [`Limiter::check`] does, and counts nothing.
    fn peek(&self, subject: Subject, limit: RateLimit) -> impl Future<Output = Decision> + Send;
}
