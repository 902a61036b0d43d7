//! `/cp/orgs/{id}/billing` and `/cp/admin/orgs/{id}/subscription`.

use api::{
    BillingRequest, BillingView, Request as _,
    openapi::{Body, Content, Operation, Success, Tag},
};

use super::json;
use crate::http::{Failure, Http, Reply};

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

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http
        .service()
        .billing_read(&http.context, http.id()?)
        .await?;
    json(answer, |(org, subscription)| {
        BillingView::new(org, &subscription)
    })
}

pub const BILLING_UPDATE: Operation = Operation {
    detail: "A field that is left out stays as it is, except `cancel_at`, which is cleared. `plan` also changes \
             the plan of the org.",
    body: Some(Body::of::<BillingRequest>()),
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

pub async fn update(http: Http) -> Result<Reply, Failure> {
    let asked = http.json(|body| BillingRequest::from_body(body, &()))?;
    let answer = http
        .service()
        .billing_update(&http.context, http.id()?, asked)
        .await?;
    json(answer, |(org, subscription)| {
        BillingView::new(org, &subscription)
    })
}
