#![doc = include_str!("../README.md")]
//!
//! # Outages
//!
//! While the server is gone, each call counts as many times as there are live instances, on the debts that
//! this instance knows. So all instances together allow what the limit allows.
//!
//! When it is back, the greater of two debts counts, so a debt that both know is not counted twice. A server
//! that has lost its state (it was flushed, or restarted without persistence) is given all debts that the
//! instances know, before one of them decides by it again: every answer of the server tells the generation of
//! its state.
//!
//! # Modes
//!
//! In the *exact* one each call is a round trip. In the *leased* one an instance takes small batches of
//! permits ahead and gives back those that it does not use: all instances together hold at most a hundredth
//! of a limit (or one permit each), and never allow more than that beyond the limit in any stretch of time.

mod counts;
mod failure;
mod leased;
mod limiter;
mod link;
mod script;
mod session;
mod url;

use std::time::Duration;

pub use self::{
    counts::Stats,
    failure::Failure,
    limiter::{Mode, RedisLimiter, Settings},
    url::{InvalidUrl, RedisUrl},
};

/// How long the server may take to answer a call, before an instance goes on by itself.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(50);
