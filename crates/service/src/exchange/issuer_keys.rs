//! The keys of issuers: fetched when they are needed, and kept for an hour.
//!
//! No transaction and no reader of the database is held while an issuer is asked. All who wait for one issuer
//! share one question, and a failure is not asked about again at once.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::issuer_keys::KeySet;
use ids::PartnerId;
use tokio::time::{Instant, timeout};
use trust::{Issuer, Jwt};

/// For how long the keys of an issuer are used.
const TTL: Duration = Duration::from_secs(3600);
/// From when on they are fetched again in the background.
const REFRESH_AFTER: Duration = Duration::from_secs(3000);
/// How often an issuer is asked because a token names a key that it did not have.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);
/// How soon an issuer is asked again that did not answer.
const FAILURE_INTERVAL: Duration = Duration::from_secs(5);
/// How long an issuer may take for all that is asked of it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(8);
/// How many wait for the keys of one issuer.
const MAX_WAITING: usize = 256;
/// How many issuers are kept; each is one of a rule that is there.
const MAX_ISSUERS: usize = 1000;

/// What fetches the keys of an issuer.
pub trait IssuerClient: Send + Sync + 'static {
    /// Asks an issuer for its keys, on behalf of the partner whose rule names it. The error is for the caller who
    /// waits, and tells no address.
    fn fetch(
        &self,
        issuer: &Issuer,
        partner: PartnerId,
    ) -> impl Future<Output = Result<KeySet, String>> + Send;
}

/// The keys of all issuers that were asked.
#[derive(Debug, Default)]
pub(crate) struct IssuerKeys(Mutex<HashMap<Issuer, Arc<Entry>>>);

/// The keys of one issuer.
#[derive(Debug, Default)]
struct Entry {
    state: Mutex<State>,
    /// Held by whoever asks the issuer.
    flight: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When the issuer was asked last, and did not answer.
    failed: Option<(Instant, String)>,
    /// When it was asked last for the sake of a key that it did not have.
    asked_for_unknown: Option<Instant>,
    last_use: Option<Instant>,
}

/// What to do about a token.
enum Step {
    Use(Arc<KeySet>),
    /// The keys are soon too old.
    UseAndRefresh(Arc<KeySet>),
    Fetch,
    /// The token names a key that is not known, and the issuer may be asked.
    FetchForUnknown,
    Fail(String),
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn step(&self, token: &Jwt, now: Instant) -> Step {
        let age = |at: Instant| now.saturating_duration_since(at);
        let failed = self.failed.as_ref();
        let failed = failed.filter(|(at, _)| age(*at) < FAILURE_INTERVAL);
        let kept = self.keys.as_ref();
        let Some((keys, fetched)) = kept.filter(|(_, fetched)| age(*fetched) < TTL) else {
            return match failed {
                Some((_, why)) => Step::Fail(why.clone()),
                None => Step::Fetch,
            };
        };
        if !keys.has_key_for(token) {
            let asked = self.asked_for_unknown;
            if asked.is_none_or(|at| age(at) >= UNKNOWN_KEY_INTERVAL) {
                return Step::FetchForUnknown;
            }
            // Nobody knows whether the issuer has the key by now.
            if let Some((_, why)) = &self.failed {
                return Step::Fail(why.clone());
            }
        }
        let keys = Arc::clone(keys);
        if age(*fetched) >= REFRESH_AFTER && failed.is_none() {
            Step::UseAndRefresh(keys)
        } else {
            Step::Use(keys)
        }
    }
}

impl IssuerKeys {
    /// The keys of an issuer, as they are to be used for this token.
    ///
    /// # Errors
    /// When the issuer does not say what its keys are.
    pub(super) async fn get<C: IssuerClient>(
        &self,
        client: &Arc<C>,
        (issuer, partner): (&Issuer, PartnerId),
        token: &Jwt,
    ) -> Result<Arc<KeySet>, String> {
        let entry = self.entry(issuer)?;
        let step = {
            let mut state = entry.state();
            state.last_use = Some(Instant::now());
            state.step(token, Instant::now())
        };
        match step {
            Step::Use(keys) => Ok(keys),
            Step::Fail(why) => Err(why),
            Step::UseAndRefresh(keys) => {
                let (client, issuer) = (Arc::clone(client), issuer.clone());
                tokio::spawn(async move {
                    if let Ok(_flight) = entry.flight.try_lock() {
                        // What is kept goes on when this fails.
                        let _ = entry.fetch(&*client, &issuer, partner).await;
                    }
                });
                Ok(keys)
            }
            Step::Fetch | Step::FetchForUnknown => entry.wait(client, issuer, partner, token).await,
        }
    }

    fn entry(&self, issuer: &Issuer) -> Result<Arc<Entry>, String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get(issuer) {
            return Ok(Arc::clone(entry));
        }
        if all.len() >= MAX_ISSUERS {
            let now = Instant::now();
            all.retain(|_, entry| {
                let used = entry.state().last_use;
                used.is_some_and(|at| now.saturating_duration_since(at) < TTL)
            });
        }
        if all.len() >= MAX_ISSUERS {
            return Err("too many issuers are in use".to_owned());
        }
        let entry: Arc<Entry> = Arc::default();
        all.insert(issuer.clone(), Arc::clone(&entry));
        Ok(entry)
    }
}

/// One of those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Entry {
    /// Fetches the keys, or waits until another caller has.
    async fn wait<C: IssuerClient>(
        &self,
        client: &Arc<C>,
        issuer: &Issuer,
        partner: PartnerId,
        token: &Jwt,
    ) -> Result<Arc<KeySet>, String> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= MAX_WAITING {
            return Err("too many wait for the keys of the issuer".to_owned());
        }
        let _flight = self.flight.lock().await;
        // Another caller may have fetched them meanwhile.
        let step = self.state().step(token, Instant::now());
        match step {
            Step::Use(keys) | Step::UseAndRefresh(keys) => Ok(keys),
            Step::Fail(why) => Err(why),
            Step::Fetch => self.fetch(&**client, issuer, partner).await,
            Step::FetchForUnknown => {
                self.state().asked_for_unknown = Some(Instant::now());
                self.fetch(&**client, issuer, partner).await
            }
        }
    }

    async fn fetch<C: IssuerClient>(
        &self,
        client: &C,
        issuer: &Issuer,
        partner: PartnerId,
    ) -> Result<Arc<KeySet>, String> {
        let fetched = timeout(FETCH_TIMEOUT, client.fetch(issuer, partner)).await;
        let fetched =
            fetched.unwrap_or_else(|_elapsed| Err("it did not answer in time".to_owned()));
        let mut state = self.state();
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                state.keys = Some((Arc::clone(&keys), Instant::now()));
                state.failed = None;
                Ok(keys)
            }
            Err(why) => {
                tracing::warn!(%issuer, error = %why, "fetching the keys of an issuer failed");
                state.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }
}

#[cfg(test)]
mod tests;
