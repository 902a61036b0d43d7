//! What can be chosen when a database is opened.

use std::{num::NonZeroUsize, time::Duration};

use crate::{group_commit::acks::AuditMode, shares::CONNECTIONS};

/// How many changes to an SQLite file share a commit at the most, so that none waits long for it.
pub const SQLITE_BATCH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

/// How long anything that is asked of the database may take, unless it is chosen: whoever calls is to be
/// told within ten seconds, and may have waited for two things.
const TIMEOUT: Duration = Duration::from_secs(7);

/// What can be chosen when a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the audit log promises.
    pub audit: AuditMode,
    /// How long anything that is asked of the database may take, the wait for a turn included.
    pub timeout: Duration,
    /// How many connections to PostgreSQL there are at the most, for all uses together; no fewer than
    /// [`crate::MIN_CONNECTIONS`].
    pub connections: u8,
    /// Whether a connection to PostgreSQL is made for each use at once, so that one which can't be had is
    /// an error of the start; else each is made when it is needed.
    pub connect_now: bool,
    /// How many changes to an SQLite file share a commit at the most; those that are made by one closure
    /// count once, and are no more than that either.
    pub sqlite_batch: NonZeroUsize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            audit: AuditMode::Strict,
            timeout: TIMEOUT,
            connections: CONNECTIONS,
            connect_now: false,
            sqlite_batch: SQLITE_BATCH,
        }
    }
}
