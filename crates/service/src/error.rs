//! Why a call was not answered as it wished.

use std::{net::IpAddr, time::Duration};

use api::{ErrorCode, FieldError};
use ids::PlanName;
use orgs::{LeaseConflict, OrgStatus, WrongMove};
use scopes::Scope;
use stores::StoreError;

use crate::LimitName;

/// Why an org's state does not allow what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrgConflict {
    /// It can't move so.
    #[error(transparent)]
    Move(#[from] WrongMove),
    /// It must be ready for this.
    #[error("the org is {0}; this needs one that is ready")]
    NotReady(OrgStatus),
    /// Its lease can't be renewed.
    #[error(transparent)]
    Lease(#[from] LeaseConflict),
}

/// Why a call was refused, or could not be carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Nobody knows the key.
    #[error("the key is unknown, or was mistyped")]
    InvalidKey,
    /// The key's time is over.
    #[error("the key has expired")]
    KeyExpired,
    /// The key is revoked.
    #[error("the key has been revoked")]
    KeyRevoked,
    /// The key is switched off.
    #[error("the key is disabled")]
    KeyDisabled,
    /// One limit is used up, or several.
    #[error("the limit {} is used up", names(limits))]
    RateLimited {
        /// Which ones.
        limits: Vec<LimitName>,
        /// How long to wait until all of them allow a call.
        retry_after: Duration,
    },
    /// As many lists of this credential wait as may.
    #[error("too many lists of this credential are waiting")]
    TooManyLists,
    /// This kind of credential can't do this; the text says what can.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// The key is held to other addresses than this one, or the client's address is not known.
    #[error("the key can't be used from {}", address_text(.0))]
    IpNotAllowed(Option<IpAddr>),
    /// The partner's plan does not include keys.
    #[error("keys are for partners on plan partner or enterprise")]
    PartnerPlanRequired,
    /// The key has none of the scopes of which one is needed.
    #[error("the key lacks a scope")]
    InsufficientScope(&'static [Scope]),
    /// The key is held to other plans.
    #[error("the key creates orgs of other plans")]
    OrgPlanNotAllowed {
        /// The plan that was asked for.
        plan: PlanName,
        /// Those that are allowed.
        allowed: Vec<PlanName>,
    },
    /// Values are wrong.
    #[error("values in the request are wrong")]
    Validation(Vec<FieldError>),
    /// There is no such thing, or not for this caller.
    #[error("there is no such resource")]
    NotFound,
    /// The slug is in use, or kept from others for a while.
    #[error("the slug is taken")]
    SlugTaken,
    /// The org's state does not allow it.
    #[error(transparent)]
    Org(#[from] OrgConflict),
    /// The key is revoked and can't be changed.
    #[error("the key has been revoked and can't be changed any more")]
    KeyState,
    /// The partner has as many orgs as it may.
    #[error("the partner may have {0} orgs and has them")]
    OrgQuota(u64),
    /// As many orgs of the key's making are there as may be.
    #[error("the key may have {0} orgs and has them")]
    KeyOrgQuota(u64),
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    IdempotencyKeyReused,
    /// A call with this idempotency key is still running.
    #[error("a call with this idempotency key is still running")]
    IdempotencyInProgress,
    /// The database did not do what was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The names of limits as an error tells them.
fn names(limits: &[LimitName]) -> String {
    let names: Vec<_> = limits
        .iter()
        .map(|limit| format!("{:?}", limit.as_str()))
        .collect();
    names.join(" and ")
}

/// The client's address as an error names it.
fn address_text(address: &Option<IpAddr>) -> String {
    address.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string())
}

impl Error {
    /// Where the error stands in the error table.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidKey => ErrorCode::InvalidKey,
            Self::KeyExpired => ErrorCode::KeyExpired,
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
            Self::KeyState => ErrorCode::KeyStateConflict,
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
