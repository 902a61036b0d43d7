//! Why a call failed.

use std::{error::Error as StdError, fmt, time::Duration};

use api::{
    ErrorCode,
    client::{OrgState, Problem},
};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the call, and says why.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Something answered that is not the API: a proxy, a login page, another server.
    #[error("{}", not_the_api(*.status, .content_type, .excerpt))]
    NotTheApi {
        /// The HTTP status.
        status: u16,
        /// The type of the body.
        content_type: String,
        /// The beginning of the body, without markup.
        excerpt: String,
        /// For how long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The API answered something that this version does not understand.
    #[error(
        "The server's answer was not understood: {0}. A newer version of this client may help."
    )]
    Unreadable(#[source] serde_json::Error),
    /// The body of the answer is larger than this client takes.
    #[error("The server's answer is larger than {0} bytes.")]
    TooLarge(usize),
    /// No answer came.
    #[error("{url} can't be reached: {}. Check the address and the network.", cause(.source))]
    Network {
        /// The server.
        url: String,
        /// What failed.
        source: reqwest::Error,
    },
    /// The org is still being worked on. The work goes on at the server.
    #[error("The org {} is still {} after {} s. The work goes on at the server.", .0.id, .0.status, .1.as_secs())]
    StillPending(Box<OrgState>, Duration),
    /// The request can't be sent as it is.
    #[error("{0}")]
    InvalidRequest(String),
}

impl Error {
    /// The server's problem document, if it sent one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Refused(refusal) = self {
            Some(&refusal.problem)
        } else {
            None
        }
    }

    /// The error code, if this version knows it.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.problem()?.code.known()
    }

    /// For how long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::NotTheApi { retry_after, .. } => *retry_after,
            Self::Unreadable(_)
            | Self::TooLarge(_)
            | Self::Network { .. }
            | Self::StillPending(..)
            | Self::InvalidRequest(_) => None,
        }
    }
}

/// A refusal by the server: its problem document, and what the headers add.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the server says: `status`, `code`, `detail`, `errors`, `request_id`.
    pub problem: Problem,
    /// For how long the server asks to wait, by `Retry-After`.
    pub retry_after: Option<Duration>,
    /// How often the request was sent.
    pub attempts: u32,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = &self.problem;
        write!(f, "{} ({})", problem.detail, problem.code)?;
        for error in &problem.errors {
            write!(f, "\n  {}: {}", error.pointer, error.detail)?;
        }
        Ok(())
    }
}

fn not_the_api(status: u16, content_type: &str, excerpt: &str) -> String {
    let kind = if content_type.is_empty() {
        "no type"
    } else {
        content_type
    };
    let said = if excerpt.is_empty() {
        String::new()
    } else {
        format!(": \"{excerpt}\"")
    };
    format!(
        "Status {status} with {kind} instead of JSON came from something that is not the API, such as a proxy{said}. \
         Check the address of the server."
    )
}

/// The innermost cause, which names what failed; the outer ones repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn StdError = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
