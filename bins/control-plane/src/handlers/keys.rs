//! `/cp/admin/partner-keys`.

use api::{KeyView, ListParams, NewKeyView, key_changes, key_draft, key_filter};
use ids::TypedId as _;
use service::{Caller, IssuedKey};

use super::{json, page};
use crate::http::{Failure, Http, Reply};

pub async fn create(http: Http) -> Result<Reply, Failure> {
    let now = http.context.call.at;
    let draft = http.json(|body| key_draft(body, now))?;
    let answer = http.service().key_create(&http.context, draft).await?;
    let service::Answer {
        value: IssuedKey { key, secret },
        status,
        event,
    } = answer;
    let answer = service::Answer {
        value: key,
        status,
        event,
    };
    json(answer, |key| NewKeyView::new(key, &secret, now))
}

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let now = http.context.call.at;
    let (for_operator, of) = match &http.context.caller {
        Caller::Admin(_) => (true, "all".to_owned()),
        Caller::Partner(held) => (false, held.key.id.to_string()),
    };
    let mut query = http.query();
    let filter = key_filter(&mut query, for_operator, now)?;
    let params = ListParams::finish(query, &format!("keys of {of}"))?;
    let answer = http
        .service()
        .key_list(&http.context, filter, params.page)
        .await?;
    page(
        answer,
        &params,
        |key| key.id.ulid(),
        |key| KeyView::new(key, now),
    )
}

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http.service().key_read(&http.context, http.id()?).await?;
    json(answer, |key| KeyView::new(key, http.context.call.at))
}

pub async fn update(http: Http) -> Result<Reply, Failure> {
    let now = http.context.call.at;
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
