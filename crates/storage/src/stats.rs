//! How the database is used at the moment, for metrics.

use std::time::Duration;

/// The connections of one use, and who waits for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// What they are for: `read` or `write`.
    pub name: &'static str,
    /// How many there can be.
    pub max: usize,
    /// How many are in use.
    pub in_use: usize,
    /// How many callers wait for one.
    pub waiting: usize,
}

/// What waits for the thread that writes audit events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// How many jobs are queued.
    pub length: usize,
    /// How long the oldest job has waited, those among them that the thread is at.
    pub oldest: Duration,
}
