#![doc = include_str!("../README.md")]

mod admin;
mod answer;
mod audit_events;
mod builder;
mod error;
mod exchange;
mod leaks;
mod pages;
mod partner_keys;
mod partner_orgs;
mod request;
mod retry;
mod tls;
mod wait;
mod webhooks;

pub use api::{ErrorCode, client::*};
pub use ids::{
    AdminKeyId, DeliveryId, EndpointId, EventId, InstanceId, KeyId, OrgId, PartnerId, TrustRuleId,
    TypedId, Ulid, WorkspaceId,
};
pub use keys::{AdminRole, KeyStatus, OnLeak, OnRevoke, PartnerPlan, RevocationReason};
pub use orgs::{OrgStatus, StepName, StepStatus, SubscriptionStatus};
pub use reqwest::Method;
pub use scopes::Scope;

pub use self::{
    admin::Admin,
    answer::Answer,
    builder::{Builder, InvalidSetting},
    error::{Error, Refusal},
    pages::Items,
    partner_orgs::OrgDeletion,
    request::{Client, Request},
    retry::RetryPolicy,
    wait::{States, is_pending},
};
