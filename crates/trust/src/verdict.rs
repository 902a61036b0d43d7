//! Whether a token is trusted by a rule.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::{InvalidJwt, Jwt, TrustRule};

/// How far the clocks of issuers may be from ours.
pub const LEEWAY: Duration = Duration::seconds(60);

/// Why a token is not exchanged. The text names what did not match, never what was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It is not a token that can be verified.
    #[error(transparent)]
    Form(#[from] InvalidJwt),
    /// It has another issuer.
    #[error("the claim iss does not match the rule")]
    Issuer,
    /// A claim that is a time is missing, or no time.
    #[error("the claim {0} is missing or not a time")]
    Time(&'static str),
    /// It has expired.
    #[error("the token has expired (claim exp); ask the provider for another one")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet (claim {0}); check the clocks")]
    NotYetValid(&'static str),
    /// The issuer has no such key.
    #[error("the issuer has no key that fits the token (header kid and alg)")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature of the token is wrong")]
    Signature,
    /// It is for another audience.
    #[error(
        "the claim aud does not match the rule; ask the provider for a token with the rule's audience"
    )]
    Audience,
    /// The id of the token is no text.
    #[error("the claim jti is not a string of up to 255 characters")]
    TokenId,
    /// A claim is not as the rule wants it.
    #[error("the claim {0} does not match the rule")]
    Claim(String),
    /// A claim is as the rule refuses it.
    #[error("the claim {0} has a value that the rule refuses")]
    Refused(String),
    /// It was exchanged before.
    #[error("the token has been exchanged before; ask the provider for another one")]
    Replayed,
}

impl Denial {
    /// A short name of the reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Form(_) => "malformed",
            Self::Issuer => "issuer",
            Self::Time(_) => "time",
            Self::Expired => "expired",
            Self::NotYetValid(_) => "not-yet-valid",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::TokenId => "token-id",
            Self::Claim(_) => "claim",
            Self::Refused(_) => "refused-claim",
            Self::Replayed => "replayed",
        }
    }
}

impl TrustRule {
    /// What can be told of a token before its signature is verified: nothing of it tells what the rule wants, save
    /// its issuer.
    ///
    /// # Errors
    /// When the token is not trusted whoever has signed it.
    pub fn check_unverified(&self, token: &Jwt, now: OffsetDateTime) -> Result<(), Denial> {
        if token.claims.get("iss").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err(Denial::Issuer);
        }
        let time = |claim| token.time(claim).map_err(|()| Denial::Time(claim));
        let end = time("exp")?.ok_or(Denial::Time("exp"))?;
        if end.saturating_add(LEEWAY) <= now {
            return Err(Denial::Expired);
        }
        for claim in ["nbf", "iat"] {
            if time(claim)?.is_some_and(|from| from.saturating_sub(LEEWAY) > now) {
                return Err(Denial::NotYetValid(claim));
            }
        }
        Ok(())
    }

    /// Whether a token whose signature was verified is trusted.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_verified(&self, token: &Jwt, now: OffsetDateTime) -> Result<(), Denial> {
        self.check_unverified(token, now)?;
        let is_for_us = match token.claims.get("aud") {
            Some(Value::String(audience)) => *audience == self.audience,
            Some(Value::Array(audiences)) => audiences
                .iter()
                .any(|audience| audience.as_str() == Some(&self.audience)),
            Some(_) | None => false,
        };
        if !is_for_us {
            return Err(Denial::Audience);
        }
        match token.claims.get("jti") {
            None => {}
            Some(Value::String(jti)) if (1..=255).contains(&jti.chars().count()) => {}
            Some(_) => return Err(Denial::TokenId),
        }
        if let Some(claim) = self.claims.unmatched(&token.claims) {
            return Err(Denial::Claim(claim.to_owned()));
        }
        if let Some(claim) = self.refuse.refused(&token.claims) {
            return Err(Denial::Refused(claim.to_owned()));
        }
        Ok(())
    }
}
