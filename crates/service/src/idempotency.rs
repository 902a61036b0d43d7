//! Calls that may be sent again: the first one's answer is kept, sealed, for a day.
//!
//! The answer is kept in the transaction of the change. So there is no moment at which a change is
//! there and its answer is not, and of many duplicates exactly one is carried out.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration as StdDuration,
};

use audit::{Target, TargetKind};
use ids::{KeyId, OrgId, Ulid};
use ratelimit::{Limiter, RateLimit, Subject};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stores::{Database, IdempotencyId, IdempotencyStore as _, StoreError};
use time::Duration;

use crate::{
    Audited, Caller, Context, Error, LimitName, Rejection, Service,
    audited::Done,
    shares::{Permit, Shares},
};

/// How long an answer is kept.
const KEPT: Duration = Duration::hours(24);
/// How many new answers may be kept for one credential. They stay for a day, so that many are kept at
/// one time, or twice as many for a moment.
const KEPT_LIMIT: RateLimit = RateLimit::literal(50_000, 86_400);
/// How many calls with an idempotency key are carried out at the same time, by all credentials.
const MAX_RUNNING: usize = 4096;
/// When a credential that has used up its share of running calls may come again.
const RUNNING_RETRY: StdDuration = StdDuration::from_secs(1);
/// How many outdated answers are forgotten in one transaction.
const FORGET_AT_ONCE: usize = 500;

/// What makes a call the same as an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    call: [u8; 32],
    body: [u8; 32],
}

impl IdempotencyKey {
    /// A call of this method and path with this idempotency key and body.
    #[must_use]
    pub fn new(method: &str, path: &str, key: &str, body: &[u8]) -> Self {
        let mut call = Sha256::new();
        for part in [method, path, key] {
            // Lengths keep one part from running into the next.
            call.update(part.len().to_be_bytes());
            call.update(part.as_bytes());
        }
        Self {
            call: call.finalize().into(),
            body: Sha256::digest(body).into(),
        }
    }

    fn reply_id(&self, caller: &Caller) -> IdempotencyId {
        match caller {
            Caller::Admin(key) => IdempotencyId::of_admin(key.id, self.call),
            Caller::Partner(held) => IdempotencyId::of_key(held.key.id, self.call),
        }
    }
}

/// An answer as it goes out, written beside its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The body, JSON.
    pub body: String,
    /// Where what was made can be found.
    pub location: Option<String>,
    /// Whether it is an earlier call's answer.
    pub replayed: bool,
}

impl Rendered {
    /// An answer with this body.
    #[must_use]
    pub const fn new(body: String) -> Self {
        Self {
            body,
            location: None,
            replayed: false,
        }
    }
}

/// The calls that are being carried out by this process, each with the digest of its body.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashMap<[u8; 32], [u8; 32]>>);

impl Running {
    /// Takes note of a call. Where one with its key and another body is running, nothing is noted: which
    /// of the two is the first is for storage to say, which may have the answer of this one already.
    ///
    /// # Errors
    /// When the same call is running already.
    fn begin(&self, id: &IdempotencyId, body: [u8; 32]) -> Result<Option<RunningCall<'_>>, Error> {
        let mut name = Sha256::new();
        name.update(id.credential());
        name.update(id.call());
        let name = name.finalize().into();
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(body);
                Ok(Some(RunningCall {
                    running: self,
                    name,
                }))
            }
            Entry::Occupied(entry) if *entry.get() == body => Err(Error::IdempotencyInProgress),
            Entry::Occupied(_) => Ok(None),
        }
    }
}

/// What a call that may be sent again holds until it ends; nothing of a call that may not.
#[derive(Default)]
pub(crate) struct Begun<'a> {
    _share: Option<Permit<'a, Ulid>>,
    _running: Option<RunningCall<'a>>,
}

/// A note that is taken back when the call ends, however it ends.
struct RunningCall<'a> {
    running: &'a Running,
    name: [u8; 32],
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        self.running
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Runs a change like [`Service::change`]; when the call has an idempotency key, its answer is kept
    /// and given to whoever sends it again. `issued` is the key whose secret the answer shows.
    pub(crate) async fn idempotent_write<T: Send + 'static>(
        &self,
        context: &Context,
        issued: Option<KeyId>,
        render: impl Fn(&T) -> Rendered + Send + 'static,
        work: impl Fn(&mut D::Tx, &Caller) -> Result<Done<T>, Error> + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let begun = self.idempotency_begin(context).await?;
        self.idempotent_write_begun(context, (begun, issued), render, work)
            .await
    }

    /// Takes note that a call which may be sent again is being carried out; refuses it while it is, and
    /// when its credential has too many of them.
    pub(crate) async fn idempotency_begin(
        &self,
        context: &Context,
    ) -> Result<Begun<'_>, Rejection> {
        let Some(once) = &context.idempotency_key else {
            return Ok(Begun::default());
        };
        let Some(share) = self.running_shares.acquire(context.caller.ulid()) else {
            let error = too_many(RUNNING_RETRY);
            return Err(self.reject(context, error).await);
        };
        let id = once.reply_id(&context.caller);
        match self.running.begin(&id, once.body) {
            Ok(running) => Ok(Begun {
                _share: Some(share),
                _running: running,
            }),
            Err(error) => Err(self.reject(context, error).await),
        }
    }

    /// Runs a change like [`Service::change_once`], of a call of which note was taken.
    pub(crate) async fn idempotent_write_begun<T: Send + 'static>(
        &self,
        context: &Context,
        (_begun, issued): (Begun<'_>, Option<KeyId>),
        render: impl Fn(&T) -> Rendered + Send + 'static,
        work: impl Fn(&mut D::Tx, &Caller) -> Result<Done<T>, Error> + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let Some(once) = context.idempotency_key.clone() else {
            let plain = move |tx: &mut D::Tx, caller: &Caller| {
                Ok(work(tx, caller)?.map(|value| render(&value)))
            };
            return self.audited_write(context, plain).await;
        };
        let id = once.reply_id(&context.caller);
        let credential = context.caller.ulid();
        let subject = Subject::KeptReplies(credential);
        let kept = self.limiter.peek(subject, KEPT_LIMIT).await;
        let (peppers, env) = (self.settings.peppers.clone(), self.env.clone());
        let now = context.call.at;
        let answer = self
            .audited_write(context, move |tx, caller| {
                if let Some(kept) = tx.idempotency_begin(&id, &once.body, now, now - KEPT)? {
                    if kept.body != once.body {
                        return Err(Error::IdempotencyKeyReused);
                    }
                    // What is missing was erased together with the key that it shows.
                    let sealed = kept.sealed.ok_or(Error::KeyState)?;
                    let text = peppers.open(&sealed, id.call()).ok_or(UNREADABLE)?;
                    return replay(&text).ok_or(UNREADABLE.into());
                }
                // No answer that is kept is forgotten early for a new one.
                if let Some(retry_after) = kept.retry_after {
                    return Err(too_many(retry_after));
                }
                let done = work(tx, caller)?.map(|value| render(&value));
                let sealed = env.seal(&peppers, &envelope(&done), id.call());
                tx.idempotency_store(&id, &sealed, issued)?;
                Ok(done)
            })
            .await;
        match &answer {
            // Only what was kept anew is counted.
            Ok(new) if !new.value.replayed => {
                self.limiter.check(subject, KEPT_LIMIT).await;
            }
            Ok(_) | Err(_) => {}
        }
        answer
    }

    /// Forgets answers that are older than a day, a bounded number at a time; tells whether there may
    /// be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expire_idempotency_keys(&self) -> Result<bool, StoreError> {
        let since = self.env.now() - KEPT;
        let forgotten = self
            .db
            .write(move |tx| tx.idempotency_expire(since, FORGET_AT_ONCE))
            .await?;
        Ok(forgotten == FORGET_AT_ONCE)
    }
}

/// The refusal of a call whose answer can't be kept, or that is carried out beside too many others.
fn too_many(retry_after: StdDuration) -> Error {
    Error::RateLimited {
        limits: vec![LimitName::Idempotency],
        retry_after,
    }
}

/// The calls with an idempotency key that each credential has under way.
pub(crate) fn running_shares() -> Shares<Ulid> {
    Shares::new(MAX_RUNNING)
}

const UNREADABLE: StoreError = StoreError::Corrupt {
    what: "a kept answer",
};

/// What is sealed: the answer, and what its event says.
fn envelope(done: &Done<Rendered>) -> Vec<u8> {
    let (rendered, target, org) = done.parts();
    let target =
        target.map(|target| json!({"kind": target.kind.as_str(), "id": target.id.as_deref()}));
    let value = json!({
        "status": done.status(),
        "body": rendered.body,
        "location": rendered.location,
        "target": target,
        "org_id": org.map(|id| id.to_string()),
    });
    value.to_string().into_bytes()
}

fn replay(envelope: &[u8]) -> Option<Done<Rendered>> {
    let value: Value = serde_json::from_slice(envelope).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let status = u16::try_from(value.get("status")?.as_u64()?).ok()?;
    let rendered = Rendered {
        body: text("body")?,
        location: text("location"),
        replayed: true,
    };
    let mut done = Done::new(status, rendered).detail("replayed", true);
    if let Some(target) = value.get("target").filter(|target| !target.is_null()) {
        let kind = TargetKind::parse(target.get("kind")?.as_str()?)?;
        let id = target.get("id").and_then(Value::as_str).map(Arc::from);
        done = done.on(Target { kind, id });
    }
    if let Some(org) = text("org_id") {
        done = done.in_org(org.parse::<OrgId>().ok()?);
    }
    Some(done)
}
