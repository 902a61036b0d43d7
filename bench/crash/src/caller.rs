//! Whoever calls and writes down what came of it.

use std::time::{Duration, Instant};

use crate::client::{Answer, Client, Request};

/// How long a connection may be idle: a server closes one after 5 s, whatever is on its way by then.
const IDLE: Duration = Duration::from_secs(2);

/// One call as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The id that it gave itself; its event has it too.
    pub(crate) request_id: String,
    /// How it must stand in the audit log.
    pub(crate) action: &'static str,
    /// What it asked for, if that was a change.
    pub(crate) change: Option<Change>,
    /// How it can be sent again, if it had an idempotency key.
    pub(crate) again: Option<Again>,
    /// What came back.
    pub(crate) said: Said,
    /// When.
    pub(crate) at: Instant,
}

/// What came back for a call.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// An answer that stands for something.
    Answer {
        status: u16,
        event: Option<String>,
        /// The id of what was made.
        made: Option<String>,
    },
    /// 503: whether anything was done is not said.
    Unavailable { event: Option<String> },
    /// Nothing; the server is gone.
    Nothing,
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
pub(crate) struct Again {
    pub(crate) path: &'static str,
    pub(crate) bearer: String,
    pub(crate) once: String,
    pub(crate) body: String,
}

/// What is to be sent.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) bearer: &'a str,
    pub(crate) body: &'a str,
    pub(crate) action: &'static str,
    pub(crate) change: Option<Change>,
    pub(crate) again: Option<Again>,
}

impl<'a> Ask<'a> {
    /// A question.
    pub(crate) const fn get(path: &'a str, bearer: &'a str, action: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            bearer,
            body: "",
            action,
            change: None,
            again: None,
        }
    }
}

/// Somebody with a connection and a list of the calls made.
pub(crate) struct Caller {
    address: String,
    client: Option<Client>,
    name: String,
    count: usize,
    /// All calls that were sent, in their order.
    pub(crate) calls: Vec<Call>,
}

impl Caller {
    /// Somebody of this name, which no other caller of the same data has.
    pub(crate) fn new(address: &str, name: String) -> Self {
        Self {
            address: address.to_owned(),
            client: None,
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
    pub(crate) fn ask(&mut self, ask: Ask<'_>) -> Option<Answer> {
        let idle = self
            .calls
            .last()
            .is_none_or(|call| call.at.elapsed() > IDLE);
        let mut client = match self.client.take().filter(|_| !idle) {
            Some(client) => client,
            // What was never sent is no call.
            None => Client::connect(&self.address).ok()?,
        };
        let request_id = self.unique();
        self.count += 1;
        let answer = client.call(&Request {
            method: ask.method,
            path: ask.path,
            bearer: ask.bearer,
            request_id: &request_id,
            once: ask.again.as_ref().map(|again| again.once.as_str()),
            body: ask.body,
        });
        let said = match &answer {
            Err(_) => Said::Nothing,
            Ok(answer) if answer.status == 503 => Said::Unavailable {
                event: answer.event.clone(),
            },
            Ok(answer) => Said::Answer {
                status: answer.status,
                event: answer.event.clone(),
                made: ask.change.as_ref().and_then(|_| answer.text("/id")),
            },
        };
        self.calls.push(Call {
            request_id,
            action: ask.action,
            change: ask.change,
            again: ask.again,
            said,
            at: Instant::now(),
        });
        if answer.is_ok() {
            self.client = Some(client);
        }
        answer.ok()
    }
}
