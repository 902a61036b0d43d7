//! `/healthz`, `/readyz` and `/metrics`, for whoever runs the server.

use std::sync::Arc;

use actix_web::HttpResponse;
use keys::KeyQueries as _;
use serde_json::json;
use stores::{Database as _, StoreError};

use crate::http::{App, Complaint};

/// The process answers.
pub async fn alive(_app: Arc<App>, _id: Arc<str>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// The database answers too.
pub async fn ready(app: Arc<App>, id: Arc<str>) -> HttpResponse {
    let asked: Result<_, StoreError> = app
        .service
        .database()
        .read(|view| view.pepper_check())
        .await;
    match asked {
        Ok(_) => HttpResponse::Ok().json(json!({"status": "ok"})),
        Err(error) => {
            tracing::warn!(error = error.as_dyn(), "not ready");
            Complaint::of_error(&error.into()).respond(&app.public_url, &id, None, &[])
        }
    }
}

/// The numbers.
pub async fn metrics(app: Arc<App>, _id: Arc<str>) -> HttpResponse {
    let lost = app.service.database().lost_events();
    app.metrics
        .lost_events
        .set(i64::try_from(lost).unwrap_or(i64::MAX));
    match app.metrics.text() {
        Ok((kind, text)) => HttpResponse::Ok().content_type(kind).body(text),
        Err(error) => {
            tracing::error!("the metrics can't be written: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}
