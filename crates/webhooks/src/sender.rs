//! What carries a message to its receiver.

use std::future::Future;

use ids::PartnerId;

use crate::EndpointUrl;

/// The longest excerpt of a receiver's answer that is kept, in characters.
pub const MAX_EXCERPT: usize = 500;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Posting {
    /// Whose endpoint it goes to: senders share by partner what they have little of.
    pub partner_id: PartnerId,
    /// Where it goes.
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

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reception {
    /// The receiver answered.
    Answered {
        /// With this status of HTTP.
        status_code: u16,
        /// And this body, as far as it was read.
        body: String,
    },
    /// There was no answer; the text says why, in words for the partner.
    Unanswered(String),
}

/// Carries messages to their receivers.
///
/// It follows no redirect, asks for a host's addresses once, connects to one of those that it has
/// checked, and gives up in bounded time.
pub trait Sender: Send + Sync + 'static {
    /// Sends one message and waits for the answer.
    fn send(&self, posting: Posting) -> impl Future<Output = Reception> + Send;
}

/// The beginning of a text, without control characters.
#[must_use]
pub fn excerpt(text: &str) -> String {
    text.chars()
        .take(MAX_EXCERPT)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}
