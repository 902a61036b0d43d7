//! Calls of the operator, some of which keys make about themselves.

use super::{Operation, Success, Tag, success};
use crate::{
    ErrorCode,
    openapi::{Body, Param, Shape},
};

const ORG: &[Success] = &[success(200, "The org as it now stands.", Shape::Org)];

/// Make a partner.
pub const PARTNER_CREATE: Operation = Operation {
    id: "createPartner",
    tag: Tag::Partners,
    summary: "Create a partner",
    detail: "Without `plan` the partner is on plan `partner`. Keys are for partners on plan `partner` \
             or `enterprise`.",
    query: &[],
    body: Some(Body::NewPartner),
    answers: &[success(201, "The new partner.", Shape::Partner)],
    refusals: &[],
};

/// List partners.
pub const PARTNER_LIST: Operation = Operation {
    id: "listPartners",
    tag: Tag::Partners,
    summary: "List partners",
    detail: "All partners, newest first.",
    query: &[Param::Limit, Param::Cursor],
    body: None,
    answers: &[success(200, "One page of the partners.", Shape::Partners)],
    refusals: &[],
};

/// Read a partner.
pub const PARTNER_READ: Operation = Operation {
    id: "getPartner",
    tag: Tag::Partners,
    summary: "Read a partner",
    detail: "",
    query: &[],
    body: None,
    answers: &[success(200, "The partner.", Shape::Partner)],
    refusals: &[],
};

/// Change a partner.
pub const PARTNER_UPDATE: Operation = Operation {
    id: "updatePartner",
    tag: Tag::Partners,
    summary: "Change a partner",
    detail: "A plan without keys stops all of the partner's keys at once; they work again when the \
             plan has keys again.",
    query: &[],
    body: Some(Body::PartnerChanges),
    answers: &[success(
        200,
        "The partner after the change.",
        Shape::Partner,
    )],
    refusals: &[],
};

/// Issue a key.
pub const KEY_CREATE: Operation = Operation {
    id: "createPartnerKey",
    tag: Tag::PartnerKeys,
    summary: "Issue a partner key",
    detail: "The secret stands in `key`, this once. Without `partner_id` and `org_id` the key gets a \
             partner of its own, on plan `partner`. With `org_id` it acts within that org alone. With \
             `org_plans` it creates orgs of those plans alone. With `max_live_orgs` it has so many \
             orgs at once, and with `on_revoke` set to `delete` they end with it. `expires_at` and `expires_in_days` \
             exclude one another.",
    query: &[],
    body: Some(Body::NewKey),
    answers: &[success(
        201,
        "The new key, with its secret.",
        Shape::IssuedKey,
    )],
    refusals: &[ErrorCode::PartnerPlanRequired, ErrorCode::KeyStateConflict],
};

/// List keys.
pub const KEY_LIST: Operation = Operation {
    id: "listPartnerKeys",
    tag: Tag::PartnerKeys,
    summary: "List partner keys",
    detail: "For an admin all keys; for a partner key those of its partner, or itself alone if it is \
             bound to an org. Never with secrets. `partner_id` is for admins.",
    query: &[
        Param::PartnerId,
        Param::KeyStatus,
        Param::Limit,
        Param::Cursor,
    ],
    body: None,
    answers: &[success(200, "One page of the keys.", Shape::Keys)],
    refusals: &[],
};

/// Read a key.
pub const KEY_READ: Operation = Operation {
    id: "getPartnerKey",
    tag: Tag::PartnerKeys,
    summary: "Read a partner key",
    detail: "For an admin any key; a partner key reads itself.",
    query: &[],
    body: None,
    answers: &[success(200, "The key, without its secret.", Shape::Key)],
    refusals: &[ErrorCode::NotPermitted],
};

/// Change a key.
pub const KEY_UPDATE: Operation = Operation {
    id: "updatePartnerKey",
    tag: Tag::PartnerKeys,
    summary: "Change a partner key",
    detail: "Whatever narrows the key holds from the next request on. `disabled` switches it off and \
             on again.",
    query: &[],
    body: Some(Body::KeyChanges),
    answers: &[success(200, "The key after the change.", Shape::Key)],
    refusals: &[ErrorCode::KeyStateConflict],
};

/// Revoke a key.
pub const KEY_REVOKE: Operation = Operation {
    id: "revokePartnerKey",
    tag: Tag::PartnerKeys,
    summary: "Revoke a partner key",
    detail: "For an admin any key, however often; a partner key revokes itself. It holds from the next \
             request on and can't be undone. The orgs that the key created stay.",
    query: &[],
    body: None,
    answers: &[success(204, "The key is revoked.", Shape::Nothing)],
    refusals: &[ErrorCode::NotPermitted],
};

/// List all partners' orgs.
pub const ADMIN_ORG_LIST: Operation = Operation {
    id: "listAllOrgs",
    tag: Tag::AdminOrgs,
    summary: "List all partners' orgs",
    detail: "Deleted orgs are left out unless `status=deleted` asks for them.",
    query: &[
        Param::OrgStatus,
        Param::Slug,
        Param::ExternalId,
        Param::PartnerId,
        Param::Label,
        Param::Limit,
        Param::Cursor,
    ],
    body: None,
    answers: &[success(200, "One page of the orgs.", Shape::Orgs)],
    refusals: &[],
};

/// Read any org.
pub const ADMIN_ORG_READ: Operation = Operation {
    id: "getAnyOrg",
    tag: Tag::AdminOrgs,
    summary: "Read an org of any partner",
    detail: "",
    query: &[],
    body: None,
    answers: &[success(200, "The org.", Shape::Org)],
    refusals: &[],
};

/// Set an org's billing state.
pub const BILLING_UPDATE: Operation = Operation {
    id: "setOrgSubscription",
    tag: Tag::AdminOrgs,
    summary: "Set the billing state of an org",
    detail: "What is left out stays as it is, save `cancel_at`, which is then cleared. A `plan` also \
             changes the org's plan.",
    query: &[],
    body: Some(Body::NewBilling),
    answers: &[success(200, "The new billing state.", Shape::Billing)],
    refusals: &[],
};

/// Pause an org.
pub const ORG_SUSPEND: Operation = Operation {
    id: "suspendOrg",
    tag: Tag::AdminOrgs,
    summary: "Pause an org",
    detail: "From `ready` to `suspended`.",
    query: &[],
    body: Some(Body::Empty),
    answers: ORG,
    refusals: &[ErrorCode::OrgStateConflict],
};

/// End an org's pause.
pub const ORG_RESUME: Operation = Operation {
    id: "resumeOrg",
    tag: Tag::AdminOrgs,
    summary: "End an org's pause",
    detail: "From `suspended` to `ready`.",
    query: &[],
    body: Some(Body::Empty),
    answers: ORG,
    refusals: &[ErrorCode::OrgStateConflict],
};

/// Try a failed org again.
pub const ORG_RETRY: Operation = Operation {
    id: "retryOrg",
    tag: Tag::AdminOrgs,
    summary: "Try a failed org again",
    detail: "From `failed` to `provisioning`.",
    query: &[],
    body: Some(Body::Empty),
    answers: ORG,
    refusals: &[ErrorCode::OrgStateConflict],
};

/// List all events.
pub const ADMIN_AUDIT_LIST: Operation = Operation {
    id: "listAllAuditEvents",
    tag: Tag::Audit,
    summary: "List all audit events",
    detail: "Those of admins and of the system too.",
    query: &[
        Param::ActorId,
        Param::PartnerId,
        Param::OrgId,
        Param::Action,
        Param::Outcome,
        Param::RequestId,
        Param::Since,
        Param::Until,
        Param::Limit,
        Param::Cursor,
    ],
    body: None,
    answers: &[success(200, "One page of the events.", Shape::Events)],
    refusals: &[],
};

/// Read any event.
pub const ADMIN_AUDIT_READ: Operation = Operation {
    id: "getAnyAuditEvent",
    tag: Tag::Audit,
    summary: "Read any audit event",
    detail: "`Audit-Event-Id` of an answer is the id of its event.",
    query: &[],
    body: None,
    answers: &[success(200, "The event.", Shape::Event)],
    refusals: &[],
};
