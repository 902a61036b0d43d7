//! Whoever calls and writes down what came of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use testkit::http::{RawConnection, Response, request};

/// How long a connection may be idle and still be used: the server closes one that is idle for long.
const MAX_IDLE: Duration = Duration::from_secs(2);

/// One call as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The id that it gave itself; its event has it too.
    pub(crate) request_id: String,
    /// Its action in the audit log.
    pub(crate) action: &'static str,
    /// What it asked for, if that was a change.
    pub(crate) change: Option<Change>,
    /// How it can be sent again, if it had an idempotency key.
    pub(crate) retry: Option<Retry>,
    /// What came back.
    pub(crate) outcome: Outcome,
    /// When.
    pub(crate) at: Instant,
}

/// What came back for a call.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// An answer that says what was done.
    Answered {
        status: u16,
        event: Option<String>,
        /// The id of what was created.
        created: Option<String>,
    },
    /// 503: whether anything was done is not said.
    Unavailable { event: Option<String> },
    /// No answer; the server is gone.
    Unanswered,
}

/// What a call asks for; the names are used by no other call.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    NewOrg { slug: String },
    NewKey { name: String },
    Suspend { org: String },
    Resume { org: String },
    Delete { org: String },
    Revoke { key: String },
}

/// A creation that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    pub(crate) path: &'static str,
    pub(crate) bearer: String,
    pub(crate) idempotency_key: String,
    pub(crate) body: String,
}

/// What is to be sent.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) bearer: &'a str,
    pub(crate) body: &'a str,
    pub(crate) action: &'static str,
    pub(crate) change: Option<Change>,
    pub(crate) retry: Option<Retry>,
}

impl<'a> Request<'a> {
    /// A read.
    pub(crate) const fn get(path: &'a str, bearer: &'a str, action: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            bearer,
            body: "",
            action,
            change: None,
            retry: None,
        }
    }
}

/// Somebody with a connection and a list of the calls made.
pub(crate) struct Caller {
    connection: RawConnection,
    name: String,
    count: usize,
    /// All calls that were sent, in their order.
    pub(crate) calls: Vec<Call>,
}

impl Caller {
    /// Somebody of this name, which no other caller of the same data has.
    pub(crate) const fn new(address: SocketAddr, name: String) -> Self {
        Self {
            connection: RawConnection::new(Ipv4Addr::LOCALHOST, address),
            name,
            count: 0,
            calls: Vec::new(),
        }
    }

    /// A name that nobody else uses.
    pub(crate) fn unique(&self) -> String {
        format!("{}-{}", self.name, self.count)
    }

    /// Sends a call; `None` when there was no answer.
    pub(crate) fn send(&mut self, call: Request<'_>) -> Option<Response> {
        let last = self.calls.last();
        if last.is_none_or(|call| call.at.elapsed() > MAX_IDLE) {
            self.connection.close();
        }
        // What was never sent is no call.
        self.connection.connect().ok()?;
        let request_id = self.unique();
        self.count += 1;
        let mut headers = format!("X-Request-Id: {request_id}\r\n");
        if let Some(retry) = &call.retry {
            headers.push_str(&format!(
                "Idempotency-Key: \"{}\"\r\n",
                retry.idempotency_key
            ));
        }
        let text = request(call.method, call.path, call.bearer, &headers, call.body);
        let response = self.connection.send(&text).ok();
        let event = |response: &Response| response.header("audit-event-id").map(str::to_owned);
        let outcome = match &response {
            None => Outcome::Unanswered,
            Some(response) if response.status == 503 => Outcome::Unavailable {
                event: event(response),
            },
            Some(response) => Outcome::Answered {
                status: response.status,
                event: event(response),
                created: call.change.as_ref().and_then(|_| response.text("/id")),
            },
        };
        self.calls.push(Call {
            request_id,
            action: call.action,
            change: call.change,
            retry: call.retry,
            outcome,
            at: Instant::now(),
        });
        response
    }
}
