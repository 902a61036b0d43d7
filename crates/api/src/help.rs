//! An explanation of each error code, for its page.

use crate::ErrorCode;

/// An error explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Help {
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// A `detail` such as the server gives.
    pub detail: &'static str,
}

impl ErrorCode {
    /// What it means and what to do.
    #[must_use]
    pub const fn help(self) -> Help {
        let (meaning, remedy, detail) = self.texts();
        Help {
            meaning,
            remedy,
            detail,
        }
    }

    /// Meaning, remedy, a detail.
    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (
                "The request is malformed: the body is not JSON, a query parameter is unknown, repeated or \
                 invalid, or the key is in the wrong place.",
                "Read the detail, fix the request and send it again. If the key was in the URL, have it \
                 revoked: URLs are kept in logs.",
                "The parameter \"page\" is unknown. The parameters are limit, cursor.",
            ),
            Self::InvalidCursor => (
                "A cursor is valid for the list that it came from, with the same filters and the same \
                 credential. This one came from another list.",
                "Request the first page, without a cursor, and follow next_cursor from there.",
                "The cursor belongs to another list or to other filters. Start again without it.",
            ),
            Self::MissingCredentials => (
                "The request has no key in the header Authorization.",
                "Send the key in the header Authorization: Bearer <key>.",
                "No key was sent. Send one in the header Authorization: Bearer <key>.",
            ),
            Self::InvalidKey => (
                "Unknown API key. It was cut short or mistyped, or it belongs to another installation.",
                "Check that the whole key was copied. A key is shown only once; if it is lost, ask for a \
                 new one.",
                "The checksum of the key is wrong, so it was cut short or mistyped. Copy it again.",
            ),
            Self::KeyExpired => (
                "The key has expired: its expires_at is in the past. Or the secret was rotated out, as the detail \
                 says; then the key goes on with its newest secret.",
                "Use the newest secret of the key. If the key itself has expired, ask the operator for a new key, \
                 or for a later expires_at.",
                "The key has expired. Ask an admin for a new key, or for a later expires_at.",
            ),
            Self::KeyRevoked => (
                "The key has been revoked, by an admin or with the key itself. This can't be undone. The orgs \
                 created with the key stay, unless its on_revoke is delete.",
                "Ask the operator for a new key.",
                "The key has been revoked and can't be used again. Ask an admin for a new one.",
            ),
            Self::KeyDisabled => (
                "An admin has disabled the key. It can be enabled again.",
                "Ask the operator to enable the key.",
                "The key is disabled. Ask an admin to enable it again.",
            ),
            Self::InsufficientScope => (
                "The key is valid, but lacks the scope that this operation needs. The header \
                 WWW-Authenticate names the scope.",
                "Ask an admin to grant the scope, or use a key that has it.",
                "The key lacks the scope orgs:create. Ask an admin to grant it.",
            ),
            Self::NotPermitted => (
                "This kind of credential can't call this operation, whatever its scopes. Partner keys can't \
                 call the operations for admins, admin keys can't call those for partners, and a key with \
                 an org_id can't create orgs.",
                "Use a credential of the right kind. GET /cp/whoami shows the kind of a credential.",
                "this route is for admin keys",
            ),
            Self::IpNotAllowed => (
                "The key has allowed_cidrs, and the request came from an address outside them.",
                "Call from an allowed network, or ask an admin to change allowed_cidrs of the key.",
                "The key can't be used from 198.51.100.7. Call from an allowed network, or ask an admin \
                 to change allowed_cidrs.",
            ),
            Self::OrgPlanNotAllowed => (
                "The key creates, changes and deletes only orgs of its org_plans, and the org has another \
                 plan.",
                "Use a key for this plan, or ask an admin to change org_plans of the key.",
                "The key can't create, change or delete orgs of plan enterprise, only of plan standard. Use \
                 the key for that plan.",
            ),
            Self::PartnerPlanRequired => (
                "Only the plans partner and enterprise include keys, and the partner has another plan.",
                "Ask your account team to change the plan. Existing keys then work again at once.",
                "Keys need a partner on plan partner or enterprise. Ask your account team to change the \
                 plan.",
            ),
            Self::NotFound => (
                "There is no such resource, or this credential has no access to it: a resource of another \
                 partner gets the same response as one that does not exist.",
                "Check the path and the id, and whether you use the key of the right partner.",
                "No such resource for this credential. Check the path and the id.",
            ),
            Self::MethodNotAllowed => (
                "The path exists, but not with this method.",
                "Use one of the methods in the header Allow.",
                "This path has no such method. Use one of: GET, POST.",
            ),
            Self::SlugTaken => (
                "Another org has this slug. The slug of a deleted org stays reserved for its partner for 30 \
                 days.",
                "Choose another slug.",
                "The slug is taken. Choose another.",
            ),
            Self::OrgStateConflict => (
                "The status of the org does not allow this operation. For example, a workspace can only be \
                 created in a ready org.",
                "Poll the status of the org, and try again once it is the right one.",
                "an org that is provisioning can't be suspended",
            ),
            Self::OrgDeleteProtected => (
                "The org has delete_protection, or one of the orgs with the label has. Nothing was deleted.",
                "Set delete_protection to false with PATCH /cp/orgs/{id}, then delete the org.",
                "an org with delete_protection",
            ),
            Self::KeyStateConflict => (
                "The key has been revoked. It can't be changed, and its secret can't be shown again. Or it can't be \
                 rotated now: it is disabled or has expired, two secrets of it work already, or no rotation of it \
                 is running that could be ended.",
                "Do what the detail says. Issue a new key in the place of a revoked one.",
                "The key has been revoked. Issue a new one.",
            ),
            Self::OrgQuotaExceeded => (
                "The partner has max_orgs orgs, or the key has max_live_orgs orgs created with it. Deleted \
                 orgs do not count.",
                "Delete an org that is no longer used, or ask the operator to raise the maximum.",
                "The limit of 500 orgs of this partner is reached. Delete one, or ask for a higher max_orgs.",
            ),
            Self::IdempotencyInProgress => (
                "A request with the same Idempotency-Key is still running.",
                "Wait for the seconds in Retry-After, or one second without it, and send the same request \
                 again.",
                "The same call is still running. Send it again a second later to get its response.",
            ),
            Self::PayloadTooLarge => (
                "The body is larger than 64 KiB.",
                "Send a smaller body.",
                "The body is larger than 64 KiB. Send less.",
            ),
            Self::UnsupportedMediaType => (
                "The Content-Type is not JSON, or the body is compressed.",
                "Send Content-Type: application/json, or none at all. With curl use --json.",
                "The body must be JSON. Send Content-Type: application/json, or no Content-Type at all \
                 (curl -d adds one of its own; use --json).",
            ),
            Self::ValidationFailed => (
                "Fields of the body are missing, unknown or invalid. The list errors names each by its JSON \
                 pointer (RFC 6901), and says what is right.",
                "Fix all fields in the list errors, and send the request again.",
                "The request is invalid at /slug, /plan. Fix what errors lists and send it again.",
            ),
            Self::IdempotencyKeyReused => (
                "An Idempotency-Key identifies one request. This one was used with another body.",
                "Use a new key for each new request. Repeat a key only with exactly the same body.",
                "The Idempotency-Key was used with another body. Send that body, or another key.",
            ),
            Self::RateLimited => (
                "A rate limit is used up: of the key, of its partner, or of the address of the client. \
                 violated-policies names the limit; the headers RateLimit-Policy and RateLimit show it.",
                "Wait for the seconds in Retry-After, and spread the requests over time. Other keys are not \
                 affected.",
                "Rate limit used up: key. Wait for as many seconds as Retry-After says, then send the \
                 request again.",
            ),
            Self::Internal => (
                "The server failed to handle the request.",
                "Send the request again. If it fails again, report the request_id to the operator.",
                "The server failed. Send the request again; if it fails again, give the request_id to \
                 the operator.",
            ),
            Self::Unavailable => (
                "The service is unavailable, most likely because its database can't be reached. Nothing was \
                 changed, unless the connection was lost during a commit.",
                "Wait for the seconds in Retry-After and send the request again, a POST with the same \
                 Idempotency-Key: if it had been committed, it is not done twice.",
                "The database can't be reached. Send the request again a second later.",
            ),
        }
    }
}
