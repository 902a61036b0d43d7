#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod draft;
mod filter;
mod options;
mod org;
mod output;
mod plan;
mod provisioner;
mod slug;
mod status;
mod step;
mod store;
mod subscription;
mod ttl;
mod workspace;

pub use draft::{BillingDraft, EmptyPeriod, OrgChanges, OrgDraft, OrgsDeletion, WorkspaceDraft};
pub use filter::{OrgCriteria, OrgFilter, OrgListRequest};
pub use options::{OptionsTooLong, OrgOptions};
pub use org::{ChangeKind, Failure, LeaseConflict, Org, OrgVisibility, PendingChange};
pub use output::{InvalidOutput, MAX_ANSWER, OrgSecrets, ProvisionOutput, SecretMask, SecretValue};
pub use plan::{
    InvalidCatalogue, MAX_OPTION_FAULTS, OptionRules, OptionsSchema, Plan, PlanCatalogue,
};
pub use provisioner::{
    LocalProvisioner, OrgConfig, ProvisionError, ProvisionRequest, Provisioner, StopReason, Verb,
};
pub use slug::{InvalidSlug, ReservedSlugs, SLUG_HOLD, Slug};
pub use status::{InvalidTransition, OrgStatus, Transition, UnknownOrgStatus};
pub use step::{Step, StepName, StepStatus};
pub use store::{
    DeletionSelector, DueLimits, DueOrg, DueOrgs, ExpiredOrgs, Lease, LeaseToken, NewOrg,
    OrgBacklog, OrgDeletionQueries, OrgDeletionStore, OrgProgress, OrgQueries, OrgStore, OrgWork,
    OrgWorkQueries, OrgWorkStore, SlugRequest, SlugStore, StatusSummary, SubscriptionQueries,
    SubscriptionStore, WorkspaceQueries, WorkspaceStore,
};
pub use subscription::{Subscription, SubscriptionStatus, UnknownSubscriptionStatus};
pub use ttl::{InvalidTtl, Ttl};
pub use workspace::{DEFAULT_WORKSPACE, Workspace};
