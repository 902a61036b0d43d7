#![doc = include_str!("../README.md")]
//!
//! Requests are read into types of the domain, so that a value that was read is valid. See [`wire`].

mod billing;
pub mod client;
mod code;
mod cursor;
mod empty;
mod event;
mod health;
mod help;
mod idempotency;
mod instance;
mod key;
mod leak;
mod list;
pub mod openapi;
mod org;
mod partner;
mod plan;
mod prefer;
mod problem;
mod query;
mod secret;
mod time;
mod token;
mod trust_rule;
mod webhook;
mod whoami;
pub mod wire;
mod workspace;

pub use billing::{BillingRequest, BillingView};
pub use code::ErrorCode;
pub use cursor::{Cursor, InvalidCursor};
pub use empty::EmptyBody;
pub use event::{EventFilters, EventView};
pub use health::HealthView;
pub use help::Help;
pub use idempotency::{InvalidIdempotencyKey, idempotency_key};
pub use instance::{
    ConfirmationView, InstanceView, MissingConfirmationView, RevocationReceiptView,
};
pub use key::{
    KeyFilters, KeyRevocation, KeyView, NewKeyView, NewPartnerKey, PartnerKeyChanges,
    rotation::{NewRotation, SecretView},
};
pub use leak::{
    FALSE_POSITIVE, GithubLeak, GithubLeaks, GithubVerdictView, LeakReport, LeakView,
    LeakedKeyView, TRUE_POSITIVE,
};
pub use list::{ListParams, ListView, list_view};
pub use org::{
    DeletedOrgsView, DeletionQuery, NewOrg, OrgFilters, OrgPatch, OrgView, Renewal, SecretsView,
    StatusView,
};
pub use partner::{NewPartner, PartnerChanges, PartnerView, RateLimitView};
pub use plan::PlanView;
pub use prefer::{MAX_RECEIPT_WAIT, MAX_WAIT, preferred_wait};
pub use problem::Problem;
pub use query::{Parameters, Query, QueryError};
pub use secret::Secret;
pub use time::{Time, parse_time};
pub use token::{TokenErrorView, TokenRequest, TokenRequestError, TokenView};
pub use trust_rule::{
    NewTrustRule, TrustRuleChanges, TrustRuleFilters, TrustRulePolicy, TrustRuleView,
};
pub use webhook::{
    DeliveryView, DisabledEndpointView, EndpointView, NewEndpointView, NewWebhookEndpoint,
    Redelivery, RedeliveryView, TestView, WebhookEndpointChanges, message_body,
};
pub use whoami::{CredentialView, LimitView, QuotaView, WhoamiView};
pub use wire::{BodyError, FieldError, Request};
pub use workspace::{NewWorkspace, WorkspaceView};
