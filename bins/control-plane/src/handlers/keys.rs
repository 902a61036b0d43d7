//! `/cp/admin/partner-keys`.

use api::{KeyView, ListParams, NewKeyView, key_changes, key_draft, key_list_request};
use keys::{PartnerKey, PlainKey};

use super::{json, page, rendered};
use crate::http::{Failure, Http, Reply};

pub async fn create(http: Http) -> Result<Reply, Failure> {
    let now = http.context.request.at;
    let draft = http.json(|body| key_draft(body, now))?;
    let render = move |key: &PartnerKey, secret: &PlainKey| {
        rendered(&NewKeyView::new(key.clone(), secret, now))
    };
    let answer = http
        .service()
        .key_create(&http.context, draft, render)
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let now = http.context.request.at;
    let caller = &http.context.caller;
    let mut query = http.query()?;
    let request = key_list_request(&mut query, caller.is_admin(), now)?;
    let params = ListParams::finish(query, &format!("keys in {}", caller.cursor_scope()))?;
    let answer = http
        .service()
        .key_list(&http.context, request, params.page)
        .await?;
    page(answer, &params, |key| KeyView::new(key, now))
}

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http.service().key_read(&http.context, http.id()?).await?;
    json(answer, |key| KeyView::new(key, http.context.request.at))
}

pub async fn update(http: Http) -> Result<Reply, Failure> {
    let now = http.context.request.at;
    let changes = http.json(|body| key_changes(body, now))?;
    let answer = http
        .service()
        .key_update(&http.context, http.id()?, changes)
        .await?;
    json(answer, |key| KeyView::new(key, now))
}

pub async fn revoke(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http.service().key_revoke(&http.context, http.id()?).await?;
    Ok(Reply::empty(&answer))
}
