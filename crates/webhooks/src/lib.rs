//! Webhooks: messages that the control plane sends to those who want to know.
//!
//! This crate has the secrets and signatures of Standard Webhooks 1.0.0.
//! It refuses to know how messages travel, how they are stored, and what time it is; randomness is an
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

mod secret;
mod signature;
#[cfg(test)]
mod testing;

pub use secret::{InvalidSecret, WebhookSecret};
pub use signature::{
    ID_HEADER, Message, Received, SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE, Unverified,
};
