//! Provisioners: what makes orgs real, and removes them again.

use std::future::Future;

use crate::{Failure, Org};

const DEFAULT_MAX_CONCURRENCY: usize = 64;

/// Why a provisioner did not finish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// A later attempt may succeed.
    #[error("{}", .0.message)]
    TryAgain(Failure),
    /// No attempt will succeed until something is changed.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// It was cancelled before it was done; this does not count as an attempt.
    #[error("the provisioner was cancelled")]
    Interrupted,
}

/// Why a provisioner is to stop before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The org is to be deleted, so provisioning it has become useless.
    Deletion,
    /// This process stops.
    Shutdown,
    /// Another worker may take the org at any moment.
    LeaseLost,
}

/// Provisions and deprovisions what an org needs.
///
/// It may be asked again for the same org, after a crash or when an answer was lost, and must then end
/// in the same state: the org's id is the idempotency key.
///
/// It is never asked for one org by two workers at a time. So that this holds to the end, a provisioner
/// answers only when nothing of what it has begun still runs. When `stop` resolves, it ends what it has
/// begun as soon as it can, and says [`ProvisionError::Interrupted`] if the work is not done.
/// A future that is dropped ends too, though nobody waits for that.
pub trait Provisioner: Send + Sync + 'static {
    /// Provisions what the org needs.
    fn provision(
        &self,
        org: &Org,
        stop: impl Future<Output = StopReason> + Send,
    ) -> impl Future<Output = Result<(), ProvisionError>> + Send;

    /// Removes it, whether it was provisioned wholly, in part, or not at all.
    fn deprovision(
        &self,
        org: &Org,
        stop: impl Future<Output = StopReason> + Send,
    ) -> impl Future<Output = Result<(), ProvisionError>> + Send;

    /// How many orgs it can work on at the same time, 1 at the least.
    fn max_concurrency(&self) -> usize {
        DEFAULT_MAX_CONCURRENCY
    }
}

/// Provisions nothing: an org is but the control plane's own records.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProvisioner;

impl Provisioner for LocalProvisioner {
    async fn provision(
        &self,
        _org: &Org,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn deprovision(
        &self,
        _org: &Org,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<(), ProvisionError> {
        Ok(())
    }

    /// It is done at once, so this bounds what waits to be recorded.
    fn max_concurrency(&self) -> usize {
        4096
    }
}
