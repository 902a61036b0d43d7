//! The error table: every code, its status and its title.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $code:literal, $title:literal;)*) => {
        /// What went wrong, as clients tell errors apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What it means, in a few words that never vary.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The request can't be understood.
    InvalidRequest = 400 "invalid-request", "The request can't be understood";
    /// The cursor was not made for this list.
    InvalidCursor = 400 "invalid-cursor", "The cursor does not belong to this list";
    /// No credentials came.
    MissingCredentials = 401 "missing-credentials", "No credentials came with the request";
    /// The key is unknown or mistyped.
    InvalidKey = 401 "invalid-key", "The key is not valid";
    /// The key's time is over.
    KeyExpired = 401 "key-expired", "The key has expired";
    /// The key is revoked.
    KeyRevoked = 401 "key-revoked", "The key has been revoked";
    /// The key is switched off.
    KeyDisabled = 401 "key-disabled", "The key is disabled";
    /// The key lacks a scope.
    InsufficientScope = 403 "insufficient-scope", "The key lacks a scope";
    /// This kind of credential can't do this.
    NotPermitted = 403 "not-permitted", "This credential can't do this";
    /// The key is held to other addresses.
    IpNotAllowed = 403 "ip-not-allowed", "The key can't be used from this address";
    /// The key is held to other plans.
    OrgPlanNotAllowed = 403 "org-plan-not-allowed", "The key can't act on orgs of this plan";
    /// The partner's plan has no keys.
    PartnerPlanRequired = 403 "partner-plan-required", "The partner's plan does not include keys";
    /// There is no such thing, or not for this caller.
    NotFound = 404 "not-found", "There is no such resource";
    /// The route has other methods.
    MethodNotAllowed = 405 "method-not-allowed", "The route does not have this method";
    /// The slug is in use.
    SlugTaken = 409 "slug-taken", "The slug is taken";
    /// The org's state does not allow it.
    OrgStateConflict = 409 "org-state-conflict", "The org's state does not allow this";
    /// The key's state does not allow it.
    KeyStateConflict = 409 "key-state-conflict", "The key's state does not allow this";
    /// The partner or the key has as many orgs as it may.
    OrgQuotaExceeded = 409 "org-quota-exceeded", "No more orgs may be created";
    /// The same call is still running.
    IdempotencyInProgress = 409 "idempotency-in-progress", "The same call is still running";
    /// The body is too large.
    PayloadTooLarge = 413 "payload-too-large", "The body is too large";
    /// The body is not JSON.
    UnsupportedMediaType = 415 "unsupported-media-type", "The body must be JSON";
    /// A value is missing or wrong.
    ValidationFailed = 422 "validation-failed", "A value in the request is missing or wrong";
    /// The idempotency key was used with another body.
    IdempotencyKeyReused = 422 "idempotency-key-reused", "The idempotency key was used with another body";
    /// A limit is used up.
    RateLimited = 429 "rate-limited", "Too many requests";
    /// It is our fault.
    Internal = 500 "internal", "Something went wrong on our side";
    /// It will pass.
    Unavailable = 503 "unavailable", "The service can't answer now";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
