//! `/cp/admin/trust-rules`.

use api::{
    NewTrustRule, Request as _, TrustRuleChanges, TrustRuleFilters, TrustRuleView,
    openapi::{Body, Content, Operation, Params, Success, Tag},
};
use trust::TrustRule;

use super::{json, page, rendered};
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const TRUST_RULE_CREATE: Operation = Operation {
    detail: "A pipeline exchanges the token that its provider has signed for it at `POST /cp/token`, by naming the \
             rule. A partner has at most 100 rules.",
    body: Some(Body::of::<NewTrustRule>()),
    ..Operation::new(
        "createTrustRule",
        Tag::TrustRules,
        "Create a trust rule",
        &[Success::new(
            201,
            "The new rule.",
            Content::json::<TrustRuleView>(),
        )],
    )
};

pub async fn create(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let policy = request.issuer_policy();
    let asked = request.json(|body| NewTrustRule::from_body(body, &policy))?;
    let render = |rule: &TrustRule| rendered(&TrustRuleView::from(rule.clone()));
    let answer = request
        .service()
        .trust_rule_create(&request.context, asked.into(), render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const TRUST_RULE_LIST: Operation = Operation {
    query: &[Params::of::<TrustRuleFilters>()],
    ..Operation::new(
        "listTrustRules",
        Tag::TrustRules,
        "List trust rules",
        &[Success::new(
            200,
            "A page of rules.",
            Content::list::<TrustRuleView>(),
        )],
    )
};

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let (filters, params) = request.list::<TrustRuleFilters>("trust rules")?;
    let answer = request
        .service()
        .trust_rule_list(&request.context, filters.partner_id(), params.page)
        .await?;
    page(answer, &params, TrustRuleView::from)
}

pub const TRUST_RULE_READ: Operation = Operation::new(
    "getTrustRule",
    Tag::TrustRules,
    "Read a trust rule",
    &[Success::new(
        200,
        "The rule.",
        Content::json::<TrustRuleView>(),
    )],
);

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .trust_rule_read(&request.context, request.id()?)
        .await?;
    json(answer, TrustRuleView::from)
}

pub const TRUST_RULE_UPDATE: Operation = Operation {
    detail: "A change counts from the next exchange on. Keys that exist stay as they are. With `enabled: false` no token \
             is exchanged, and the keys that the rule has made are revoked: up to 100 of them at once, further ones \
             within seconds.",
    body: Some(Body::of::<TrustRuleChanges>()),
    ..Operation::new(
        "updateTrustRule",
        Tag::TrustRules,
        "Change a trust rule",
        &[Success::new(
            200,
            "The changed rule.",
            Content::json::<TrustRuleView>(),
        )],
    )
};

pub async fn update(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let policy = request.issuer_policy();
    let changes = request.json(|body| TrustRuleChanges::from_body(body, &policy))?;
    let answer = request
        .service()
        .trust_rule_update(&request.context, request.id()?, changes.into())
        .await?;
    json(answer, TrustRuleView::from)
}

pub const TRUST_RULE_DELETE: Operation = Operation {
    detail: "The keys that the rule has made are revoked, as when it is disabled. The orgs stay. A rule that is \
             deleted already stays so.",
    ..Operation::new(
        "deleteTrustRule",
        Tag::TrustRules,
        "Delete a trust rule",
        &[Success::empty(204, "The rule is deleted.")],
    )
};

pub async fn delete(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .trust_rule_delete(&request.context, request.id()?)
        .await?;
    Ok(AuditedResponse::empty(&answer))
}
