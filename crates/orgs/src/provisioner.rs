//! What makes an org real, and takes it away again.

use std::future::Future;

use crate::{Failure, Org};

/// Why a provisioner did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// It may work another time.
    #[error("{}", .0.message)]
    TryAgain(Failure),
    /// It will not work until somebody has changed something.
    #[error("{}", .0.message)]
    Failed(Failure),
}

/// Makes what an org stands on, and takes it away.
///
/// It may be asked again for the same org, after a crash or when an answer was lost, and must then end
/// in the same state: the org's id is the idempotency key.
pub trait Provisioner: Send + Sync + 'static {
    /// Makes what the org stands on.
    fn provision(&self, org: &Org) -> impl Future<Output = Result<(), ProvisionError>> + Send;

    /// Takes it away, whether it was made wholly, in part, or not at all.
    fn deprovision(&self, org: &Org) -> impl Future<Output = Result<(), ProvisionError>> + Send;
}

/// An org that stands on nothing but the control plane's own records.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProvisioner;

impl Provisioner for LocalProvisioner {
    async fn provision(&self, _org: &Org) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn deprovision(&self, _org: &Org) -> Result<(), ProvisionError> {
        Ok(())
    }
}
