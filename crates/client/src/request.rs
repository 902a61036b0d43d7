//! One request: what it carries by itself, and how often it is tried.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use api::client::Secret;
use ids::Ulid;
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::sleep;
use url::form_urlencoded;

use crate::{Builder, RetryPolicy, answer::Answer, error::Error};

/// The header that makes a POST safe to send again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A client of one server with one key. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) key: Option<Secret>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Duration,
}

impl Client {
    /// Sets up a client of the server at this address.
    #[must_use]
    pub fn builder(server: &str) -> Builder {
        Builder::new(server)
    }

    /// The address of the server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.inner.base
    }

    /// The same client, whose next POST carries this `Idempotency-Key` instead of a random one: the same call
    /// with the same key within 24 hours has the same answer, also from another process.
    #[must_use]
    pub fn with_idempotency_key(&self, key: impl Into<String>) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            idempotency_key: Some(key.into()),
        }
    }

    /// A request for a path such as `/cp/whoami`, for calls that have no method here.
    #[must_use]
    pub fn request(&self, method: Method, path: impl Into<String>) -> Request<'_> {
        let idempotency_key = (method == Method::POST)
            .then(|| self.idempotency_key.clone().unwrap_or_else(random_key));
        Request {
            client: self,
            method,
            path: path.into(),
            body: None,
            content_type: "application/json",
            wait: None,
            idempotency_key,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, Error> {
        self.request(Method::GET, path).send().await?.json()
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let request = self.request(Method::POST, path).json(body)?;
        request.send().await?.json()
    }
}

/// A random key, sortable by time: a reader of logs sees which came first.
fn random_key() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default();
    let mut bytes = [0; 16];
    // A system without randomness could not make the connection either.
    let _ = getrandom::fill(&mut bytes);
    Ulid::from_parts(now, u128::from_le_bytes(bytes)).to_string()
}

/// A request that is about to be sent.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    content_type: &'static str,
    wait: Option<Duration>,
    idempotency_key: Option<String>,
}

impl Request<'_> {
    /// Adds the fields of a struct to the query; lists are parameters that are repeated.
    ///
    /// # Errors
    /// When the struct is not a flat object.
    pub fn query(mut self, parameters: &impl Serialize) -> Result<Self, Error> {
        let Value::Object(members) = to_value(parameters)? else {
            return Err(Error::InvalidRequest("A query is an object.".to_owned()));
        };
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::Array(values) => {
                    for value in &values {
                        self.add_parameter(&name, &text_of(value));
                    }
                }
                single @ (Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_)) => {
                    self.add_parameter(&name, &text_of(&single));
                }
            }
        }
        Ok(self)
    }

    /// Adds one parameter to the query.
    pub fn add_parameter(&mut self, name: &str, value: &str) {
        let begin = if self.path.contains('?') { '&' } else { '?' };
        let pair = form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .finish();
        self.path.push(begin);
        self.path.push_str(&pair);
    }

    /// The path with its query.
    pub(crate) fn into_path(self) -> String {
        self.path
    }

    /// Sends a body of JSON.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let body =
            serde_json::to_vec(body).map_err(|error| Error::InvalidRequest(error.to_string()))?;
        self.body = Some(body);
        Ok(self)
    }

    /// Sends a form, which has no `Idempotency-Key`.
    pub(crate) fn form(mut self, parameters: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(parameters);
        self.body = Some(form.finish().into_bytes());
        self.content_type = "application/x-www-form-urlencoded";
        self.idempotency_key = None;
        self
    }

    /// Asks the server to hold the answer for up to this long (`Prefer: wait`).
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Sends the request, again if need be.
    ///
    /// # Errors
    /// The last one, once all tries are used up or another one can't help.
    pub async fn send(self) -> Result<Answer, Error> {
        if !self.path.starts_with('/') {
            let text = format!("The path {:?} must begin with a slash.", self.path);
            return Err(Error::InvalidRequest(text));
        }
        let begun = Instant::now();
        let mut attempts = 1;
        loop {
            let error = match self.send_once(attempts).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let delay = is_transient(&error)
                .then(|| {
                    let policy = &self.client.inner.retry;
                    policy.delay(attempts, begun.elapsed(), error.retry_after(), random())
                })
                .flatten();
            let Some(delay) = delay else {
                return Err(error);
            };
            sleep(delay).await;
            attempts += 1;
        }
    }

    async fn send_once(&self, attempts: u32) -> Result<Answer, Error> {
        let inner = &self.client.inner;
        let url = format!("{}{}", inner.base, self.path);
        let wait = self.wait.unwrap_or_default();
        let mut request = inner
            .http
            .request(self.method.clone(), url)
            .timeout(inner.timeout.saturating_add(wait))
            .header(ACCEPT, "application/json");
        if let Some(key) = &inner.key {
            request = request.bearer_auth(key.expose());
        }
        if let Some(body) = &self.body {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static(self.content_type))
                .body(body.clone());
        }
        if let Some(key) = &self.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if !wait.is_zero() {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        let response = request.send().await.map_err(|source| {
            if source.is_builder() {
                Error::InvalidRequest(format!("The request can't be sent: {source}."))
            } else {
                Error::Network {
                    url: inner.base.clone(),
                    source: source.without_url(),
                }
            }
        })?;
        Answer::read(response, attempts, &inner.base).await
    }
}

fn to_value(value: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::InvalidRequest(error.to_string()))
}

/// A value as a parameter has it.
fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether the same request may succeed a moment later. Every request may be sent again: a POST has a key,
/// and all others ask for a state, not for a step.
fn is_transient(error: &Error) -> bool {
    let status = match error {
        Error::Network { .. } => return true,
        Error::Refused(_) if error.code() == Some(api::ErrorCode::IdempotencyInProgress) => {
            return true;
        }
        Error::Refused(refusal) => refusal.problem.status,
        Error::NotTheApi { status, .. } => u64::from(*status),
        Error::Unreadable(_)
        | Error::TooLarge(_)
        | Error::StillPending(..)
        | Error::InvalidRequest(_) => return false,
    };
    [429, 502, 503, 504].contains(&status)
}

fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
