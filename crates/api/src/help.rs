//! What each error of the table means to a person who meets it.

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
                "The form of the request is wrong: the body is not JSON, a parameter of the query is \
                 unknown, repeated or has a bad value, or the key stands in a wrong place.",
                "Read the detail, fix the request and send it again. If a key stood in the URL, have \
                 it revoked: URLs are kept in logs.",
                "the parameter \"page\" is unknown; there are limit, cursor",
            ),
            Self::InvalidCursor => (
                "A cursor continues the list that it came from, with the same filters and the same \
                 credential. This one came from another list.",
                "Ask for the first page, without a cursor, and follow next_cursor from there.",
                "the cursor was not made for this list with these filters; start again without it",
            ),
            Self::MissingCredentials => (
                "No key came with the request, or not in the one place where it is looked for.",
                "Send the key in the header Authorization: Bearer <key>.",
                "send a key in the header Authorization: Bearer <key>",
            ),
            Self::InvalidKey => (
                "Nobody knows this key. Either it was cut short or mistyped, or it belongs to another \
                 installation.",
                "Copy the key again, whole. A key is shown once; if it is lost, ask for a new one.",
                "the key was cut short or mistyped: its checksum is wrong; copy it again",
            ),
            Self::KeyExpired => (
                "The key was issued until a certain time, and that time is over.",
                "Ask the operator for a new key, or for a later end of this one.",
                "ask for a new key, or for a later end",
            ),
            Self::KeyRevoked => (
                "The key has been revoked, by an admin or by itself. That can't be undone. Orgs that it \
                 created are still there.",
                "Ask the operator for a new key.",
                "this key is gone for good; ask for a new one",
            ),
            Self::KeyDisabled => (
                "An admin has switched the key off. It can be switched on again.",
                "Ask the operator why, and to enable it again.",
                "ask an admin to enable the key again",
            ),
            Self::InsufficientScope => (
                "The key is good, but it was not given the scope that this call needs. The header \
                 WWW-Authenticate names it.",
                "Ask an admin to grant the scope, or use a key that has it.",
                "this needs the scope orgs:create; ask an admin to grant it",
            ),
            Self::NotPermitted => (
                "No scope helps here: this kind of credential can't make this call. Partner keys can't \
                 use the admin's routes, admin keys can't use the partners', and a key that is bound to \
                 one org can't create others.",
                "Use a credential of the right kind. GET /cp/whoami tells which one you hold.",
                "this route is for admin keys",
            ),
            Self::IpNotAllowed => (
                "The key is held to certain networks, and the request came from elsewhere.",
                "Call from an allowed network, or ask an admin to change allowed_cidrs of the key.",
                "the key can't be used from 198.51.100.7; call from an allowed network, or ask an admin \
                 to change allowed_cidrs",
            ),
            Self::OrgPlanNotAllowed => (
                "The key creates, changes and deletes orgs of certain plans alone, and this is another.",
                "Use the key for this plan, or ask an admin to change org_plans of the key.",
                "this key creates, changes and deletes orgs of plan standard alone, not enterprise; use the key for \
                 that plan",
            ),
            Self::PartnerPlanRequired => (
                "Keys are for partners on plan partner or enterprise. This partner is on another.",
                "Ask your account team. Keys that exist work again as soon as the plan includes them.",
                "keys are for partners on plan partner or enterprise; ask your account team",
            ),
            Self::NotFound => (
                "There is no such resource, or not for this credential: what belongs to others looks \
                 exactly like what does not exist.",
                "Check the path and the id, and whether you use the key of the right partner.",
                "there is no such resource for this credential",
            ),
            Self::MethodNotAllowed => (
                "The path is right and the method is not.",
                "Use one of the methods that the header Allow names.",
                "this route has the methods GET, POST",
            ),
            Self::SlugTaken => (
                "Another org has this slug. The slug of a deleted org is kept from other partners for \
                 30 days.",
                "Choose another slug.",
                "choose another slug",
            ),
            Self::OrgStateConflict => (
                "The org is in a state that does not allow this, such as a workspace in an org that is \
                 not ready.",
                "Poll the org's status and try again once it fits.",
                "an org that is provisioning can't be suspended",
            ),
            Self::KeyStateConflict => (
                "The key has been revoked. It can't be changed, and its secret can't be shown again.",
                "Issue a new key.",
                "the key has been revoked; issue a new one",
            ),
            Self::OrgQuotaExceeded => (
                "The partner, or the key, has as many orgs as it may have. Every org counts that is not \
                 deleted; of a key, those that it has made.",
                "Delete an org that is no longer used, or ask the operator for more.",
                "the partner may have 500 orgs and has them; delete one, or ask for more",
            ),
            Self::IdempotencyInProgress => (
                "A call with the same Idempotency-Key has not been answered yet.",
                "Wait as long as Retry-After says, a second otherwise, and send the same call again.",
                "the same call is still running; try again a little later",
            ),
            Self::PayloadTooLarge => (
                "A body has at most 64 KiB.",
                "Send less.",
                "a body has at most 64 KiB",
            ),
            Self::UnsupportedMediaType => (
                "Bodies are JSON, and the Content-Type says otherwise, or the body is compressed.",
                "Send Content-Type: application/json, or none at all. With curl use --json.",
                "send JSON with Content-Type: application/json, or no Content-Type at all (curl -d adds \
                 one of its own; use --json)",
            ),
            Self::ValidationFailed => (
                "The body is JSON, and values in it are missing, unknown or wrong. The list errors says \
                 where, as JSON pointers (RFC 6901), and what would be right.",
                "Mend what the list names; it names everything at once.",
                "fix /slug, /plan and send the request again",
            ),
            Self::IdempotencyKeyReused => (
                "An Idempotency-Key stands for one call. This one was used with another body.",
                "Make a new key for each new call; repeat a key only with the very same body.",
                "use a new Idempotency-Key for another request",
            ),
            Self::RateLimited => (
                "A limit is used up: of the key, of its partner, or of the client's address. \
                 violated-policies says which, the headers RateLimit-Policy and RateLimit say how much \
                 it is.",
                "Wait as long as Retry-After says. Spread calls over time; other keys are not affected.",
                "the limit \"key\" is used up; wait as Retry-After says",
            ),
            Self::Internal => (
                "Something went wrong on our side.",
                "Try again. If it stays so, give the request_id to the operator.",
                "try again; if it stays so, give the request_id to the operator",
            ),
            Self::Unavailable => (
                "The service can't answer now, most likely because its database is out of reach. \
                 Nothing was changed, unless the database was lost in the moment of a commit.",
                "Try again as Retry-After says, a POST with the Idempotency-Key that it had: what was \
                 changed all the same is then not done twice.",
                "the database can't be reached now; try again a little later",
            ),
        }
    }
}
