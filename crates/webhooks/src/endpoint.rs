//! Endpoints: where a partner wants to be told.

use ids::{EndpointId, PartnerId};
use time::{Duration, OffsetDateTime};

use crate::{EndpointUrl, Kinds};

/// How many endpoints a partner can have.
pub const MAX_ENDPOINTS: usize = 16;
/// How long the secret before a rotation goes on signing beside the new one.
pub const SECRET_OVERLAP: Duration = Duration::hours(24);

/// An endpoint that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointDraft {
    /// Where to send messages.
    pub url: EndpointUrl,
    /// About what.
    pub events: Kinds,
}

/// Where a partner wants to be told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Where messages are sent.
    pub url: EndpointUrl,
    /// What they are about.
    pub events: Kinds,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Until when the secret before the last rotation signs too.
    pub old_secret_until: Option<OffsetDateTime>,
    /// Since when nothing more is sent, because the receiver said that it is gone.
    pub disabled_at: Option<OffsetDateTime>,
}

impl Endpoint {
    /// The name of its status on the wire.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.disabled_at {
            None => "active",
            Some(_) => "disabled",
        }
    }

    /// Until when the secret before the last rotation signs, if it still does at `now`.
    #[must_use]
    pub fn overlap(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.old_secret_until.filter(|&until| until > now)
    }
}

/// The secrets of an endpoint as they are stored: nobody can read them but a holder of the pepper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecrets {
    /// The one in force.
    pub current: Vec<u8>,
    /// The one before the last rotation.
    pub old: Option<Vec<u8>>,
}
