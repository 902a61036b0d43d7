//! `/cp/orgs/{id}/billing` and `/cp/admin/orgs/{id}/subscription`.

use api::{
    BillingRequest, BillingView, ErrorCode, Request as _,
    openapi::{Body, Content, Operation, Success, Tag},
};

use super::json;
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const BILLING_READ: Operation = Operation::new(
    "getOrgBilling",
    Tag::Orgs,
    "Read the billing state of an org",
    &[Success::new(
        200,
        "The billing state.",
        Content::json::<BillingView>(),
    )],
);

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .billing_read(&request.context, request.id()?)
        .await?;
    json(answer, |(org, subscription)| {
        BillingView::new(org, &subscription)
    })
}

pub const BILLING_UPDATE: Operation = Operation {
    detail: "A field that is left out stays as it is, except `cancel_at`, which is cleared. `plan` also changes \
             the plan of the org, without work on it; that is refused while the org is `updating`.",
    body: Some(Body::of::<BillingRequest>()),
    errors: &[ErrorCode::OrgStateConflict],
    ..Operation::new(
        "setOrgSubscription",
        Tag::AdminOrgs,
        "Set the billing state of an org",
        &[Success::new(
            200,
            "The new billing state.",
            Content::json::<BillingView>(),
        )],
    )
};

pub async fn update(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let asked = request.json(|body| BillingRequest::from_body(body, &()))?;
    let answer = request
        .service()
        .billing_update(&request.context, request.id()?, asked)
        .await?;
    json(answer, |(org, subscription)| {
        BillingView::new(org, &subscription)
    })
}
