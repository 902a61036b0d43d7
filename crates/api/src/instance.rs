//! An instance: a process that serves the API.

use api_macros::Response;
use ids::InstanceId;
use instances::Instance;
use serde::Serialize;

use crate::{
    Time,
    wire::{Present, Whole},
};

/// An instance of the control plane.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Instance")]
pub struct InstanceView {
    /// The id of the instance. Every start has a new one.
    pub id: InstanceId,
    /// The name of its machine.
    #[api(example = "cp-1")]
    pub host: String,
    /// The version of its program.
    #[api(example = "1.4.0")]
    pub version: String,
    /// The time of its start.
    pub started_at: Time,
    /// The time of its last report, by the clock of the database. It reports every second.
    pub last_seen_at: Time,
    /// The newest revision of keys in force on the instance. Every revocation, and every other change of a key
    /// or its partner, has a revision of its own.
    #[api(as = Whole<0, 9_007_199_254_740_991>, example = 42)]
    pub revision: u64,
    /// How many milliseconds before its report the instance had last asked for changes of keys; `null` before
    /// the first time. Beyond 2000, it asks the database for the key of every request.
    #[api(as = Present<Whole<0, 9_007_199_254_740_991>>, example = 40)]
    pub lag_ms: Option<u64>,
    /// How many milliseconds the clock of its machine is ahead of the clock of the database; negative when it
    /// is behind. Always 0 with SQLite.
    #[api(example = 3)]
    pub clock_skew_ms: i64,
}

impl From<Instance> for InstanceView {
    fn from(instance: Instance) -> Self {
        Self {
            id: instance.id,
            host: instance.host,
            version: instance.version,
            started_at: Time(instance.started_at),
            last_seen_at: Time(instance.last_seen_at),
            revision: instance.revision,
            lag_ms: instance.lag_ms,
            clock_skew_ms: instance.clock_skew_ms,
        }
    }
}

/// An instance on which a revocation is in force.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Confirmation")]
pub struct ConfirmationView {
    /// The id of the instance.
    pub instance: InstanceId,
    /// How many milliseconds after the revocation this was known.
    #[api(as = Whole<0, 9_007_199_254_740_991>, example = 31)]
    pub after_ms: u64,
}

/// An instance that was live when the key was revoked, and has not confirmed the revocation.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "MissingConfirmation")]
pub struct MissingConfirmationView {
    /// The id of the instance.
    pub instance: InstanceId,
    /// The time of its last report.
    pub last_seen_at: Time,
}

/// The receipt of a revocation.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "RevocationReceipt")]
pub struct RevocationReceiptView {
    /// The time at which the key was revoked.
    pub revoked_at: Time,
    /// The instances that refuse the key from now on.
    pub confirmed: Vec<ConfirmationView>,
    /// The instances that have not confirmed in time, or died. 2 seconds after the revocation they refuse the key
    /// too: without news of changes, an instance asks the database for the key of every request.
    #[api(example = [])]
    pub unconfirmed: Vec<MissingConfirmationView>,
}
