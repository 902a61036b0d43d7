//! Senders: what carries a message to its receiver.

use std::future::Future;

use ids::PartnerId;

use crate::EndpointUrl;

/// The longest excerpt of a receiver's answer that is kept, in characters.
pub const MAX_EXCERPT: usize = 500;

/// A signed message that is to be sent.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    /// The endpoint's partner: senders share by partner what they have little of.
    pub partner_id: PartnerId,
    /// The endpoint's URL.
    pub url: EndpointUrl,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The body, JSON.
    pub body: String,
}

/// The outcome of sending a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The receiver responded.
    Response {
        /// The HTTP status.
        status_code: u16,
        /// The body, as far as it was read.
        body: String,
    },
    /// There was no response; the text says why, in words for the partner.
    NoResponse(String),
}

/// Carries messages to their receivers.
///
/// It follows no redirect, asks for a host's addresses once, connects to one of those that it has
/// checked, and gives up in bounded time.
pub trait Sender: Send + Sync + 'static {
    /// Sends one message and waits for the answer.
    fn send(&self, posting: OutgoingMessage) -> impl Future<Output = SendOutcome> + Send;
}

/// The beginning of a text, without control characters.
#[must_use]
pub fn excerpt(text: &str) -> String {
    text.chars()
        .take(MAX_EXCERPT)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}
