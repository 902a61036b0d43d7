//! The wire: what requests and answers look like, the error table, and cursors.
//!
//! Requests are read into the domain's own types, so that what has been read is valid; answers are
//! made from them. This crate refuses to know how a request travels and what is done with it.

mod code;
mod cursor;
mod event;
mod fields;
mod help;
mod idempotency;
mod key;
mod list;
pub mod openapi;
mod org;
mod partner;
mod prefer;
mod problem;
mod query;
mod strict;
mod time;
mod webhook;
mod whoami;

pub use code::ErrorCode;
pub use cursor::{Cursor, InvalidCursor};
pub use event::{EventView, event_list_request};
pub use fields::{BodyError, FieldError, Fields};
pub use help::Help;
pub use idempotency::{InvalidIdempotencyKey, idempotency_key};
pub use key::{KeyView, NewKeyView, key_changes, key_draft, key_list_request};
pub use list::{ListParams, ListView, list_view};
pub use org::{
    BillingRequest, BillingView, DeletedOrgsView, OrgView, StatusView, WorkspaceView,
    billing_request, org_draft, org_list_request, orgs_deletion, renewal, workspace_draft,
};
pub use partner::{PartnerView, RateLimitView, partner_changes, partner_draft};
pub use prefer::{MAX_WAIT, preferred_wait};
pub use problem::Problem;
pub use query::{Query, QueryError};
pub use time::{Time, parse_time};
pub use webhook::{DeliveryView, EndpointView, NewEndpointView, endpoint_draft, message_body};
pub use whoami::{CredentialView, LimitView, WhoamiView};
