//! What a refused request is told: error code, detail and headers.

use std::time::Duration;

use api::{BodyError, ErrorCode, FieldError, QueryError};
use ids::OrgId;
use orgs::Slug;
use scopes::Scope;
use service::{Error, Rejection};

use super::credentials::NoCredential;

/// How many fields the detail of a problem names; `errors` has all of them.
const MAX_NAMED: usize = 5;
/// How many orgs one problem names.
const MAX_PROTECTED_NAMED: usize = 100;
/// `Retry-After` while storage is unavailable.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(1);

/// Why a handler gives no response.
#[derive(Debug)]
pub enum HandlerError {
    /// A use case refused the call and has written its audit event, unless storage failed.
    Rejected(Box<Rejection>),
    /// The request is malformed. Its audit event is still to be written.
    Malformed(Box<ProblemDetails>),
}

impl From<Rejection> for HandlerError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}

impl From<ProblemDetails> for HandlerError {
    fn from(details: ProblemDetails) -> Self {
        Self::Malformed(Box::new(details))
    }
}

impl From<BodyError> for HandlerError {
    fn from(error: BodyError) -> Self {
        Self::from(match error {
            BodyError::Syntax(detail) => ProblemDetails::new(ErrorCode::InvalidRequest, detail),
            BodyError::Invalid(errors) => ProblemDetails::validation(errors),
        })
    }
}

impl From<serde_json::Error> for HandlerError {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!("writing a response as JSON failed: {error}");
        Self::from(ProblemDetails::new(
            ErrorCode::Internal,
            "The response could not be written. Give the request_id to the operator.",
        ))
    }
}

impl From<QueryError> for HandlerError {
    fn from(error: QueryError) -> Self {
        Self::from(match error {
            QueryError::Bad(detail) => ProblemDetails::new(ErrorCode::InvalidRequest, detail),
            QueryError::Cursor => ProblemDetails::new(
                ErrorCode::InvalidCursor,
                "The cursor belongs to another list or to other filters. Start again without it.",
            ),
        })
    }
}

/// What a problem document says of one error, without what it says of the request.
#[derive(Debug)]
pub struct ProblemDetails {
    pub code: ErrorCode,
    pub(super) detail: String,
    pub(super) errors: Vec<FieldError>,
    /// The value of `WWW-Authenticate`.
    pub(super) challenge: Option<String>,
    /// The value of `Allow`.
    pub(super) allow: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// The limits that refused the call.
    pub(super) violated: Vec<&'static str>,
}

impl ProblemDetails {
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

    pub fn validation(errors: Vec<FieldError>) -> Self {
        let fields = errors.iter().map(|error| match error.pointer.as_str() {
            "" => "the body",
            pointer => pointer,
        });
        let named = fields.take(MAX_NAMED).collect::<Vec<_>>().join(", ");
        let detail = match errors.len().saturating_sub(MAX_NAMED) {
            0 => format!(
                "The request is invalid at {named}. Fix what errors lists and send it again."
            ),
            more => format!(
                "The request is invalid at {named} and {more} more. Fix what errors lists and send it \
                 again."
            ),
        };
        Self {
            errors,
            ..Self::new(ErrorCode::ValidationFailed, detail)
        }
    }

    /// For whoever asks whether this server is ready.
    pub fn stopping() -> Self {
        Self {
            retry_after: Some(UNAVAILABLE_RETRY),
            ..Self::new(
                ErrorCode::Unavailable,
                "This server is about to stop. Send requests to another one, or again in a moment.",
            )
        }
    }

    /// For what can't be done now.
    pub fn busy() -> Self {
        Self {
            retry_after: Some(UNAVAILABLE_RETRY),
            ..Self::new(
                ErrorCode::Unavailable,
                "The report can't be taken now. Send it again a second later.",
            )
        }
    }

    /// For an unknown path below `/cp`, and for what the credential can't see: nothing tells them apart.
    pub fn not_found() -> Self {
        Self::new(
            ErrorCode::NotFound,
            "No such resource for this credential. Check the path and the id.",
        )
    }

    pub fn method_not_allowed(allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        Self {
            allow: Some(allowed.clone()),
            ..Self::new(
                ErrorCode::MethodNotAllowed,
                format!("This path has no such method. Use one of: {allowed}."),
            )
        }
    }

    pub fn no_credential(error: NoCredential) -> Self {
        match error {
            NoCredential::Missing => Self {
                challenge: Some(challenge("")),
                ..Self::new(
                    ErrorCode::MissingCredentials,
                    "No key was sent. Send one in the header Authorization: Bearer <key>.",
                )
            },
            NoCredential::Misplaced(detail) => Self {
                challenge: Some(challenge(", error=\"invalid_request\"")),
                ..Self::new(ErrorCode::InvalidRequest, detail)
            },
            NoCredential::Malformed => Self::invalid_token(
                ErrorCode::InvalidKey,
                "The checksum of the key is wrong, so it was cut short or mistyped. Copy it again.",
            ),
        }
    }

    fn invalid_token(code: ErrorCode, detail: &str) -> Self {
        let parameters = format!(
            ", error=\"invalid_token\", error_description=\"{}.\"",
            code.title()
        );
        Self {
            challenge: Some(challenge(&parameters)),
            ..Self::new(code, detail)
        }
    }

    fn insufficient_scope(code: ErrorCode, scopes: &[Scope]) -> Self {
        let names = scopes.iter().map(|scope| scope.as_str());
        let names = names.collect::<Vec<_>>().join(" or ");
        let parameters = format!(
            ", error=\"insufficient_scope\", scope=\"{}\"",
            scopes.first().map_or("", |scope| scope.as_str())
        );
        Self {
            challenge: Some(challenge(&parameters)),
            ..Self::new(
                code,
                format!("The key lacks the scope {names}. Ask an admin to grant it."),
            )
        }
    }

    fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// What a use case's error tells a client. No other place decides that.
    pub fn of_error(error: &Error) -> Self {
        let code = error.code();
        let plain = |detail: &str| Self::new(code, detail);
        match error {
            Error::InvalidKey => Self::invalid_token(
                code,
                "Unknown API key. Check that the whole key was copied, and that it is for this server.",
            ),
            Error::KeyExpired => Self::invalid_token(
                code,
                "The key has expired. Ask an admin for a new key, or for a later expires_at.",
            ),
            Error::SecretEnded => Self::invalid_token(
                code,
                "This secret of the key was rotated out and has ended; the key itself goes on. Use the key's \
                 newest secret, or rotate the key to get one.",
            ),
            Error::KeyRevoked => Self::invalid_token(
                code,
                "The key has been revoked and can't be used again. Ask an admin for a new one.",
            ),
            Error::KeyDisabled => {
                Self::invalid_token(code, "The key is disabled. Ask an admin to enable it again.")
            }
            Error::RateLimited {
                limits,
                retry_after,
            } => {
                let names: Vec<_> = limits.iter().map(|limit| limit.as_str()).collect();
                let detail = format!(
                    "Rate limit used up: {}. Wait for as many seconds as Retry-After says, then send the \
                     request again.",
                    names.join(", ")
                );
                Self {
                    violated: names,
                    ..plain(&detail).retry_after(*retry_after)
                }
            }
            Error::TooManyLists => plain(
                "Too many lists of this key are waiting. Wait for some responses before asking for more.",
            )
            .retry_after(UNAVAILABLE_RETRY),
            Error::NotPermitted(detail) => plain(detail),
            Error::IpNotAllowed(Some(address)) => plain(&format!(
                "The key can't be used from {address}. Call from an allowed network, or ask an admin to \
                 change allowed_cidrs."
            )),
            Error::IpNotAllowed(None) => plain(
                "The key is restricted to networks, and X-Forwarded-For names no client address. Check \
                 what the client or its proxy sends.",
            ),
            Error::PartnerPlanRequired => plain(
                "Keys need a partner on plan partner or enterprise. Ask your account team to change the \
                 plan.",
            ),
            Error::InsufficientScope(scopes) => Self::insufficient_scope(code, scopes),
            Error::OrgPlanNotAllowed { plan, allowed } => {
                let allowed = allowed.iter().map(ToString::to_string);
                let allowed = allowed.collect::<Vec<_>>().join(", ");
                plain(&format!(
                    "The key can't create, change or delete orgs of plan {plan}, only of plan {allowed}. \
                     Use the key for that plan."
                ))
            }
            Error::Validation(errors) => Self::validation(errors.clone()),
            Error::NotFound => Self::not_found(),
            Error::SlugTaken => plain("The slug is taken. Choose another."),
            Error::Org(conflict) => plain(&conflict.to_string()),
            Error::OrgProtected(orgs) => plain(&protected(orgs)),
            Error::KeyState => plain("The key has been revoked. Issue a new one."),
            Error::Rotation(conflict) => plain(&sentence(&conflict.to_string())),
            Error::ResponseErased => plain(
                "The response is erased, for the secret that it showed has ended. Rotate the key, or issue a \
                 new one.",
            ),
            Error::OrgQuota(max) => plain(&format!(
                "The limit of {max} orgs of this partner is reached. Delete one, or ask for a higher \
                 max_orgs."
            )),
            Error::KeyOrgQuota(max) => plain(&format!(
                "The limit of {max} orgs of this key is reached. Delete one, or ask an admin for a higher \
                 max_live_orgs."
            )),
            Error::IdempotencyKeyReused => plain(
                "The Idempotency-Key was used with another body. Send that body, or another key.",
            ),
            Error::IdempotencyInProgress => plain(
                "The same call is still running. Send it again a second later to get its response.",
            )
            .retry_after(UNAVAILABLE_RETRY),
            Error::Store(fault) if fault.is_temporary() => {
                plain("The database can't be reached. Send the request again a second later.")
                    .retry_after(UNAVAILABLE_RETRY)
            }
            Error::Store(_) => plain(
                "The server failed. Send the request again; if it fails again, give the request_id to the \
                 operator.",
            ),
        }
    }
}

/// Which orgs are protected from deletion, and what to do about it.
fn protected(orgs: &[(OrgId, Slug)]) -> String {
    let named = orgs.iter().take(MAX_PROTECTED_NAMED);
    let named: Vec<_> = named.map(|(id, slug)| format!("{id} ({slug})")).collect();
    let more = match orgs.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "Nothing was deleted: {}{more} has delete_protection. Set that to false first, by PATCH \
         /cp/orgs/{{id}}.",
        named.join(", ")
    )
}

/// A text as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// The value of `WWW-Authenticate` (RFC 6750).
fn challenge(parameters: &str) -> String {
    format!("Bearer realm=\"cp\"{parameters}")
}
