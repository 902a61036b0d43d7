//! `/cp/plans`.

use api::{
    PlanView,
    openapi::{Content, Operation, Success, Tag},
};

use super::page;
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const PLAN_LIST: Operation = Operation {
    detail: "In the order of the operator. A key with `org_plans` sees those plans alone.",
    ..Operation::new(
        "listPlans",
        Tag::Orgs,
        "List the plans that orgs can have",
        &[Success::new(
            200,
            "A page of plans.",
            Content::list::<PlanView>(),
        )],
    )
};

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let ((), params) = request.list("plans")?;
    let answer = request
        .service()
        .plan_list(&request.context, params.page)
        .await?;
    page(answer, &params, PlanView::from)
}
