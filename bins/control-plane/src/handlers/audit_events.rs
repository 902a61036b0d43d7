//! `/cp/audit-events` and `/cp/admin/audit-events`.

use api::{
    EventFilters, EventView,
    openapi::{Content, Operation, Params, Success, Tag},
};

use super::{json, page};
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const AUDIT_LIST: Operation = Operation {
    detail: "The requests with keys of the partner, and what the system did to its orgs; never the requests of an \
             admin.",
    query: &[Params::of::<EventFilters>()],
    ..Operation::new(
        "listAuditEvents",
        Tag::Audit,
        "List the audit events of the partner",
        EVENT_PAGE,
    )
};

pub const ADMIN_AUDIT_LIST: Operation = Operation {
    detail: "All events, including those of admins and of the system.",
    query: &[Params::of::<EventFilters>()],
    ..Operation::new(
        "listAllAuditEvents",
        Tag::Audit,
        "List all audit events",
        EVENT_PAGE,
    )
};

const EVENT_PAGE: &[Success] = &[Success::new(
    200,
    "A page of events.",
    Content::list::<EventView>(),
)];

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let caller = &request.context.caller;
    let (filters, params) =
        request.list::<EventFilters>(&format!("events in {}", caller.cursor_scope()))?;
    let answer = request
        .service()
        .audit_list(&request.context, filters.into(), params.page)
        .await?;
    page(answer, &params, EventView::from)
}

pub const AUDIT_READ: Operation = Operation {
    detail: "Any event that the list shows. The id is in the header `Audit-Event-Id` of every response.",
    ..Operation::new(
        "getAuditEvent",
        Tag::Audit,
        "Read an audit event of the partner",
        EVENT,
    )
};

pub const ADMIN_AUDIT_READ: Operation = Operation {
    detail: "The id is in the header `Audit-Event-Id` of every response.",
    ..Operation::new(
        "getAnyAuditEvent",
        Tag::Audit,
        "Read any audit event",
        EVENT,
    )
};

const EVENT: &[Success] = &[Success::new(
    200,
    "The event.",
    Content::json::<EventView>(),
)];

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .audit_read(&request.context, request.id()?)
        .await?;
    json(answer, EventView::from)
}
