//! The error codes, each with its status and title.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $code:literal, $title:literal;)*) => {
        /// An error code, by which programs tell errors apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code in a problem document.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The meaning, always the same.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The request is malformed.
    InvalidRequest = 400 "invalid-request", "The request is malformed";
    /// The cursor belongs to another list.
    InvalidCursor = 400 "invalid-cursor", "The cursor does not belong to this list";
    /// No credentials were sent.
    MissingCredentials = 401 "missing-credentials", "No credentials were sent";
    /// The key is unknown or mistyped.
    InvalidKey = 401 "invalid-key", "The key is not valid";
    /// The key has expired.
    KeyExpired = 401 "key-expired", "The key has expired";
    /// The key is revoked.
    KeyRevoked = 401 "key-revoked", "The key has been revoked";
    /// The key is disabled.
    KeyDisabled = 401 "key-disabled", "The key is disabled";
    /// The key lacks a scope.
    InsufficientScope = 403 "insufficient-scope", "The key lacks a scope";
    /// The kind of credential is not permitted to do this.
    NotPermitted = 403 "not-permitted", "This credential is not permitted to do this";
    /// The address is outside the key's `allowed_cidrs`.
    IpNotAllowed = 403 "ip-not-allowed", "The key can't be used from this address";
    /// The plan of the org is not in the key's `org_plans`.
    OrgPlanNotAllowed = 403 "org-plan-not-allowed", "The key can't act on orgs of this plan";
    /// The partner's plan does not include keys.
    PartnerPlanRequired = 403 "partner-plan-required", "The partner's plan does not include keys";
    /// There is no such resource, or the caller can't see it.
    NotFound = 404 "not-found", "No such resource";
    /// The path has other methods.
    MethodNotAllowed = 405 "method-not-allowed", "This path does not have this method";
    /// The slug is in use.
    SlugTaken = 409 "slug-taken", "The slug is taken";
    /// The org's state does not allow it.
    OrgStateConflict = 409 "org-state-conflict", "The org's state does not allow this";
    /// The org is protected from deletion.
    OrgDeleteProtected = 409 "org-delete-protected", "The org is protected from deletion";
    /// The key's state does not allow it.
    KeyStateConflict = 409 "key-state-conflict", "The key's state does not allow this";
    /// The partner or the key has its maximum number of orgs.
    OrgQuotaExceeded = 409 "org-quota-exceeded", "The maximum number of orgs is reached";
    /// The same request is still running.
    IdempotencyInProgress = 409 "idempotency-in-progress", "The same request is still running";
    /// The body is too large.
    PayloadTooLarge = 413 "payload-too-large", "The body is too large";
    /// The body is not JSON.
    UnsupportedMediaType = 415 "unsupported-media-type", "The body must be JSON";
    /// A value is missing or wrong.
    ValidationFailed = 422 "validation-failed", "A value in the request is missing or wrong";
    /// The idempotency key was used with another body.
    IdempotencyKeyReused = 422 "idempotency-key-reused", "The idempotency key was used with another body";
    /// A rate limit is used up.
    RateLimited = 429 "rate-limited", "Too many requests";
    /// A bug or a failure of the server.
    Internal = 500 "internal", "Internal server error";
    /// A failure that is expected to pass.
    Unavailable = 503 "unavailable", "The service is unavailable";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
