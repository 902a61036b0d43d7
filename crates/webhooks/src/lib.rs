#![doc = include_str!("../README.md")]
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
