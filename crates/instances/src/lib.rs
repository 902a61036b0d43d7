#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

use std::time::Duration as StdDuration;

use ids::{AdminKeyId, InstanceId, Page, PageRequest};
use time::{Duration, OffsetDateTime};

/// How often an instance reports.
pub const REPORT_INTERVAL: StdDuration = StdDuration::from_secs(1);
/// For how long after its last report an instance is live to the others.
pub const LIVE_FOR: Duration = Duration::seconds(5);
/// For how long after its last report an instance itself trusts what it has cached. Shorter than
/// [`LIVE_FOR`], so that nobody passes over an instance that still trusts its caches.
pub const TRUSTED_FOR: Duration = Duration::seconds(4);
/// For how long after its last report an instance's row is kept.
pub const KEPT_FOR: Duration = Duration::minutes(1);
/// By how much the clock of a machine may differ from the database server's before the operator is warned.
pub const MAX_CLOCK_SKEW: Duration = Duration::seconds(2);
/// How many live instances a process counts at the most.
pub const MAX_INSTANCES: usize = 1000;

/// An instance, as it last reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id, a new one for each start.
    pub id: InstanceId,
    /// The name of its machine.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// When it started.
    pub started_at: OffsetDateTime,
    /// The admin key that its settings name, if they name one.
    pub admin_key_id: Option<AdminKeyId>,
    /// When it last reported, by the clock that all instances share.
    pub last_seen_at: OffsetDateTime,
    /// The newest revision of keys that it has applied to its caches.
    pub revision: u64,
    /// How long before the report it had last read the changes of keys, in milliseconds; `None` before it
    /// has read them for the first time.
    pub lag_ms: Option<u64>,
    /// How far the clock of its machine is ahead of the database server's, in milliseconds; negative when it
    /// is behind.
    pub clock_skew_ms: i64,
}

impl Instance {
    /// Whether the instance is live at `now`, by the shared clock.
    #[must_use]
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.last_seen_at >= now - LIVE_FOR
    }
}

/// Queries of a store of instances.
pub trait InstanceQueries {
    /// The store's error.
    type Error;

    /// The time by the clock of the database's server, which all instances share. `None` where the database
    /// has no clock of its own; then all instances are on one machine and share its clock.
    fn server_time(&mut self) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// The instances that were last seen at `since` or later, newest first.
    fn instances(
        &mut self,
        since: OffsetDateTime,
        page: PageRequest,
    ) -> Result<Page<Instance>, Self::Error>;
}

/// Writes of a store of instances.
pub trait InstanceStore: InstanceQueries {
    /// Waits for every other transaction that has called this or changes what caches of keys must know, and
    /// keeps others waiting until this one ends.
    fn instances_lock(&mut self) -> Result<(), Self::Error>;

    /// Writes an instance's row, whether there is one or not.
    fn instance_report(&mut self, instance: &Instance) -> Result<(), Self::Error>;

    /// Deletes an instance's row, if there is one.
    fn instance_remove(&mut self, id: InstanceId) -> Result<(), Self::Error>;

    /// Deletes the rows of instances that were last seen before a time; how many there were.
    fn instances_prune(&mut self, before: OffsetDateTime) -> Result<usize, Self::Error>;
}
