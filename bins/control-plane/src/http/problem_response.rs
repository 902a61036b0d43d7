//! An error as it is sent: a problem document (RFC 9457) with its headers.

use std::{fmt, sync::Arc};

use actix_web::{
    HttpResponse, ResponseError,
    body::BoxBody,
    http::{
        StatusCode,
        header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    },
};
use api::Problem;
use ids::{EventId, TypedId as _};
use ratelimit::Decision;
use service::{Context, Deprecation, Error, LimitName, Rejection};

use super::{
    App,
    headers::{AUDIT_EVENT_ID, X_REQUEST_ID, set, set_deprecation, set_limits, set_retry_after},
    problem_details::{HandlerError, ProblemDetails},
};

pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// An error response. It can be sent once the audit event that it names is durable.
pub struct ProblemResponse {
    app: Arc<App>,
    request_id: Arc<str>,
    details: Details,
}

enum Details {
    /// [`App::malformed_key`].
    MalformedKey,
    Of {
        details: ProblemDetails,
        event: Option<EventId>,
        caller: Box<OfCaller>,
    },
}

/// What a response tells a caller of its credential.
#[derive(Default)]
struct OfCaller {
    limits: Vec<(LimitName, Decision)>,
    deprecation: Option<Deprecation>,
}

impl ProblemResponse {
    /// The response to a request that has no audit event.
    pub fn unaudited(app: &Arc<App>, request_id: &Arc<str>, details: ProblemDetails) -> Self {
        Self::new(app, request_id, (details, None, OfCaller::default()))
    }

    /// The response to a key that was cut short or mistyped.
    pub fn malformed_key(app: &Arc<App>, request_id: &Arc<str>) -> Self {
        Self {
            app: Arc::clone(app),
            request_id: Arc::clone(request_id),
            details: Details::MalformedKey,
        }
    }

    /// The response to a call that a use case has refused.
    pub fn rejected(app: &Arc<App>, request_id: &Arc<str>, rejection: Rejection) -> Self {
        if let Error::RateLimited { limits, .. } = &rejection.error {
            for limit in limits {
                app.metrics.rate_limits.limited(*limit);
            }
        }
        let details = ProblemDetails::of_error(&rejection.error);
        let caller = OfCaller {
            limits: rejection.limits,
            deprecation: rejection.deprecation,
        };
        Self::new(app, request_id, (details, rejection.event, caller))
    }

    /// The response to an authenticated call that failed; its audit event is written unless it has one. Refusals are
    /// paced: what a client does wrong, it can do as fast as it sends.
    pub async fn audit(app: &Arc<App>, context: &Context, error: HandlerError) -> Self {
        let response = Self::audited(app, context, error).await;
        if response.status_code().is_client_error() {
            let source = app.pacing.caller(&context.caller);
            app.pacing.wait(source, 0).await;
        }
        response
    }

    async fn audited(app: &Arc<App>, context: &Context, error: HandlerError) -> Self {
        let id = &context.request.request_id;
        let details = match error {
            HandlerError::Rejected(rejection) => return Self::rejected(app, id, *rejection),
            HandlerError::Malformed(details) => *details,
        };
        let caller = OfCaller {
            limits: context.limits.clone(),
            deprecation: context.deprecation(),
        };
        match app.service.reject_as(context, details.code).await {
            Ok(event) => Self::new(app, id, (details, Some(event), caller)),
            Err(fault) => {
                let details = ProblemDetails::of_error(&Error::Store(fault));
                Self::new(app, id, (details, None, caller))
            }
        }
    }

    fn new(
        app: &Arc<App>,
        request_id: &Arc<str>,
        (details, event, caller): (ProblemDetails, Option<EventId>, OfCaller),
    ) -> Self {
        Self {
            app: Arc::clone(app),
            request_id: Arc::clone(request_id),
            details: Details::Of {
                details,
                event,
                caller: Box::new(caller),
            },
        }
    }
}

impl ResponseError for ProblemResponse {
    fn status_code(&self) -> StatusCode {
        match &self.details {
            Details::MalformedKey => self.app.malformed_key.status(),
            Details::Of { details, .. } => StatusCode::from_u16(details.code.status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let Details::Of {
            details,
            event,
            caller,
        } = &self.details
        else {
            return self.app.malformed_key.response(&self.request_id);
        };
        let mut response = HttpResponse::new(self.status_code());
        let headers = response.headers_mut();
        set(headers, X_REQUEST_ID, &*self.request_id);
        if let Some(challenge) = &details.challenge {
            set(headers, WWW_AUTHENTICATE, challenge.as_str());
        }
        if let Some(allow) = &details.allow {
            set(headers, ALLOW, allow.as_str());
        }
        if let Some(wait) = details.retry_after {
            set_retry_after(headers, wait);
        }
        if let Some(event) = event {
            set(headers, AUDIT_EVENT_ID, event.text());
        }
        set_limits(headers, &caller.limits);
        set_deprecation(headers, caller.deprecation);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let problem = document(details, &self.app.public_url, &self.request_id);
        response.set_body(BoxBody::new(problem.to_json()))
    }
}

/// The body of the response.
pub(super) fn document(details: &ProblemDetails, public_url: &str, request_id: &str) -> Problem {
    let detail = details.detail.clone();
    let mut problem = Problem::new(public_url, details.code, detail, request_id.to_owned());
    problem.errors.clone_from(&details.errors);
    problem.violated_policies.clone_from(&details.violated);
    problem
}

impl fmt::Display for ProblemResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status_code())
    }
}

impl fmt::Debug for ProblemResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
