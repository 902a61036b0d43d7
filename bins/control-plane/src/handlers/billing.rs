//! `/cp/orgs/{id}/billing` and `/cp/admin/orgs/{id}/subscription`.

use api::{BillingView, billing_request};

use super::json;
use crate::http::{Failure, Http, Reply};

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

pub async fn update(http: Http) -> Result<Reply, Failure> {
    let asked = http.json(billing_request)?;
    let answer = http
        .service()
        .billing_update(&http.context, http.id()?, asked)
        .await?;
    json(answer, |(org, subscription)| {
        BillingView::new(org, &subscription)
    })
}
