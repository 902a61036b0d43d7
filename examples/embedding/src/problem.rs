//! Refusals, as problems (RFC 9457) with the headers that RFC 6750 and RFC 9110 ask for.

use std::time::Duration;

use axum::{
    http::{
        StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use scopes::Scope;
use serde_json::json;

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// There was no key.
    MissingKey,
    /// The key is mistyped, unknown, expired or revoked; which of them is nobody's business.
    InvalidKey,
    /// The key lacks this scope.
    InsufficientScope(Scope),
    /// The key has used up its limit, and may call again after this time.
    OverLimit(Duration),
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::MissingKey | Self::InvalidKey => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) => StatusCode::FORBIDDEN,
            Self::OverLimit(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn title(self) -> String {
        match self {
            Self::MissingKey => "send your key as a bearer token".into(),
            Self::InvalidKey => "the key is not valid".into(),
            Self::InsufficientScope(scope) => format!("the key lacks the scope {scope}"),
            Self::OverLimit(wait) => {
                format!(
                    "the key's limit is used up; try again in {} s",
                    seconds(wait)
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({ "status": status.as_u16(), "title": self.title() }).to_string();
        let content_type = [(CONTENT_TYPE, "application/problem+json")];
        let answer = (status, content_type, body);
        match self {
            Self::MissingKey => ([(WWW_AUTHENTICATE, "Bearer")], answer).into_response(),
            Self::InvalidKey => {
                let challenge = "Bearer error=\"invalid_token\"";
                ([(WWW_AUTHENTICATE, challenge)], answer).into_response()
            }
            Self::InsufficientScope(scope) => {
                let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
                ([(WWW_AUTHENTICATE, challenge)], answer).into_response()
            }
            Self::OverLimit(wait) => {
                ([(RETRY_AFTER, seconds(wait).to_string())], answer).into_response()
            }
        }
    }
}

/// Whole seconds, rounded up: a caller who waits that long is let in.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(2000)), 2);
        assert_eq!(seconds(Duration::from_millis(2001)), 3);
    }
}
