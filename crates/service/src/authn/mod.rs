//! Authentication: from a bearer token to a credential that may act, and its rate limits.
//!
//! It owns the credential cache, the throttle of unknown tokens and the rejections that are folded. It must
//! not know operations beyond whether this caller may ask for them.

pub(crate) mod auth_failure_throttle;
pub(crate) mod credential_cache;
mod digest_renewal;
pub(crate) mod folded_rejections;
mod key_changes;
pub(crate) mod unrecorded_uses;

use std::sync::Arc;

use audit::Action;
use ids::KeyId;
use keys::{KeyDigest, KeyKind, PlainKey};
use ratelimit::{Decision, Limiter, RateLimit, Subject};
use stores::{Database, StoreError, prelude::*};

use self::{
    auth_failure_throttle::Lookup,
    credential_cache::{CacheLookup, CachedCredential, ClockReading, Credential},
    unrecorded_uses::SecretUse,
};
use crate::{
    Caller, Context, Error, LimitName, Rejection, RequestInfo, Service,
    authorize::{authorize, check_usable},
};

/// How often a key may rotate itself, and how often it may end a rotation.
const OWN_ROTATIONS: RateLimit = RateLimit::literal(6, 3600);

/// The bearer token of a request, and whether the request revokes a key.
#[derive(Debug)]
pub struct Credentials {
    /// The token, whose form and checksum are right.
    pub key: PlainKey,
    /// The key that the request asks to revoke, if its head is well formed.
    pub revokes: Option<KeyId>,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Finds the credential behind a token, checks that it can be used, and charges its rate limits.
    ///
    /// # Errors
    /// When the token is unknown, its key can't be used, or a limit is used up.
    pub async fn authenticate(
        &self,
        request: RequestInfo,
        credentials: Credentials,
    ) -> Result<Context, Rejection> {
        let cached = self
            .find(&credentials.key, &request)
            .await
            .map_err(|error| Rejection {
                error,
                event: None,
                limits: Vec::new(),
                deprecation: None,
            })?;
        let request = RequestInfo {
            secret: cached.secret.clone(),
            ..request
        };
        let mut context = Context {
            request,
            caller: cached.caller.clone(),
            read_version: cached.version(),
            first_use: false,
            limits: Vec::new(),
            is_charged: true,
            idempotency_key: None,
        };
        if let Err(error) = check_usable(
            &context.caller,
            context.request.secret.as_ref(),
            context.request.at,
        ) {
            // Every answer to a key says what its limits are; that asks no storage.
            context.limits = self.peek_limits(&context).await;
            return Err(self.reject_unusable(&context, error).await);
        }
        if revokes_itself(&context, credentials.revokes) {
            context.is_charged = false;
            context.limits = self.peek_limits(&context).await;
        } else {
            self.charge(&mut context).await?;
        }
        context.first_use =
            !context.caller.is_admin() && cached.should_record_use(context.request.at);
        Ok(context)
    }

    /// The credential behind a token, from the cache or the database.
    async fn find(
        &self,
        key: &PlainKey,
        request: &RequestInfo,
    ) -> Result<Arc<CachedCredential>, Error> {
        let digest = self.settings.peppers.digest(key);
        match self
            .credentials
            .get(&digest, ClockReading::now(self.env.wall()))
        {
            CacheLookup::Hit(cached) => return Ok(cached),
            CacheLookup::UnknownKey => return Err(self.unknown_key(request).await),
            CacheLookup::Miss => {}
        }
        let version = self.credentials.read_version();
        let address = Subject::address(request.client.limited_by());
        let limit = self.settings.auth_failure_limit;
        let found = if self.limiter.peek(address, limit).await.is_allowed() {
            self.read_caller(key).await?
        } else {
            let lookup = Lookup {
                kind: key.kind(),
                digests: self.settings.peppers.candidates(key).collect(),
            };
            self.auth_failures.find(&self.db, address, lookup).await?
        };
        if let Some((Credential { caller, secret }, stored)) = &found
            && *stored != digest
            && check_usable(caller, secret.as_ref(), request.at).is_ok()
        {
            self.renew_digest(caller, *stored, digest).await;
        }
        let found = found.map(|(credential, _)| credential);
        match self.credentials.insert(&digest, version, found) {
            Some(cached) => Ok(cached),
            None => Err(self.unknown_key(request).await),
        }
    }

    /// The credential as the database has it, and the digest under which that is.
    async fn read_caller(
        &self,
        key: &PlainKey,
    ) -> Result<Option<(Credential, KeyDigest)>, StoreError> {
        let digests: Vec<KeyDigest> = self.settings.peppers.candidates(key).collect();
        let kind = key.kind();
        self.db
            .read(move |view| {
                // One query whatever the number of peppers, for anybody may send a token that nobody has.
                Ok(match kind {
                    KeyKind::Partner => view
                        .keys_by_digest(&digests)?
                        .pop()
                        .map(|(digest, found)| (Credential::from(found), digest)),
                    KeyKind::Admin | KeyKind::Operator => view
                        .admin_keys_by_digest(&digests)?
                        .pop()
                        .map(|(digest, key)| (Credential::from(key), digest)),
                })
            })
            .await
    }

    /// An unknown token is charged to its sender's address alone.
    async fn unknown_key(&self, request: &RequestInfo) -> Error {
        let subject = Subject::address(request.client.limited_by());
        let limit = self.settings.auth_failure_limit;
        match self.limiter.check(subject, limit).await.retry_after {
            None => Error::InvalidKey,
            Some(retry_after) => Error::RateLimited {
                limits: vec![LimitName::Address],
                retry_after,
            },
        }
    }

    /// Charges the limits for a request that was let in without: its body showed that it is no key's own
    /// revocation after all.
    ///
    /// # Errors
    /// When a limit is used up.
    pub async fn charge_limits(&self, context: &mut Context) -> Result<(), Rejection> {
        if context.is_charged {
            return Ok(());
        }
        context.is_charged = true;
        self.charge(context).await
    }

    /// Charges all limits of the caller or, when one of them is used up, none.
    async fn charge(&self, context: &mut Context) -> Result<(), Rejection> {
        context.limits = match self.limits_of(context) {
            (name, (subject, limit), None) => {
                vec![(name, self.limiter.check(subject, limit).await)]
            }
            (name, own, Some(shared)) => {
                let decisions = self.limiter.check_all(&[own, shared]).await;
                let names = [name, LimitName::Partner];
                names.into_iter().zip(decisions).collect()
            }
        };
        match exceeded(&context.limits) {
            None => Ok(()),
            Some(error) => Err(self.reject_folded(context, error)),
        }
    }

    /// The state of the caller's limits, for a request that is not charged.
    async fn peek_limits(&self, context: &Context) -> Vec<(LimitName, Decision)> {
        let (name, (subject, limit), shared) = self.limits_of(context);
        let mut limits = vec![(name, self.limiter.peek(subject, limit).await)];
        if let Some((subject, limit)) = shared {
            let decision = self.limiter.peek(subject, limit).await;
            limits.push((LimitName::Partner, decision));
        }
        limits
    }

    /// A caller's own limit with its name, and the one that it shares with its partner's other keys. A key that
    /// rotates itself has a budget for that alone: whoever has used up the others can't keep it from that.
    fn limits_of(
        &self,
        context: &Context,
    ) -> (
        LimitName,
        (Subject, RateLimit),
        Option<(Subject, RateLimit)>,
    ) {
        match &context.caller {
            Caller::Partner(held) if context.rotates_itself() => {
                let subject = if context.request.operation.action == Action::KeyRotate {
                    Subject::Rotations(held.key.id)
                } else {
                    Subject::RotationEnds(held.key.id)
                };
                (LimitName::Rotation, (subject, OWN_ROTATIONS), None)
            }
            Caller::Admin(key) => {
                let own = (Subject::Admin(key.id), self.settings.admin_rate_limit);
                (LimitName::Admin, own, None)
            }
            Caller::Partner(held) => {
                let (key, partner) = (&held.key, &held.partner);
                let own = (Subject::Key(key.id), key.effective_rate_limit());
                let shared = partner.rate_limit;
                let shared = shared.map(|limit| (Subject::Partner(partner.id), limit));
                (LimitName::Key, own, shared)
            }
        }
    }

    /// Records that a key can't be used. Only its first rejections in a while have events of their own, so
    /// that such a key can't fill the log.
    async fn reject_unusable(&self, context: &Context, error: Error) -> Rejection {
        if self.folded_rejections.is_unfolded(context.caller.ulid()) {
            return self.reject(context, error).await;
        }
        self.reject_folded(context, error)
    }

    /// A rejection that is recorded within a second, by one event with others of its kind.
    fn reject_folded(&self, context: &Context, error: Error) -> Rejection {
        let event = self
            .folded_rejections
            .fold(context, error.code(), &self.env);
        Rejection::new(context, error, event)
    }

    /// How many token lookups have been throttled since the process began.
    #[must_use]
    pub fn throttled_lookups(&self) -> u64 {
        self.auth_failures.lookups()
    }

    /// Records the key's last use, if this request is the first of its minute.
    pub(crate) async fn record_key_use(&self, context: &Context) {
        let Some((id, secret)) = context.used_key() else {
            return;
        };
        let at = context.request.at;
        let of = secret.map(|secret| SecretUse { key: id, secret });
        if let Some(of) = of {
            self.unrecorded_uses.insert(of, at);
        }
        match self.db.key_used(id, secret, at).await {
            Ok(()) => {
                if let Some(of) = of {
                    self.unrecorded_uses.remove(of, at);
                }
            }
            // The request itself meets the same database and reports its failure.
            Err(error) => tracing::warn!(
                error = error.as_dyn(),
                key_id = %id,
                "recording a key's last use failed"
            ),
        }
    }

    /// Records the uses of secrets whose recording has failed.
    pub(crate) async fn record_missed_uses(&self) -> Result<(), StoreError> {
        for (of, at) in self.unrecorded_uses.all() {
            self.db.key_used(of.key, Some(of.secret), at).await?;
            self.unrecorded_uses.remove(of, at);
        }
        Ok(())
    }
}

/// The limits that are used up, and how long to wait for all of them.
fn exceeded(limits: &[(LimitName, Decision)]) -> Option<Error> {
    let exceeded = limits
        .iter()
        .filter_map(|(limit, decision)| Some((*limit, decision.retry_after?)));
    let retry_after = exceeded.clone().map(|(_, wait)| wait).max()?;
    Some(Error::RateLimited {
        limits: exceeded.map(|(limit, _)| limit).collect(),
        retry_after,
    })
}

/// Whether a request is a key's own revocation. That is never limited: a leaked key must be revocable.
fn revokes_itself(context: &Context, revokes: Option<KeyId>) -> bool {
    match &context.caller {
        Caller::Partner(held) => {
            revokes == Some(held.key.id) && authorize(&context.caller, &context.request).is_ok()
        }
        Caller::Admin(_) => false,
    }
}
