//! HTTP clients for tests and measurements.
//!
//! [`Client`] is `ureq`: it blocks, so a thread is a caller and no runtime shares the processors with
//! what is measured, and it keeps connections open. [`RawConnection`] is for what a good client hides:
//! the address that it calls from, requests that are not whole, answers that are cut off.

mod raw;

use std::{io, time::Duration};

use serde_json::Value;
use ureq::{Agent, http::Request};

pub use self::raw::{RawConnection, open, read_response, request};

/// How long a response may take. Longer than a status poll can be held.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a connection may be idle and still be used.
const MAX_IDLE: Duration = Duration::from_secs(2);

/// A response, read to its end.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    /// The headers, `name: value` on each line, names in lower case.
    pub head: String,
    pub body: String,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers();
        let (_, value) = headers.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The names and values of all headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name, value.trim()))
    }

    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The string at a JSON pointer in the body.
    pub fn text(&self, pointer: &str) -> Option<String> {
        let value = self.json();
        value.pointer(pointer)?.as_str().map(str::to_owned)
    }

    /// The body of a response of this status.
    ///
    /// # Errors
    /// When the status is another; the message has the body.
    pub fn expect(&self, status: u16) -> io::Result<Value> {
        if self.status == status {
            return Ok(self.json());
        }
        let message = format!("{} instead of {status}: {}", self.status, self.body);
        Err(io::Error::other(message))
    }
}

/// The string at a JSON pointer.
///
/// # Errors
/// When there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> io::Result<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.ok_or_else(|| io::Error::other(format!("no {pointer} in {value}")))
}

/// A caller with one credential.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    token: String,
}

impl Client {
    /// A caller of the server at `http://host:port`. An empty token is none.
    pub fn new(url: &str, token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_idle_age(MAX_IDLE)
            .timeout_global(Some(RESPONSE_TIMEOUT))
            .build();
        Self {
            agent: config.into(),
            url: url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        }
    }

    /// A caller with another credential on the same connections.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The credential.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// # Errors
    /// When there is no whole response.
    pub fn get(&self, path: &str) -> io::Result<Response> {
        self.call("GET", path, &[], "")
    }

    /// # Errors
    /// When there is no whole response.
    pub fn delete(&self, path: &str) -> io::Result<Response> {
        self.call("DELETE", path, &[], "")
    }

    /// # Errors
    /// When there is no whole response.
    pub fn post(&self, path: &str, body: &Value) -> io::Result<Response> {
        self.call("POST", path, &[], &body.to_string())
    }

    /// # Errors
    /// When there is no whole response.
    pub fn patch(&self, path: &str, body: &Value) -> io::Result<Response> {
        self.call("PATCH", path, &[], &body.to_string())
    }

    /// Sends a request with a JSON body, or without a body where that is empty.
    ///
    /// # Errors
    /// When there is no whole response.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Response> {
        if body.is_empty() {
            return self.send(method, path, headers, b"");
        }
        let headers = [headers, &[("content-type", "application/json")]].concat();
        self.send(method, path, &headers, body.as_bytes())
    }

    /// Sends a request with these headers beside the credential, and this body.
    ///
    /// # Errors
    /// When there is no whole response.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = if body.is_empty() {
            self.agent.run(request.body(()).map_err(io::Error::other)?)
        } else {
            self.agent
                .run(request.body(body).map_err(io::Error::other)?)
        };
        let mut response = sent.map_err(ureq::Error::into_io)?;
        let mut head = String::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            head.push_str(&format!("{name}: {value}\n"));
        }
        let body = response.body_mut().with_config().limit(u64::MAX);
        let body = body.read_to_vec().map_err(ureq::Error::into_io)?;
        let body = String::from_utf8(body).map_err(io::Error::other)?;
        let status = response.status().as_u16();
        Ok(Response { status, head, body })
    }

    /// All items of a list, page by page.
    ///
    /// # Errors
    /// When a page is not answered with 200 or is no list.
    pub fn list(&self, path: &str) -> io::Result<Vec<Value>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self
                .get(&format!("{path}{joint}limit=100{cursor}"))?
                .expect(200)?;
            let data = page.get("data").and_then(Value::as_array);
            let data = data.ok_or_else(|| io::Error::other(format!("no list: {page}")))?;
            items.extend(data.iter().cloned());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }
}
