//! `/healthz`, `/readyz` and `/metrics`, for whoever runs the server.

use actix_web::HttpResponse;
use api::{
    ErrorCode, HealthView,
    openapi::{Content, Operation, Success, Tag},
};
use stores::StoreError;

use crate::http::{App, ProblemDetails, ProblemResponse, PublicRequest};

pub const HEALTHZ: Operation = Operation::new(
    "healthz",
    Tag::Operations,
    "Check that the process runs",
    HEALTHY,
);

const HEALTHY: &[Success] = &[Success::new(200, "Healthy.", Content::json::<HealthView>())];

/// The process answers.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(HealthView::OK)
}

pub const READYZ: Operation = Operation {
    detail: "Checks that the database can be read and written, as of less than a second ago, and that this \
             server is not about to stop. The database is checked in the background: this request costs no \
             connection, however often it is sent.",
    errors: &[ErrorCode::Internal, ErrorCode::Unavailable],
    ..Operation::new(
        "readyz",
        Tag::Operations,
        "Check that requests can be served",
        HEALTHY,
    )
};

/// The server goes on, and the database answers, takes changes and tells of revocations. It is asked in the background, so this
/// costs no connection however often it is called.
pub async fn ready(request: PublicRequest) -> Result<HttpResponse, ProblemResponse> {
    let PublicRequest { app, id } = request;
    if app.stopping.is_cancelled() {
        let details = ProblemDetails::stopping();
        return Err(ProblemResponse::unaudited(&app, &id, details));
    }
    match readiness(&app) {
        Ok(()) => Ok(HttpResponse::Ok().json(HealthView::OK)),
        // The background work logs why.
        Err(error) => {
            let details = ProblemDetails::of_error(&error.into());
            Err(ProblemResponse::unaudited(&app, &id, details))
        }
    }
}

fn readiness(app: &App) -> Result<(), StoreError> {
    app.service.database().readiness()?;
    if app.service.is_credential_cache_fresh() {
        Ok(())
    } else {
        Err(StoreError::Unavailable(None))
    }
}

pub const METRICS: Operation = Operation {
    detail: "In the text format of Prometheus. The metrics name no key, partner, org or address.",
    ..Operation::new(
        "metrics",
        Tag::Operations,
        "Read the metrics",
        &[Success::new(200, "The metrics.", Content::METRICS)],
    )
};

/// The numbers.
pub async fn metrics(PublicRequest { app, .. }: PublicRequest) -> HttpResponse {
    let authentications = app.metrics.authentications.lookups();
    app.metrics.database.set(&app.service, authentications);
    let ready = readiness(&app).is_ok() && !app.stopping.is_cancelled();
    app.metrics.ready.set(ready.into());
    let lists = app.service.database().list_stats();
    app.metrics.lists.set(lists);
    match app.metrics.text() {
        Ok((kind, text)) => HttpResponse::Ok().content_type(kind).body(text),
        Err(error) => {
            tracing::error!("the metrics can't be written: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}
