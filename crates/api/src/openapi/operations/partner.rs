//! Calls of partner keys.

use super::{Operation, Success, Tag, success};
use crate::{
    ErrorCode,
    openapi::{Body, Header, Param, Shape},
};

/// Create an org.
pub const ORG_CREATE: Operation = Operation {
    id: "createOrg",
    tag: Tag::Orgs,
    summary: "Create an org",
    detail: "The answer comes at once, with status `provisioning`; poll the org's status until it is \
             `ready`. A slug has no `--` and is not one of the reserved ones. Which plans there are is \
             the operator's choice, by default `free`, `standard` and `enterprise`. With `ttl_seconds` \
             the org has a lease and is deleted when that runs out.",
    query: &[],
    body: Some(Body::NewOrg),
    answers: &[Success {
        headers: &[Header::Location],
        ..success(201, "The org, on its way.", Shape::Org)
    }],
    refusals: &[
        ErrorCode::OrgPlanNotAllowed,
        ErrorCode::SlugTaken,
        ErrorCode::OrgQuotaExceeded,
    ],
};

/// List the partner's orgs.
pub const ORG_LIST: Operation = Operation {
    id: "listOrgs",
    tag: Tag::Orgs,
    summary: "List the partner's orgs",
    detail: "Deleted orgs are left out unless `status=deleted` asks for them.",
    query: &[
        Param::OrgStatus,
        Param::Slug,
        Param::ExternalId,
        Param::Label,
        Param::Limit,
        Param::Cursor,
    ],
    body: None,
    answers: &[success(200, "One page of the orgs.", Shape::Orgs)],
    refusals: &[],
};

/// Read an org.
pub const ORG_READ: Operation = Operation {
    id: "getOrg",
    tag: Tag::Orgs,
    summary: "Read an org",
    detail: "With `orgs:create` alone, a key reads the orgs that it created itself. A deleted org can \
             still be read.",
    query: &[],
    body: None,
    answers: &[success(200, "The org.", Shape::Org)],
    refusals: &[],
};

/// Poll an org.
pub const ORG_STATUS: Operation = Operation {
    id: "getOrgStatus",
    tag: Tag::Orgs,
    summary: "Poll the status of an org",
    detail: "`Retry-After` stands in the answer while work is pending, made of what the last orgs of \
             the plan took. With `Prefer: wait=30` the answer is held until the status changes, so \
             that nobody need poll. Once the org is `ready`, send its customer to `login_url`.",
    query: &[Param::Prefer],
    body: None,
    answers: &[Success {
        headers: &[Header::RetryAfter, Header::PreferenceApplied],
        ..success(200, "Where the org stands.", Shape::OrgState)
    }],
    refusals: &[],
};

/// Delete an org.
pub const ORG_DELETE: Operation = Operation {
    id: "deleteOrg",
    tag: Tag::Orgs,
    summary: "Delete an org",
    detail: "The answer comes at once, with status `deprovisioning`; deleting again is harmless.",
    query: &[],
    body: None,
    answers: &[
        success(202, "The org is being taken away.", Shape::Org),
        success(204, "The org is gone already.", Shape::Nothing),
    ],
    refusals: &[ErrorCode::OrgPlanNotAllowed],
};

/// Delete orgs by label.
pub const ORGS_DELETE: Operation = Operation {
    id: "deleteOrgs",
    tag: Tag::Orgs,
    summary: "Delete all orgs that have some labels",
    detail: "Up to 1000 orgs, the newest first, in one step; they stand in the answer, which has no \
             pages. Orgs that are being taken away already are not among them: ask again until `data` \
             is empty. With `dry_run=true` nothing is deleted. Where the key has `org_plans` and one of \
             the orgs another plan, none is deleted.",
    query: &[Param::DoomedLabel, Param::DryRun],
    body: None,
    answers: &[
        success(
            200,
            "A dry run: the orgs that would be deleted.",
            Shape::DeletedOrgs,
        ),
        success(
            202,
            "The orgs that are being taken away.",
            Shape::DeletedOrgs,
        ),
    ],
    refusals: &[ErrorCode::OrgPlanNotAllowed],
};

/// Prolong an org's lease.
pub const ORG_RENEW: Operation = Operation {
    id: "renewOrg",
    tag: Tag::Orgs,
    summary: "Renew the lease of an org",
    detail: "The lease then ends `ttl_seconds` after the call, be that later or earlier than before. \
             Any org of the partner can be renewed, as long as it has a lease that has not run out \
             and is not being deleted.",
    query: &[],
    body: Some(Body::Renewal),
    answers: &[success(200, "The org with its new end.", Shape::Org)],
    refusals: &[ErrorCode::OrgPlanNotAllowed, ErrorCode::OrgStateConflict],
};

/// Create a workspace.
pub const WORKSPACE_CREATE: Operation = Operation {
    id: "createWorkspace",
    tag: Tag::Orgs,
    summary: "Create a workspace in an org",
    detail: "The org must be `ready`; it has a workspace `default` from its beginning.",
    query: &[],
    body: Some(Body::NewWorkspace),
    answers: &[success(201, "The new workspace.", Shape::Workspace)],
    refusals: &[
        ErrorCode::OrgPlanNotAllowed,
        ErrorCode::SlugTaken,
        ErrorCode::OrgStateConflict,
    ],
};

/// List an org's workspaces.
pub const WORKSPACE_LIST: Operation = Operation {
    id: "listWorkspaces",
    tag: Tag::Orgs,
    summary: "List the workspaces of an org",
    detail: "",
    query: &[Param::Limit, Param::Cursor],
    body: None,
    answers: &[success(
        200,
        "One page of the workspaces.",
        Shape::Workspaces,
    )],
    refusals: &[],
};

/// Read an org's billing state.
pub const BILLING_READ: Operation = Operation {
    id: "getOrgBilling",
    tag: Tag::Orgs,
    summary: "Read the billing state of an org",
    detail: "",
    query: &[],
    body: None,
    answers: &[success(200, "The billing state.", Shape::Billing)],
    refusals: &[],
};

/// List the partner's events.
pub const AUDIT_LIST: Operation = Operation {
    id: "listAuditEvents",
    tag: Tag::Audit,
    summary: "List the partner's audit events",
    detail: "What the partner's keys did and what the system did to its orgs; never what an admin did.",
    query: &[
        Param::ActorId,
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

/// Read one of the partner's events.
pub const AUDIT_READ: Operation = Operation {
    id: "getAuditEvent",
    tag: Tag::Audit,
    summary: "Read one of the partner's audit events",
    detail: "Any that the list shows. `Audit-Event-Id` of an answer is the id of its event.",
    query: &[],
    body: None,
    answers: &[success(200, "The event.", Shape::Event)],
    refusals: &[],
};

/// Ask what the credential is.
pub const WHOAMI: Operation = Operation {
    id: "whoami",
    tag: Tag::Credential,
    summary: "Ask what the credential is",
    detail: "Its kind, scopes and partner, and what is left of its limits. An admin key has no scopes \
             and no partner.",
    query: &[],
    body: None,
    answers: &[success(200, "The credential.", Shape::Whoami)],
    refusals: &[],
};
