//! Webhooks: messages that the control plane sends to partners who want to know.
//!
//! Endpoints and what they listen to, deliveries and when they are tried again, the addresses that
//! are never called, and the secrets and signatures of Standard Webhooks 1.0.0.
//! This crate must not know how messages travel ([`Sender`] says what is asked of that), how they
//! are stored ([`EndpointStore`], [`DeliveryStore`]), what orgs and keys are, and what time it is; randomness is an
//! argument.
//!
//! ```
//! use time::macros::datetime;
//! use webhooks::{Message, Received, WebhookSecret};
//!
//! let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let now = datetime!(2026-04-23 08:00 UTC);
//! let message = Message { id: "msg_1", timestamp: now, body: b"{}" };
//!
//! let received = Received {
//!     id: message.id,
//!     timestamp: &message.timestamp_header(),
//!     signature: &message.signature_header([&secret]),
//!     body: message.body,
//! };
//! received.verify(&secret, now)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod address;
mod delivery;
mod endpoint;
mod kind;
mod schedule;
mod secret;
mod sender;
mod signature;
mod store;
#[cfg(test)]
mod testing;
mod url;

pub use address::{NotPublic, check_public};
pub use delivery::{AttemptOutcome, Delivery, DeliveryStatus, LastAnswer};
pub use endpoint::{
    DEAD_AFTER, DEAD_AFTER_ATTEMPTS, DisabledReason, Endpoint, EndpointChanges, EndpointDraft,
    Failures, MAX_BACKLOG, MAX_ENDPOINTS, MAX_OLD_SECRETS, OldSecret, SECRET_OVERLAP,
    SealedSecrets,
};
pub use kind::{EventKind, EventKinds, NoEventKinds, UnknownKind};
pub use schedule::{ANNOUNCED_AHEAD, max_retry_delay, retry_delay};
pub use secret::{InvalidSecret, WebhookSecret};
pub use sender::{MAX_EXCERPT, OutgoingMessage, SendOutcome, Sender, excerpt};
pub use signature::{
    ID_HEADER, Message, Received, SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE, VerificationError,
};
pub use store::{
    AnnouncementQueries, AnnouncementStore, Backlog, DeliveryQueries, DeliveryStore,
    EndpointQueries, EndpointStore, Lease, PendingDelivery, PendingEndpoint, PendingEndpoints,
    WebhookRetention,
};
pub use url::{AddressPolicy, EndpointUrl, InvalidUrl};
