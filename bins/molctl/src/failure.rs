//! Why a command failed, and with which exit code.

use std::io::{self, Write as _};

use molecule_client::Error;
use serde_json::{Value, json};

use crate::output::Format;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A call failed.
    Call(Box<Error>),
    /// The arguments or the configuration are wrong.
    Usage(String),
    /// There is no key.
    NoCredential(String),
    /// The org did not become what was waited for.
    OrgFailed(String),
    /// A signal came: its exit code, and what goes on.
    Interrupted(u8, String),
    /// Something on this machine failed.
    Local(String),
    /// The reader of standard output is gone.
    PipeClosed,
}

impl Failure {
    /// As the help of the program lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(error) => code_of(error),
            Self::Usage(_) => 2,
            Self::NoCredential(_) => 4,
            Self::OrgFailed(_) => 8,
            Self::Interrupted(code, _) => *code,
            Self::Local(_) => 1,
            Self::PipeClosed => 0,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Call(error) => error.to_string(),
            Self::Usage(text)
            | Self::NoCredential(text)
            | Self::OrgFailed(text)
            | Self::Interrupted(_, text)
            | Self::Local(text) => text.clone(),
            Self::PipeClosed => String::new(),
        }
    }

    fn json(&self) -> Value {
        let problem = match self {
            Self::Call(call) => call.problem().map(|problem| (call, problem)),
            Self::Usage(_)
            | Self::NoCredential(_)
            | Self::OrgFailed(_)
            | Self::Interrupted(..)
            | Self::Local(_)
            | Self::PipeClosed => None,
        };
        let error = match problem {
            None => json!({"exit_code": self.exit_code(), "detail": self.text()}),
            Some((call, problem)) => json!({
                "exit_code": self.exit_code(),
                "detail": problem.detail,
                "code": problem.code,
                "status": problem.status,
                "errors": problem.errors,
                "request_id": problem.request_id,
                "retry_after_seconds": call.retry_after().map(|time| time.as_secs()),
            }),
        };
        json!({ "error": error })
    }

    /// Prints it on standard error.
    pub(crate) fn print(&self, format: Format) {
        let text = match format {
            Format::Table => {
                let id = if let Self::Call(call) = self {
                    call.problem().map(|problem| &*problem.request_id)
                } else {
                    None
                };
                let request = id.map_or_else(String::new, |id| format!("\n  request {id}"));
                format!("molctl: {}{request}", self.text())
            }
            Format::Json | Format::Yaml | Format::Ndjson => self.json().to_string(),
        };
        // Nobody is left to tell.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(Box::new(error))
    }
}

fn code_of(error: &Error) -> u8 {
    if let Error::StillPending(..) = error {
        return 9;
    }
    if let Error::InvalidRequest(_) = error {
        return 2;
    }
    match error.problem().map(|problem| problem.status) {
        Some(401) => 4,
        Some(403) => 3,
        Some(404) => 5,
        Some(409) => 6,
        Some(429) => 7,
        Some(400..=499) => 2,
        _ => 1,
    }
}
