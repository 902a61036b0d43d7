//! Answers to what is no request, which no handler ever sees.

use std::time::SystemTime;

use actix_web::http::header::HttpDate;
use api::{ErrorCode, Problem};
use ids::{RequestId, TypedId as _};

use crate::{
    http::{App, problem::PROBLEM_JSON},
    metrics::{Answered, LastAnswer},
};

/// Why there is no request to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRefusal {
    /// The framework can't read it.
    Unreadable,
    /// The client closed its side within the head.
    BrokenOff,
    /// The head did not come in time.
    Timeout,
    /// The head is too large.
    TooLarge,
}

impl HeadRefusal {
    /// What the framework's own answer means; none when it is not a refusal of a head.
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
                "this is not a request in HTTP/1.1: see that Host is there once, that Content-Length \
                 counts bytes, and that an HTTP/1.0 POST has a Content-Length (with nginx in between, \
                 set proxy_http_version 1.1)"
            }
            Self::BrokenOff => "the request broke off within its head; send it again",
            Self::Timeout => "the head of the request did not come in time; send the request again",
            Self::TooLarge => "the head of a request has at most 32 KiB and 96 lines; send less",
        }
    }

    /// The whole answer, after which the connection ends.
    pub fn answer(self, app: &App) -> Vec<u8> {
        let (status, reason) = self.status();
        let id = app.service.env().id::<RequestId>().text();
        let code = ErrorCode::InvalidRequest;
        let problem = Problem {
            status,
            ..Problem::new(&app.public_url, code, self.detail().to_owned(), id.clone())
        };
        // A problem has nothing that JSON can't say.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        tracing::debug!(request_id = id, status, "refused what is no request");
        let answered = Answered {
            method: "OTHER",
            route: "unrouted",
            status,
        };
        app.metrics
            .answered(&LastAnswer::default(), answered, std::time::Duration::ZERO);
        format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {PROBLEM_JSON}\r\nx-request-id: {id}\r\n\
             content-length: {length}\r\nconnection: close\r\ndate: {date}\r\n\r\n{body}",
            length = body.len(),
            date = HttpDate::from(SystemTime::now()),
        )
        .into_bytes()
    }
}
