//! `/cp/admin/partners`.

use api::{ListParams, PartnerView, partner_changes, partner_draft};
use keys::Partner;

use super::{json, page, rendered};
use crate::http::{Failure, Http, Reply};

pub async fn create(http: Http) -> Result<Reply, Failure> {
    let draft = http.json(partner_draft)?;
    let render = |partner: &Partner| rendered(&PartnerView::from(partner.clone()));
    let answer = http
        .service()
        .partner_create(&http.context, draft, render)
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let params = ListParams::finish(http.query()?, "partners")?;
    let answer = http
        .service()
        .partner_list(&http.context, params.page)
        .await?;
    page(answer, &params, PartnerView::from)
}

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    json(
        http.service()
            .partner_read(&http.context, http.id()?)
            .await?,
        PartnerView::from,
    )
}

pub async fn update(http: Http) -> Result<Reply, Failure> {
    let changes = http.json(partner_changes)?;
    let answer = http
        .service()
        .partner_update(&http.context, http.id()?, changes)
        .await?;
    json(answer, PartnerView::from)
}
