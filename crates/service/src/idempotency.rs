//! Idempotency keys: the first request's response is stored, sealed, for a day, and replayed to duplicates.
//!
//! The response is stored in the transaction of the change. So no change is there without its response, and
//! of many duplicates exactly one is carried out.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration as StdDuration,
};

use audit::{Target, TargetKind};
use ids::{OrgId, Ulid};
use ratelimit::{Limiter, Subject};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stores::{Database, IdempotencyId, IssuedSecret, StoreError, prelude::*};
use time::Duration;

use crate::{
    Audited, Caller, Context, Error, LimitName, Rejection, Service,
    audited::Auditable,
    runtime::fair_share::{FairShare, Permit},
};

/// How long a response is stored.
const TTL: Duration = Duration::hours(24);
/// How many requests with an idempotency key are carried out at the same time, by all credentials.
const MAX_IN_FLIGHT: usize = 4096;
/// When a credential that has its share of them in flight may come again.
const IN_FLIGHT_RETRY: StdDuration = StdDuration::from_secs(1);
/// How many expired responses are deleted in one transaction.
const EXPIRE_BATCH: usize = 500;

const UNREADABLE: StoreError = StoreError::Corrupt {
    what: "a stored response",
};

/// What makes a request the duplicate of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// SHA-256 of the method, path and key.
    request: [u8; 32],
    /// SHA-256 of the body.
    body: [u8; 32],
}

impl IdempotencyKey {
    /// The key of a request with this method, path, header `Idempotency-Key` and body.
    #[must_use]
    pub fn new(method: &str, path: &str, key: &str, body: &[u8]) -> Self {
        let mut request = Sha256::new();
        for part in [method, path, key] {
            // Lengths keep one part from running into the next.
            request.update(part.len().to_be_bytes());
            request.update(part.as_bytes());
        }
        Self {
            request: request.finalize().into(),
            body: Sha256::digest(body).into(),
        }
    }

    fn id_for(&self, caller: &Caller) -> IdempotencyId {
        match caller {
            Caller::Admin(key) => IdempotencyId::of_admin(key.id, self.request),
            Caller::Partner(held) => IdempotencyId::of_key(held.key.id, self.request),
        }
    }
}

/// A response as it goes out, written within the transaction of its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The body, JSON.
    pub body: String,
    /// The header `Location`.
    pub location: Option<String>,
    /// Whether it is an earlier request's response.
    pub replayed: bool,
}

impl Rendered {
    /// A response with this body.
    #[must_use]
    pub const fn new(body: String) -> Self {
        Self {
            body,
            location: None,
            replayed: false,
        }
    }
}

/// The requests with an idempotency key that this process carries out now, each with the digest of its body.
#[derive(Debug, Default)]
pub(crate) struct InFlightRequests(Mutex<HashMap<[u8; 32], [u8; 32]>>);

impl InFlightRequests {
    /// Enters a request. Where one with its key and another body is in flight, nothing is entered: which of
    /// the two is the first is for storage to say, which may have the response of this one already.
    ///
    /// # Errors
    /// When the same request is in flight already.
    fn enter(&self, id: &IdempotencyId, body: [u8; 32]) -> Result<Option<Entered<'_>>, Error> {
        let mut name = Sha256::new();
        name.update(id.credential());
        name.update(id.request());
        let name = name.finalize().into();
        let mut in_flight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match in_flight.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(body);
                Ok(Some(Entered {
                    requests: self,
                    name,
                }))
            }
            Entry::Occupied(entry) if *entry.get() == body => Err(Error::IdempotencyInProgress),
            Entry::Occupied(_) => Ok(None),
        }
    }
}

/// An entry that is removed when the request ends, however it ends.
struct Entered<'a> {
    requests: &'a InFlightRequests,
    name: [u8; 32],
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.requests
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}

/// Which secret the response shows that is made of a result.
pub(crate) type IssuedBy<T> = fn(&T) -> IssuedSecret;

/// What a request with an idempotency key holds while it is in flight; nothing for other requests.
#[derive(Default)]
pub(crate) struct InFlight<'a> {
    _permit: Option<Permit<'a, Ulid>>,
    _entered: Option<Entered<'a>>,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Runs a write like [`Service::audited_write`]. When the request has an idempotency key, its response is
    /// stored and replayed to duplicates. `issued` tells which secret the response shows, if it shows one.
    pub(crate) async fn idempotent_write<T: Send + 'static>(
        &self,
        context: &Context,
        issued: Option<IssuedBy<T>>,
        render: impl Fn(&T) -> Rendered + Send + 'static,
        work: impl Fn(&mut D::Tx, &Caller) -> Result<Auditable<T>, Error> + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let in_flight = self.begin_idempotent(context).await?;
        self.idempotent_write_in_flight(context, (in_flight, issued), render, work)
            .await
    }

    /// Enters a request with an idempotency key; rejects its duplicates meanwhile, and the request itself
    /// when its credential has too many in flight.
    pub(crate) async fn begin_idempotent(
        &self,
        context: &Context,
    ) -> Result<InFlight<'_>, Rejection> {
        let Some(key) = &context.idempotency_key else {
            return Ok(InFlight::default());
        };
        let Some(permit) = self.idempotent_limiter.acquire(context.caller.ulid()) else {
            let error = too_many(IN_FLIGHT_RETRY);
            return Err(self.reject(context, error).await);
        };
        let id = key.id_for(&context.caller);
        match self.idempotent_requests.enter(&id, key.body) {
            Ok(entered) => Ok(InFlight {
                _permit: Some(permit),
                _entered: entered,
            }),
            Err(error) => Err(self.reject(context, error).await),
        }
    }

    /// Runs a write like [`Service::idempotent_write`] for a request that has been entered.
    pub(crate) async fn idempotent_write_in_flight<T: Send + 'static>(
        &self,
        context: &Context,
        (_in_flight, issued): (InFlight<'_>, Option<IssuedBy<T>>),
        render: impl Fn(&T) -> Rendered + Send + 'static,
        work: impl Fn(&mut D::Tx, &Caller) -> Result<Auditable<T>, Error> + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let Some(key) = context.idempotency_key.clone() else {
            let plain = move |tx: &mut D::Tx, caller: &Caller| {
                Ok(work(tx, caller)?.map(|value| render(&value)))
            };
            return self.audited_write(context, plain).await;
        };
        let id = key.id_for(&context.caller);
        let subject = Subject::IdempotencyKeys(context.caller.ulid());
        let rate_limit = self.settings.idempotency_limit;
        let limit = self.limiter.peek(subject, rate_limit).await;
        let (peppers, env) = (self.settings.peppers.clone(), self.env.clone());
        let now = context.request.at;
        let response = self
            .audited_write(context, move |tx, caller| {
                if let Some(stored) = tx.idempotency_begin(&id, &key.body, now, now - TTL)? {
                    if stored.body != key.body {
                        return Err(Error::IdempotencyKeyReused);
                    }
                    // A missing response was erased with the secret that it showed.
                    let sealed = stored.sealed.ok_or(Error::ResponseErased)?;
                    let text = peppers.open(&sealed, id.request()).ok_or(UNREADABLE)?;
                    return replay(&text).ok_or(UNREADABLE.into());
                }
                // No stored response is deleted early for a new one.
                if let Some(retry_after) = limit.retry_after {
                    return Err(too_many(retry_after));
                }
                let response = work(tx, caller)?;
                let issued = issued.map(|issued| issued(response.parts().0));
                let response = response.map(|value| render(&value));
                let sealed = env.seal(&peppers, &envelope(&response), id.request());
                tx.idempotency_store(&id, &sealed, issued)?;
                Ok(response)
            })
            .await;
        match &response {
            // Only a new response is charged.
            Ok(new) if !new.value.replayed => {
                self.limiter.check(subject, rate_limit).await;
            }
            Ok(_) | Err(_) => {}
        }
        response
    }

    /// Deletes responses that are older than a day, a bounded number at a time; whether there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expire_idempotency_keys(&self) -> Result<bool, StoreError> {
        let before = self.env.now() - TTL;
        let deleted = self
            .db
            .write(move |tx| tx.idempotency_expire(before, EXPIRE_BATCH))
            .await?;
        Ok(deleted == EXPIRE_BATCH)
    }
}

/// The error of a request whose response can't be stored, or that has too many others in flight beside it.
fn too_many(retry_after: StdDuration) -> Error {
    Error::RateLimited {
        limits: vec![LimitName::Idempotency],
        retry_after,
    }
}

/// The limiter of requests with an idempotency key, by credential, in a process that can have so many calls
/// at once.
pub(crate) fn idempotent_limiter(max_calls: usize) -> FairShare<Ulid> {
    FairShare::new(max_calls.min(MAX_IN_FLIGHT))
}

/// What is sealed: the response, and what its event says.
fn envelope(response: &Auditable<Rendered>) -> Vec<u8> {
    let (rendered, target, org) = response.parts();
    let target =
        target.map(|target| json!({"kind": target.kind.as_str(), "id": target.id.as_deref()}));
    let value = json!({
        "status": response.status(),
        "body": rendered.body,
        "location": rendered.location,
        "target": target,
        "org_id": org.map(|id| id.to_string()),
    });
    value.to_string().into_bytes()
}

fn replay(envelope: &[u8]) -> Option<Auditable<Rendered>> {
    let value: Value = serde_json::from_slice(envelope).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let status = u16::try_from(value.get("status")?.as_u64()?).ok()?;
    let rendered = Rendered {
        body: text("body")?,
        location: text("location"),
        replayed: true,
    };
    let mut replayed = Auditable::new(status, rendered).detail("replayed", true);
    if let Some(target) = value.get("target").filter(|target| !target.is_null()) {
        let kind = TargetKind::parse(target.get("kind")?.as_str()?)?;
        let id = target.get("id").and_then(Value::as_str).map(Arc::from);
        replayed = replayed.target(Target { kind, id });
    }
    if let Some(org) = text("org_id") {
        replayed = replayed.in_org(org.parse::<OrgId>().ok()?);
    }
    Some(replayed)
}
