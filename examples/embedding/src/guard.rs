//! Who calls, and whether they may: the checks in front of every handler.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use keys::{KeyStatus, PartnerKey, PlainKey};
use ratelimit::{Limiter, Subject};
use scopes::Scope;
use time::OffsetDateTime;

use crate::{Shop, problem::Problem};

/// A handler that takes a `Caller` runs only for a good key that is within its limit.
pub(crate) struct Caller {
    /// The key that was presented.
    pub(crate) key: PartnerKey,
}

impl Caller {
    /// Refuses a key without this scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.key.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Problem::InsufficientScope(scope))
        }
    }
}

impl FromRequestParts<Arc<Shop>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shop: &Arc<Shop>) -> Result<Self, Problem> {
        let token = bearer_token(&parts.headers).ok_or(Problem::MissingKey)?;
        // A mistyped key ends here: its checksum is wrong, and nothing is looked up.
        let presented = PlainKey::parse(token).map_err(|_| Problem::InvalidKey)?;
        let key = shop.keys.find(&presented).ok_or(Problem::InvalidKey)?;
        if key.status(OffsetDateTime::now_utc()) != KeyStatus::Active {
            return Err(Problem::InvalidKey);
        }
        let limit = key.effective_rate_limit();
        let decision = shop.limits.check(Subject::Key(key.id), limit).await;
        match decision.retry_after {
            Some(wait) => Err(Problem::OverLimit(wait)),
            None => Ok(Self { key }),
        }
    }
}

/// The token of `Authorization: Bearer …`; the scheme's name has no case (RFC 9110, section 11.1).
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &'static str, token: Option<&str>) {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
        assert_eq!(bearer_token(&headers), token, "{header:?}");
    }

    #[test]
    fn the_token_follows_the_scheme() {
        check("Bearer abc", Some("abc"));
        check("bearer  abc", Some("abc"));
        check("Bearer", None);
        check("Basic abc", None);
        assert_eq!(bearer_token(&HeaderMap::new()), None);
    }
}
