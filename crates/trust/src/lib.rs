#![doc = include_str!("../README.md")]
//!
//! A pipeline's provider signs a token for each of its jobs. A [`TrustRule`] says whose tokens are taken, by
//! their issuer, their audience and their claims. [`Jwt`] is such a token.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod claims;
mod issuer;
mod jwt;
mod rule;
mod store;
mod verdict;

pub use claims::{
    ClaimPatch, ClaimValue, ClaimValues, Claims, InvalidClaims, MAX_CLAIMS, Refusals,
};
pub use issuer::{InvalidIssuer, Issuer, IssuerPolicy};
pub use jwt::{Algorithm, InvalidJwt, Jwt, MAX_JWT, TokenDigest};
pub use rule::{
    InvalidRule, MAX_RULES, MAX_TOKEN_TTL, MIN_TOKEN_TTL, TokenTtl, TrustRule, TrustRuleChanges,
    TrustRuleDraft,
};
pub use store::{TrustRuleQueries, TrustRuleStore};
pub use verdict::{Denial, LEEWAY};
