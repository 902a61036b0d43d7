//! Why a request was rejected.

use std::{net::IpAddr, time::Duration};

use api::{ErrorCode, FieldError};
use ids::{OrgId, PlanName};
use keys::RotationConflict;
use orgs::{InvalidTransition, LeaseConflict, OrgStatus, Slug};
use scopes::Scope;
use stores::StoreError;

use crate::LimitName;

/// Why an org's state does not allow an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrgConflict {
    /// There is no such transition from its status.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
    /// It must be ready.
    #[error("the org is {0}; this needs one that is ready")]
    NotReady(OrgStatus),
    /// Its secrets can't be opened: the operator has given up the pepper that they were sealed under.
    #[error(
        "the org's secrets are lost, for the operator has given up the key that sealed them; rotate them"
    )]
    SecretsLost,
    /// It must not be deleted or being deleted.
    #[error("the org is {0}; it can't be changed any more")]
    Deleting(OrgStatus),
    /// Its lease can't be renewed.
    #[error(transparent)]
    Lease(#[from] LeaseConflict),
}

/// Why a request was rejected, or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The key is unknown.
    #[error("unknown API key; check that the whole key was copied")]
    InvalidKey,
    /// The key has expired.
    #[error("the key has expired")]
    KeyExpired,
    /// This secret of the key has ended; the key has another one.
    #[error("this secret of the key has ended")]
    SecretEnded,
    /// The key is revoked.
    #[error("the key has been revoked")]
    KeyRevoked,
    /// The key is disabled.
    #[error("the key is disabled")]
    KeyDisabled,
    /// One limit is used up, or several.
    #[error("the limit {} is used up", names(limits))]
    RateLimited {
        /// The limits that are used up.
        limits: Vec<LimitName>,
        /// How long to wait until all of them allow a request.
        retry_after: Duration,
    },
    /// The credential has too many lists waiting.
    #[error("too many lists of this credential are waiting")]
    TooManyLists,
    /// This kind of credential can't do this; the text says which can.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// The key is limited to other addresses, or the client's address is unknown.
    #[error("the key can't be used from {}", address_text(.0))]
    IpNotAllowed(Option<IpAddr>),
    /// The partner's plan does not include keys.
    #[error("keys are for partners on plan partner or enterprise")]
    PartnerPlanRequired,
    /// The key has none of the scopes that the operation accepts.
    #[error("the key lacks a scope")]
    InsufficientScope(&'static [Scope]),
    /// The key is limited to other plans.
    #[error("the key is limited to orgs of other plans")]
    OrgPlanNotAllowed {
        /// The plan in the request.
        plan: PlanName,
        /// The plans that the key is limited to.
        allowed: Vec<PlanName>,
    },
    /// Values in the request are invalid.
    #[error("values in the request are invalid")]
    Validation(Vec<FieldError>),
    /// There is no such resource that the caller can see.
    #[error("there is no such resource")]
    NotFound,
    /// The slug is in use, or reserved for its last owner for a while.
    #[error("the slug is taken")]
    SlugTaken,
    /// The org's state does not allow the operation.
    #[error(transparent)]
    Org(#[from] OrgConflict),
    /// Orgs are protected from deletion.
    #[error("{} of the orgs are protected from deletion", .0.len())]
    OrgProtected(Vec<(OrgId, Slug)>),
    /// The key is revoked and can't be changed.
    #[error("the key has been revoked and can't be changed any more")]
    KeyState,
    /// The key can't be rotated, or its rotation can't be ended.
    #[error(transparent)]
    Rotation(#[from] RotationConflict),
    /// The response is erased that the first request of this idempotency key had.
    #[error("the response is erased, for the secret that it showed has ended")]
    ResponseErased,
    /// The partner has reached its quota.
    #[error("the partner has reached its quota of {0} orgs")]
    OrgQuota(u64),
    /// The key has reached its quota.
    #[error("the key has reached its quota of {0} orgs")]
    KeyOrgQuota(u64),
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    IdempotencyKeyReused,
    /// A request with this idempotency key is in progress.
    #[error("a request with this idempotency key is in progress")]
    IdempotencyInProgress,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn names(limits: &[LimitName]) -> String {
    let names: Vec<_> = limits
        .iter()
        .map(|limit| format!("{:?}", limit.as_str()))
        .collect();
    names.join(" and ")
}

fn address_text(address: &Option<IpAddr>) -> String {
    address.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string())
}

impl Error {
    /// The error's code on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidKey => ErrorCode::InvalidKey,
            Self::KeyExpired | Self::SecretEnded => ErrorCode::KeyExpired,
            Self::KeyRevoked => ErrorCode::KeyRevoked,
            Self::KeyDisabled => ErrorCode::KeyDisabled,
            Self::RateLimited { .. } | Self::TooManyLists => ErrorCode::RateLimited,
            Self::NotPermitted(_) => ErrorCode::NotPermitted,
            Self::IpNotAllowed(_) => ErrorCode::IpNotAllowed,
            Self::PartnerPlanRequired => ErrorCode::PartnerPlanRequired,
            Self::InsufficientScope(_) => ErrorCode::InsufficientScope,
            Self::OrgPlanNotAllowed { .. } => ErrorCode::OrgPlanNotAllowed,
            Self::Validation(_) => ErrorCode::ValidationFailed,
            Self::NotFound => ErrorCode::NotFound,
            Self::SlugTaken => ErrorCode::SlugTaken,
            Self::Org(_) => ErrorCode::OrgStateConflict,
            Self::OrgProtected(_) => ErrorCode::OrgDeleteProtected,
            Self::KeyState | Self::Rotation(_) | Self::ResponseErased => {
                ErrorCode::KeyStateConflict
            }
            Self::OrgQuota(_) | Self::KeyOrgQuota(_) => ErrorCode::OrgQuotaExceeded,
            Self::IdempotencyKeyReused => ErrorCode::IdempotencyKeyReused,
            Self::IdempotencyInProgress => ErrorCode::IdempotencyInProgress,
            Self::Store(error) if error.is_temporary() => ErrorCode::Unavailable,
            Self::Store(_) => ErrorCode::Internal,
        }
    }

    /// An error of one value of the request.
    pub(crate) fn at(pointer: &str, detail: impl ToString) -> Self {
        Self::Validation(vec![FieldError::new(pointer, detail.to_string())])
    }
}
