//! Provisioners: what makes orgs real, changes them, and removes them again.

use std::future::Future;

use ids::PlanName;

use crate::{ChangeKind, Failure, Org, OrgOptions, ProvisionOutput, SecretMask, StepName};

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

impl ProvisionError {
    /// The same, with what it says changed.
    #[must_use]
    pub fn map_message(self, change: impl FnOnce(&str) -> String) -> Self {
        let changed = |Failure { code, message }| Failure {
            code,
            message: change(&message),
        };
        match self {
            Self::TryAgain(failure) => Self::TryAgain(changed(failure)),
            Self::Failed(failure) => Self::Failed(changed(failure)),
            Self::Interrupted => Self::Interrupted,
        }
    }
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

/// What a provisioner is asked to do with an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Provisions what the org needs.
    Provision,
    /// Removes it, whether it was provisioned wholly, in part, or not at all.
    Deprovision,
    /// Changes it to another plan or other options.
    Update,
    /// Replaces the secrets that it has given.
    Rotate,
}

impl Verb {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.step().as_str()
    }

    /// The step of the org that shows how far it is.
    #[must_use]
    pub const fn step(self) -> StepName {
        match self {
            Self::Provision => StepName::Provision,
            Self::Deprovision => StepName::Deprovision,
            Self::Update => StepName::Update,
            Self::Rotate => StepName::Rotate,
        }
    }
}

/// What an org's provisioner goes by: the plan and the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgConfig {
    /// The plan.
    pub plan: PlanName,
    /// The options.
    pub options: OrgOptions,
}

/// One thing that a provisioner is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionRequest {
    /// What to do.
    pub verb: Verb,
    /// The org, for an update with the plan and the options that it is to have.
    pub org: Org,
    /// What an update changes: the plan and the options until now.
    pub previous: Option<OrgConfig>,
    /// The org's secrets, which no log line and no failure may show.
    pub known_secrets: SecretMask,
}

impl ProvisionRequest {
    /// What is due for this org; `None` when nothing is.
    #[must_use]
    pub fn due(org: &Org) -> Option<Self> {
        let (verb, mut org) = (org.verb()?, org.clone());
        let previous = match org.change.as_ref().map(|change| change.kind.clone()) {
            Some(ChangeKind::Update(OrgConfig { plan, options })) => Some(OrgConfig {
                plan: std::mem::replace(&mut org.plan, plan),
                options: std::mem::replace(&mut org.options, options),
            }),
            Some(ChangeKind::Rotate) | None => None,
        };
        Some(Self {
            verb,
            org,
            previous,
            known_secrets: SecretMask::default(),
        })
    }
}

/// Does what orgs need: provisions and deprovisions them, and changes what was provisioned.
///
/// It may be asked again for the same org, after a crash or when an answer was lost, and must then end
/// in the same state: the org's id is the idempotency key.
///
/// It is never asked for one org by two workers at a time. So that this holds to the end, a provisioner
/// answers only when nothing of what it has begun still runs. When `stop` resolves, it ends what it has
/// begun as soon as it can, and says [`ProvisionError::Interrupted`] if the work is not done: the org is then
/// given to the next worker at once. One that can't end what it has begun does not answer before it is done.
/// A future that is dropped ends too, though nobody waits for that.
pub trait Provisioner: Send + Sync + 'static {
    /// Does what is asked for, and hands back what the org's users need.
    fn run(
        &self,
        request: &ProvisionRequest,
        stop: impl Future<Output = StopReason> + Send,
    ) -> impl Future<Output = Result<ProvisionOutput, ProvisionError>> + Send;

    /// How many orgs it can work on at the same time, 1 at the least.
    fn max_concurrency(&self) -> usize {
        DEFAULT_MAX_CONCURRENCY
    }
}

/// Provisions nothing: an org is but the control plane's own records.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProvisioner;

impl Provisioner for LocalProvisioner {
    async fn run(
        &self,
        _request: &ProvisionRequest,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        Ok(ProvisionOutput::default())
    }

    /// It is done at once, so this bounds what waits to be recorded.
    fn max_concurrency(&self) -> usize {
        4096
    }
}
