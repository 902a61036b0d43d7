//! From an error to the problem document that a client gets.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        StatusCode,
        header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    },
};
use api::{BodyError, ErrorCode, FieldError, Problem, QueryError};
use ids::{EventId, TypedId as _};
use ratelimit::Decision;
use scopes::Scope;
use service::{Error, LimitName, Rejection};

use super::{
    credentials::NoCredential,
    headers::{AUDIT_EVENT_ID, X_REQUEST_ID, set, set_limits, set_retry_after},
};

pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// How many places the detail of a problem names; `errors` has them all.
const MAX_NAMED: usize = 5;
/// What a client waits when storage is not available.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(1);

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub enum Failure {
    /// A use case refused it; that is on record, or can't be.
    Refused(Box<Rejection>),
    /// Its form is wrong; that is still to be recorded where the caller is known.
    Form(Box<Complaint>),
}

impl From<Rejection> for Failure {
    fn from(refusal: Rejection) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<Complaint> for Failure {
    fn from(complaint: Complaint) -> Self {
        Self::Form(Box::new(complaint))
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        Self::from(match error {
            BodyError::Syntax(detail) => Complaint::new(ErrorCode::InvalidRequest, detail),
            BodyError::Invalid(errors) => Complaint::validation(errors),
        })
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!("an answer can't be written as JSON: {error}");
        Self::from(Complaint::new(
            ErrorCode::Internal,
            "the answer could not be written",
        ))
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::from(match error {
            QueryError::Bad(detail) => Complaint::new(ErrorCode::InvalidRequest, detail),
            QueryError::Cursor => Complaint::new(
                ErrorCode::InvalidCursor,
                "the cursor was not made for this list with these filters; start again without it",
            ),
        })
    }
}

/// Everything that an error answer says.
#[derive(Debug)]
pub struct Complaint {
    /// The code.
    pub code: ErrorCode,
    pub(super) detail: String,
    errors: Vec<FieldError>,
    pub(super) challenge: Option<String>,
    allow: Option<String>,
    retry_after: Option<Duration>,
    violated: Vec<&'static str>,
}

impl Complaint {
    /// A complaint that needs no more than words.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            challenge: None,
            allow: None,
            retry_after: None,
            violated: Vec::new(),
        }
    }

    /// A complaint about values.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let places = errors.iter().map(|error| match error.pointer.as_str() {
            "" => "the body",
            pointer => pointer,
        });
        let named = places.take(MAX_NAMED).collect::<Vec<_>>().join(", ");
        let detail = match errors.len().saturating_sub(MAX_NAMED) {
            0 => format!("fix {named} and send the request again"),
            more => format!("fix {named} and {more} more, see errors, and send the request again"),
        };
        Self {
            errors,
            ..Self::new(ErrorCode::ValidationFailed, detail)
        }
    }

    /// There is no such route.
    pub fn no_route() -> Self {
        Self::new(
            ErrorCode::NotFound,
            "there is no such resource for this credential",
        )
    }

    /// The route has other methods.
    pub fn method(allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        Self {
            allow: Some(allowed.clone()),
            ..Self::new(
                ErrorCode::MethodNotAllowed,
                format!("this route has the methods {allowed}"),
            )
        }
    }

    /// There is no usable credential.
    pub fn credential(error: NoCredential) -> Self {
        match error {
            NoCredential::Missing => Self {
                challenge: Some(challenge("")),
                ..Self::new(
                    ErrorCode::MissingCredentials,
                    "send a key in the header Authorization: Bearer <key>",
                )
            },
            NoCredential::Misplaced(detail) => Self {
                challenge: Some(challenge(", error=\"invalid_request\"")),
                ..Self::new(ErrorCode::InvalidRequest, detail)
            },
            NoCredential::Malformed => Self::invalid_token(
                ErrorCode::InvalidKey,
                "the key was cut short or mistyped: its checksum is wrong; copy it again",
            ),
        }
    }

    fn invalid_token(code: ErrorCode, detail: &str) -> Self {
        let says = format!(
            ", error=\"invalid_token\", error_description=\"{}.\"",
            code.title()
        );
        Self {
            challenge: Some(challenge(&says)),
            ..Self::new(code, detail)
        }
    }

    /// What a use case's error says to a client: the one place that knows.
    pub fn of_error(error: &Error) -> Self {
        let code = error.code();
        match error {
            Error::InvalidKey => Self::invalid_token(
                code,
                "nobody knows this key; check that it is the right one",
            ),
            Error::KeyExpired => Self::invalid_token(code, "ask for a new key, or for a later end"),
            Error::KeyRevoked => {
                Self::invalid_token(code, "this key is gone for good; ask for a new one")
            }
            Error::KeyDisabled => Self::invalid_token(code, "ask an admin to enable the key again"),
            Error::RateLimited {
                limits,
                retry_after,
            } => Self {
                retry_after: Some(*retry_after),
                violated: limits.iter().map(|limit| limit.as_str()).collect(),
                ..Self::new(code, format!("{error}; wait as Retry-After says"))
            },
            Error::TooManyLists => Self {
                retry_after: Some(UNAVAILABLE_RETRY),
                ..Self::new(
                    code,
                    "too many lists of this key are waiting; wait for some answers before asking for more",
                )
            },
            Error::NotPermitted(detail) => Self::new(code, *detail),
            Error::IpNotAllowed(Some(address)) => Self::new(
                code,
                format!(
                    "the key can't be used from {address}; call from an allowed network, or ask an \
                     admin to change allowed_cidrs"
                ),
            ),
            Error::IpNotAllowed(None) => Self::new(
                code,
                "the key is restricted to networks, and the client's address is not known: \
                 X-Forwarded-For can't be read; check what the client or its proxy sends",
            ),
            Error::PartnerPlanRequired => Self::new(
                code,
                "keys are for partners on plan partner or enterprise; ask your account team",
            ),
            Error::InsufficientScope(scopes) => Self {
                challenge: Some(challenge(&format!(
                    ", error=\"insufficient_scope\", scope=\"{}\"",
                    scopes.first().map_or("", |scope| scope.as_str())
                ))),
                ..Self::new(
                    code,
                    format!(
                        "this needs the scope {}; ask an admin to grant it",
                        scopes
                            .iter()
                            .map(|s: &Scope| s.as_str())
                            .collect::<Vec<_>>()
                            .join(" or ")
                    ),
                )
            },
            Error::OrgPlanNotAllowed { plan, allowed } => {
                let allowed = allowed
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                Self::new(
                    code,
                    format!(
                        "this key creates, changes and deletes orgs of plan {allowed} alone, not \
                         {plan}; use the key for that plan"
                    ),
                )
            }
            Error::Validation(errors) => Self::validation(errors.clone()),
            Error::NotFound => Self::no_route(),
            Error::SlugTaken => Self::new(code, "choose another slug"),
            Error::Org(conflict) => Self::new(code, conflict.to_string()),
            Error::KeyState => Self::new(code, "the key has been revoked; issue a new one"),
            Error::OrgQuota(max) => Self::new(
                code,
                format!(
                    "the partner may have {max} orgs and has them; delete one, or ask for more"
                ),
            ),
            Error::KeyOrgQuota(max) => Self::new(
                code,
                format!(
                    "this key may have {max} orgs and has them; delete one, or ask an admin for more"
                ),
            ),
            Error::IdempotencyKeyReused => Self::new(
                code,
                "this Idempotency-Key was used with another body; send that body, or another key",
            ),
            Error::IdempotencyInProgress => Self {
                retry_after: Some(UNAVAILABLE_RETRY),
                ..Self::new(
                    code,
                    "the same call is still running; send it again a little later",
                )
            },
            Error::Store(fault) if fault.is_temporary() => Self {
                retry_after: Some(UNAVAILABLE_RETRY),
                ..Self::new(
                    code,
                    "the database can't be reached now; try again a little later",
                )
            },
            Error::Store(_) => Self::new(
                code,
                "try again; if it stays so, give the request_id to the operator",
            ),
        }
    }

    /// The answer.
    pub fn respond(
        self,
        public_url: &str,
        request_id: &str,
        event: Option<EventId>,
        limits: &[(LimitName, Decision)],
    ) -> HttpResponse {
        let mut problem = Problem::new(public_url, self.code, self.detail, request_id.to_owned());
        problem.errors = self.errors;
        problem.violated_policies = self.violated;
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::new(status);
        let headers = response.headers_mut();
        set(headers, X_REQUEST_ID, request_id);
        if let Some(challenge) = self.challenge {
            set(headers, WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = self.allow {
            set(headers, ALLOW, allow);
        }
        if let Some(wait) = self.retry_after {
            set_retry_after(headers, wait);
        }
        if let Some(event) = event {
            set(headers, AUDIT_EVENT_ID, event.text());
        }
        set_limits(headers, limits);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response.set_body(BoxBody::new(problem.to_json()))
    }
}

fn challenge(more: &str) -> String {
    format!("Bearer realm=\"cp\"{more}")
}
