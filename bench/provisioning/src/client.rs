//! Calls to a server that is often not there.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use ureq::{
    Agent,
    http::{Method, Request},
};

/// How long one call may be tried.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait for the server to come back.
const PAUSE: Duration = Duration::from_millis(20);

/// Whoever calls with one key.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    key: String,
}

impl Client {
    /// A caller with this key.
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(10)))
            .build();
        Self {
            agent: config.into(),
            url: url.to_owned(),
            key: key.to_owned(),
        }
    }

    /// Calls until there is an answer that is neither 5xx nor 409 `idempotency-in-progress`; every call
    /// may be sent again, since a POST has its own key.
    pub(crate) fn call(
        &self,
        method: &Method,
        path: &str,
        once: &str,
        body: &str,
    ) -> Result<(u16, Value)> {
        let began = Instant::now();
        loop {
            if let Ok((status, body)) = self.try_call(method, path, once, body)
                && status < 500
                && body.pointer("/code") != Some(&Value::from("idempotency-in-progress"))
            {
                return Ok((status, body));
            }
            if began.elapsed() > PATIENCE {
                bail!("no answer to {method} {path} within {PATIENCE:?}");
            }
            sleep(PAUSE);
        }
    }

    fn try_call(
        &self,
        method: &Method,
        path: &str,
        once: &str,
        body: &str,
    ) -> Result<(u16, Value)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.key));
        if !once.is_empty() {
            request = request.header("idempotency-key", once);
        }
        let mut answer = if body.is_empty() {
            self.agent.run(request.body(())?)?
        } else {
            self.agent.run(request.body(body)?)?
        };
        let text = answer.body_mut().read_to_string()?;
        let json = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)?
        };
        Ok((answer.status().as_u16(), json))
    }

    /// All orgs that a query finds.
    pub(crate) fn orgs(&self, query: &str) -> Result<Vec<Value>> {
        let mut orgs = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/cp/orgs?limit=100{query}{cursor}");
            let (_, page) = self.call(&Method::GET, &path, "", "")?;
            let data = page.pointer("/data").and_then(Value::as_array);
            orgs.extend(data.with_context(|| format!("no list: {page}"))?.clone());
            match page.pointer("/next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(orgs),
            }
        }
    }
}
