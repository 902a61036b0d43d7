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
                "the cursor was not made for this list with these filters; start again without it",
            ),
            Self::MissingCredentials => (
                "The request has no key in the header Authorization.",
                "Send the key in the header Authorization: Bearer <key>.",
                "send a key in the header Authorization: Bearer <key>",
            ),
            Self::InvalidKey => (
                "Unknown API key. It was cut short or mistyped, or it belongs to another installation.",
                "Check that the whole key was copied. A key is shown only once; if it is lost, ask for a \
                 new one.",
                "the key was cut short or mistyped: its checksum is wrong; copy it again",
            ),
            Self::KeyExpired => (
                "The key has expired: its expires_at is in the past.",
                "Ask the operator for a new key, or for a later expires_at.",
                "ask for a new key, or for a later end",
            ),
            Self::KeyRevoked => (
                "The key has been revoked, by an admin or with the key itself. This can't be undone. The orgs \
                 created with the key stay, unless its on_revoke is delete.",
                "Ask the operator for a new key.",
                "this key is gone for good; ask for a new one",
            ),
            Self::KeyDisabled => (
                "An admin has disabled the key. It can be enabled again.",
                "Ask the operator to enable the key.",
                "ask an admin to enable the key again",
            ),
            Self::InsufficientScope => (
                "The key is valid, but lacks the scope that this operation needs. The header \
                 WWW-Authenticate names the scope.",
                "Ask an admin to grant the scope, or use a key that has it.",
                "this needs the scope orgs:create; ask an admin to grant it",
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
                "the key can't be used from 198.51.100.7; call from an allowed network, or ask an admin \
                 to change allowed_cidrs",
            ),
            Self::OrgPlanNotAllowed => (
                "The key creates, changes and deletes only orgs of its org_plans, and the org has another \
                 plan.",
                "Use a key for this plan, or ask an admin to change org_plans of the key.",
                "this key creates, changes and deletes orgs of plan standard alone, not enterprise; use the key for \
                 that plan",
            ),
            Self::PartnerPlanRequired => (
                "Only the plans partner and enterprise include keys, and the partner has another plan.",
                "Ask your account team to change the plan. Existing keys then work again at once.",
                "keys are for partners on plan partner or enterprise; ask your account team",
            ),
            Self::NotFound => (
                "There is no such resource, or this credential has no access to it: a resource of another \
                 partner gets the same response as one that does not exist.",
                "Check the path and the id, and whether you use the key of the right partner.",
                "there is no such resource for this credential",
            ),
            Self::MethodNotAllowed => (
                "The path exists, but not with this method.",
                "Use one of the methods in the header Allow.",
                "this route has the methods GET, POST",
            ),
            Self::SlugTaken => (
                "Another org has this slug. The slug of a deleted org stays reserved for its partner for 30 \
                 days.",
                "Choose another slug.",
                "choose another slug",
            ),
            Self::OrgStateConflict => (
                "The status of the org does not allow this operation. For example, a workspace can only be \
                 created in a ready org.",
                "Poll the status of the org, and try again once it is the right one.",
                "an org that is provisioning can't be suspended",
            ),
            Self::KeyStateConflict => (
                "The key has been revoked. It can't be changed, and its secret can't be shown again.",
                "Issue a new key.",
                "the key has been revoked; issue a new one",
            ),
            Self::OrgQuotaExceeded => (
                "The partner has max_orgs orgs, or the key has max_live_orgs orgs created with it. Deleted \
                 orgs do not count.",
                "Delete an org that is no longer used, or ask the operator to raise the maximum.",
                "the partner may have 500 orgs and has them; delete one, or ask for more",
            ),
            Self::IdempotencyInProgress => (
                "A request with the same Idempotency-Key is still running.",
                "Wait for the seconds in Retry-After, or one second without it, and send the same request \
                 again.",
                "the same call is still running; try again a little later",
            ),
            Self::PayloadTooLarge => (
                "The body is larger than 64 KiB.",
                "Send a smaller body.",
                "a body has at most 64 KiB",
            ),
            Self::UnsupportedMediaType => (
                "The Content-Type is not JSON, or the body is compressed.",
                "Send Content-Type: application/json, or none at all. With curl use --json.",
                "send JSON with Content-Type: application/json, or no Content-Type at all (curl -d adds \
                 one of its own; use --json)",
            ),
            Self::ValidationFailed => (
                "Fields of the body are missing, unknown or invalid. The list errors names each by its JSON \
                 pointer (RFC 6901), and says what is right.",
                "Fix all fields in the list errors, and send the request again.",
                "fix /slug, /plan and send the request again",
            ),
            Self::IdempotencyKeyReused => (
                "An Idempotency-Key identifies one request. This one was used with another body.",
                "Use a new key for each new request. Repeat a key only with exactly the same body.",
                "use a new Idempotency-Key for another request",
            ),
            Self::RateLimited => (
                "A rate limit is used up: of the key, of its partner, or of the address of the client. \
                 violated-policies names the limit; the headers RateLimit-Policy and RateLimit show it.",
                "Wait for the seconds in Retry-After, and spread the requests over time. Other keys are not \
                 affected.",
                "the limit \"key\" is used up; wait as Retry-After says",
            ),
            Self::Internal => (
                "The server failed to handle the request.",
                "Send the request again. If it fails again, report the request_id to the operator.",
                "try again; if it stays so, give the request_id to the operator",
            ),
            Self::Unavailable => (
                "The service is unavailable, most likely because its database can't be reached. Nothing was \
                 changed, unless the connection was lost during a commit.",
                "Wait for the seconds in Retry-After and send the request again, a POST with the same \
                 Idempotency-Key: if it had been committed, it is not done twice.",
                "the database can't be reached now; try again a little later",
            ),
        }
    }
}
