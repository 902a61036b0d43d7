#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod change;
mod id;
mod labels;
mod name;
mod page;
mod plan;
mod sequence;

pub use change::{Change, LabelChanges};
pub use id::{
    AdminKeyId, DeliveryId, EndpointId, EventId, InstanceId, KeyId, OrgId, ParseIdError, PartnerId,
    RequestId, TrustRuleId, TypedId, WorkspaceId, canonical_ulid,
};
pub use labels::{InvalidLabels, Labels, MAX_LABELS};
pub use name::{InvalidName, Name};
pub use page::{Page, PageRequest};
pub use plan::{InvalidPlanName, PlanName};
pub use sequence::Sequence;
pub use ulid::Ulid;
