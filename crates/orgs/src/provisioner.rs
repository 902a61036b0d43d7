//! What makes an org real, and takes it away again.

use std::future::Future;

use crate::{Failure, Org};

/// How many orgs are worked on at once where a provisioner says nothing else.
const AT_ONCE: usize = 64;

/// Why a provisioner did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// It may work another time.
    #[error("{}", .0.message)]
    TryAgain(Failure),
    /// It will not work until somebody has changed something.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// It was told to stop before it was done; this does not count as an attempt.
    #[error("it was told to stop")]
    Interrupted,
}

/// Why a provisioner is to stop before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The org is to be taken away, so there is no use in making it.
    Deletion,
    /// This process comes to its end.
    Shutdown,
    /// Another worker may take the org up any moment.
    LeaseLost,
}

/// Makes what an org stands on, and takes it away.
///
/// It may be asked again for the same org, after a crash or when an answer was lost, and must then end
/// in the same state: the org's id is the idempotency key.
///
/// It is never asked for one org by two workers at a time. So that this holds to the end, a provisioner
/// answers only when nothing of what it has begun still runs. When `stop` resolves, it ends what it has
/// begun as soon as it can, and says [`ProvisionError::Interrupted`] if the work is not done.
/// A call that is dropped ends too, though nobody waits for that.
pub trait Provisioner: Send + Sync + 'static {
    /// Makes what the org stands on.
    fn provision(
        &self,
        org: &Org,
        stop: impl Future<Output = Stop> + Send,
    ) -> impl Future<Output = Result<(), ProvisionError>> + Send;

    /// Takes it away, whether it was made wholly, in part, or not at all.
    fn deprovision(
        &self,
        org: &Org,
        stop: impl Future<Output = Stop> + Send,
    ) -> impl Future<Output = Result<(), ProvisionError>> + Send;

    /// How many orgs it can be asked for at once, 1 at the least.
    fn at_once(&self) -> usize {
        AT_ONCE
    }
}

/// An org that stands on nothing but the control plane's own records.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProvisioner;

impl Provisioner for LocalProvisioner {
    async fn provision(
        &self,
        _org: &Org,
        _stop: impl Future<Output = Stop> + Send,
    ) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn deprovision(
        &self,
        _org: &Org,
        _stop: impl Future<Output = Stop> + Send,
    ) -> Result<(), ProvisionError> {
        Ok(())
    }

    /// It is done at once, so this bounds what waits to be written down.
    fn at_once(&self) -> usize {
        4096
    }
}
