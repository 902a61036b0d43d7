//! `/cp/admin/partners`.

use api::{
    NewPartner, PartnerChanges, PartnerView, Request as _,
    openapi::{Body, Content, Operation, Success, Tag},
};
use keys::Partner;

use super::{json, page, rendered};
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const PARTNER_CREATE: Operation = Operation {
    detail: "Without `plan`, the partner has the plan `partner`. Only the plans `partner` and `enterprise` include \
             keys.",
    body: Some(Body::of::<NewPartner>()),
    ..Operation::new(
        "createPartner",
        Tag::Partners,
        "Create a partner",
        &[Success::new(
            201,
            "The new partner.",
            Content::json::<PartnerView>(),
        )],
    )
};

pub async fn create(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let asked = request.json(|body| NewPartner::from_body(body, &()))?;
    let render = |partner: &Partner| rendered(&PartnerView::from(partner.clone()));
    let answer = request
        .service()
        .partner_create(&request.context, asked.into(), render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const PARTNER_LIST: Operation = Operation {
    detail: "All partners, newest first.",
    ..Operation::new(
        "listPartners",
        Tag::Partners,
        "List partners",
        &[Success::new(
            200,
            "A page of partners.",
            Content::list::<PartnerView>(),
        )],
    )
};

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let ((), params) = request.list("partners")?;
    let answer = request
        .service()
        .partner_list(&request.context, params.page)
        .await?;
    page(answer, &params, PartnerView::from)
}

pub const PARTNER_READ: Operation = Operation::new(
    "getPartner",
    Tag::Partners,
    "Read a partner",
    &[Success::new(
        200,
        "The partner.",
        Content::json::<PartnerView>(),
    )],
);

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    json(
        request
            .service()
            .partner_read(&request.context, request.id()?)
            .await?,
        PartnerView::from,
    )
}

pub const PARTNER_UPDATE: Operation = Operation {
    detail: "A plan without keys disables all keys of the partner at once. They work again when the plan \
             includes keys again.",
    body: Some(Body::of::<PartnerChanges>()),
    ..Operation::new(
        "updatePartner",
        Tag::Partners,
        "Change a partner",
        &[Success::new(
            200,
            "The changed partner.",
            Content::json::<PartnerView>(),
        )],
    )
};

pub async fn update(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let changes = request.json(|body| PartnerChanges::from_body(body, &()))?;
    let answer = request
        .service()
        .partner_update(&request.context, request.id()?, changes.into())
        .await?;
    json(answer, PartnerView::from)
}
