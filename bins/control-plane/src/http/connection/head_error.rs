//! Responses to what is not HTTP, which no handler sees.

use std::time::SystemTime;

use actix_web::http::header::HttpDate;
use api::{ErrorCode, Problem};
use ids::{RequestId, TypedId as _};

use crate::{
    http::{App, problem_response::PROBLEM_JSON},
    metrics::{LastResponse, ResponseLabels},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The framework can't parse it.
    Unreadable,
    /// The client closed its side within the head.
    BrokenOff,
    /// The head did not come in time.
    Timeout,
    /// The head is too large.
    TooLarge,
}

impl HeadError {
    /// From the framework's own response; `None` when that refuses no head.
    pub fn of_framework(answer: &[u8]) -> Option<Self> {
        match answer.get(9..12)? {
            b"400" => Some(Self::Unreadable),
            b"431" => Some(Self::TooLarge),
            _ => None,
        }
    }

    const fn status(self) -> (u16, &'static str) {
        match self {
            Self::Unreadable | Self::BrokenOff => (400, "Bad Request"),
            Self::Timeout => (408, "Request Timeout"),
            Self::TooLarge => (431, "Request Header Fields Too Large"),
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "This is not a valid HTTP/1.1 request. Send Host once, a Content-Length that counts \
                 bytes, and Content-Length with each HTTP/1.0 POST (behind nginx, set \
                 proxy_http_version 1.1)."
            }
            Self::BrokenOff => "The request ended within its head. Send it again.",
            Self::Timeout => {
                "Timeout: the head of the request took longer than 10 seconds. Send the request again."
            }
            Self::TooLarge => {
                "The head of the request is larger than 32 KiB or 96 lines. Send fewer or shorter headers."
            }
        }
    }

    /// The whole response, after which the connection is closed.
    pub fn response(self, app: &App) -> Vec<u8> {
        let (status, reason) = self.status();
        let id = app.service.env().id::<RequestId>().text();
        let code = ErrorCode::InvalidRequest;
        let problem = Problem {
            status,
            ..Problem::new(&app.public_url, code, self.detail().to_owned(), id.clone())
        };
        // A problem has nothing that JSON can't say.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        tracing::debug!(request_id = id, status, "refused a malformed request head");
        let labels = ResponseLabels {
            method: "OTHER",
            route: "unrouted",
            status,
        };
        let took = std::time::Duration::ZERO;
        app.metrics
            .http
            .answered(&LastResponse::default(), labels, took);
        format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {PROBLEM_JSON}\r\nx-request-id: {id}\r\n\
             content-length: {length}\r\nconnection: close\r\ndate: {date}\r\n\r\n{body}",
            length = body.len(),
            date = HttpDate::from(SystemTime::now()),
        )
        .into_bytes()
    }
}
