//! `/cp/webhook-endpoints`.

use ::webhooks::{Delivery, Endpoint, WebhookSecret};
use api::{DeliveryView, EndpointView, ListParams, NewEndpointView, endpoint_draft};
use ids::EndpointId;
use service::Rendered;
use time::OffsetDateTime;

use super::{json, page, rendered};
use crate::http::{Failure, Http, Reply};

pub async fn create(http: Http) -> Result<Reply, Failure> {
    let (now, reach) = (
        http.context.request.at,
        http.service().webhook_address_policy(),
    );
    let draft = http.json(|body| endpoint_draft(body, reach))?;
    let render = move |endpoint: &Endpoint, secret: &WebhookSecret| Rendered {
        location: Some(format!("/cp/webhook-endpoints/{}", endpoint.id)),
        ..with_secret(endpoint, secret, now)
    };
    let answer = http
        .service()
        .webhook_create(&http.context, draft, render)
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let now = http.context.request.at;
    let params = ListParams::finish(http.query()?, "webhook endpoints")?;
    let answer = http
        .service()
        .webhook_list(&http.context, params.page)
        .await?;
    page(answer, &params, |endpoint| EndpointView::new(endpoint, now))
}

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http
        .service()
        .webhook_read(&http.context, http.id()?)
        .await?;
    json(answer, |endpoint| {
        EndpointView::new(endpoint, http.context.request.at)
    })
}

pub async fn delete(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http
        .service()
        .webhook_delete(&http.context, http.id()?)
        .await?;
    Ok(Reply::empty(&answer))
}

pub async fn rotate(http: Http) -> Result<Reply, Failure> {
    http.no_body()?;
    let now = http.context.request.at;
    let render =
        move |endpoint: &Endpoint, secret: &WebhookSecret| with_secret(endpoint, secret, now);
    let answer = http
        .service()
        .webhook_rotate(&http.context, http.id()?, render)
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn test(http: Http) -> Result<Reply, Failure> {
    http.no_body()?;
    let answer = http
        .service()
        .webhook_test(&http.context, http.id()?, delivery)
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn deliveries(http: Http) -> Result<Reply, Failure> {
    let of = http
        .id::<EndpointId>()
        .map_or_else(|_| String::new(), |id| id.to_string());
    let params = ListParams::finish(http.query()?, &format!("deliveries to {of}"))?;
    let answer = http
        .service()
        .delivery_list(&http.context, http.id()?, params.page)
        .await?;
    page(answer, &params, DeliveryView::from)
}

pub async fn redeliver(http: Http) -> Result<Reply, Failure> {
    http.no_body()?;
    let (endpoint, wanted) = (http.id()?, http.named_id("delivery")?);
    let answer = http
        .service()
        .delivery_redeliver(&http.context, endpoint, wanted, delivery)
        .await?;
    Ok(Reply::rendered(answer))
}

fn with_secret(endpoint: &Endpoint, secret: &WebhookSecret, now: OffsetDateTime) -> Rendered {
    NewEndpointView::show(endpoint, secret, now, |view| rendered(view))
}

fn delivery(delivery: &Delivery) -> Rendered {
    rendered(&DeliveryView::from(delivery.clone()))
}
