//! The start of an instance beside others: they must agree on the operator's admin key.

use std::fmt;

use ids::{AdminKeyId, InstanceId, PageRequest};
use instances::{Instance, LIVE_FOR, MAX_INSTANCES};
use stores::Transaction;

use super::SetupError;
use crate::Env;

/// A process that is about to serve.
#[derive(Clone, Debug)]
pub struct NewInstance {
    /// The name of its machine.
    pub host: String,
    /// The version of its program.
    pub version: String,
}

/// A live instance that was started with other settings.
#[derive(Debug)]
pub struct OtherInstance {
    id: InstanceId,
    host: String,
    difference: &'static str,
}

impl fmt::Display for OtherInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            host,
            difference,
        } = self;
        write!(
            f,
            "instance {id} on {host} serves this database and was started {difference}"
        )
    }
}

impl NewInstance {
    /// The row of an instance that starts now.
    pub(super) fn into_instance(self, env: &Env) -> Instance {
        let now = env.now();
        Instance {
            id: env.id(),
            host: self.host,
            version: self.version,
            started_at: now,
            admin_key_id: None,
            last_seen_at: now,
            revision: 0,
            lag_ms: None,
            clock_skew_ms: 0,
        }
    }
}

/// Adds an instance, unless a live one has another admin key of the settings: the later start would end the
/// key of the earlier one while that serves. Starts at the same time come one after the other.
///
/// Without `is_writable` nothing is written, and the instance adds itself by its first report.
pub(super) fn register<T: Transaction>(
    tx: &mut T,
    instance: &Instance,
    admin_key_id: Option<AdminKeyId>,
    is_writable: bool,
) -> Result<Instance, SetupError> {
    if is_writable {
        tx.instances_lock()?;
    }
    let now = tx.server_time()?.unwrap_or(instance.last_seen_at);
    let live = tx.instances(now - LIVE_FOR, PageRequest::new(MAX_INSTANCES, None))?;
    let other = live
        .items
        .into_iter()
        .find(|other| other.admin_key_id != admin_key_id);
    if let Some(other) = other {
        let difference = match (other.admin_key_id, admin_key_id) {
            (Some(_), Some(_)) => "with another MOLECULE_CP_ADMIN_KEY",
            (Some(_), None) => "with a MOLECULE_CP_ADMIN_KEY, which this one does not have",
            (None, _) => "without the MOLECULE_CP_ADMIN_KEY that this one has",
        };
        return Err(SetupError::OtherAdminKey(OtherInstance {
            id: other.id,
            host: other.host,
            difference,
        }));
    }
    let registered = Instance {
        admin_key_id,
        last_seen_at: now,
        ..instance.clone()
    };
    if is_writable {
        tx.instance_report(&registered)?;
    }
    Ok(registered)
}
