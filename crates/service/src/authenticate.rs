//! Who calls: from a presented token to a credential that may act.

use std::sync::Arc;

use ids::KeyId;
use keys::{KeyDigest, KeyKind, KeyQueries as _, KeyStatus, PlainKey};
use ratelimit::{Decision, Limiter, RateLimit, Subject};
use stores::{Database, StoreError};
use time::OffsetDateTime;

use crate::{
    Caller, Context, Error, LimitName, Rejection, RequestInfo, Service,
    auth_failure_throttle::Lookup,
    authorize::permit,
    credential_cache::{CacheLookup, Known, Moment},
};

/// A token as it came, and what kind of call it came with.
#[derive(Debug)]
pub struct Credentials {
    /// The token, whose form and checksum are right.
    pub key: PlainKey,
    /// The key that the call asks to revoke, if that is what it asks and its head is well formed.
    pub revokes: Option<KeyId>,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Finds the credential behind a token, sees that it can be used, and counts the call against its
    /// limits.
    ///
    /// # Errors
    /// When nobody knows the token, when its key can't be used, or when a limit is used up.
    pub async fn authenticate(
        &self,
        call: RequestInfo,
        presented: Credentials,
    ) -> Result<Context, Rejection> {
        let known = self
            .find(&presented.key, &call)
            .await
            .map_err(|error| Rejection {
                error,
                event: None,
                limits: Vec::new(),
            })?;
        let mut context = Context {
            call,
            caller: known.caller.clone(),
            since: known.since(),
            first_use: false,
            limits: Vec::new(),
            is_counted: true,
            idempotency_key: None,
        };
        if let Err(error) = usable(&context.caller, context.call.at) {
            return Err(self.refuse_unusable(&context, error).await);
        }
        if revokes_itself(&context, presented.revokes) {
            context.is_counted = false;
            context.limits = self.peek(&context.caller).await;
        } else {
            self.count(&mut context).await?;
        }
        context.first_use =
            matches!(context.caller, Caller::Partner(_)) && known.note(context.call.at);
        Ok(context)
    }

    /// The credential behind a token, from memory where memory counts.
    async fn find(&self, key: &PlainKey, call: &RequestInfo) -> Result<Arc<Known>, Error> {
        let digest = self.settings.peppers.digest(key);
        match self.credentials.recall(&digest, Moment::now(call.at)) {
            CacheLookup::Known(known) => return Ok(known),
            CacheLookup::Unknown => return Err(self.unknown(call).await),
            CacheLookup::Nothing => {}
        }
        let since = self.credentials.about_to_read();
        let address = Subject::address(call.client.limited_by());
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
        if let Some((caller, stored)) = &found
            && *stored != digest
            && usable(caller, call.at).is_ok()
        {
            self.renew_digest(caller, *stored, digest).await;
        }
        let caller = found.map(|(caller, _)| caller);
        match self.credentials.remember(&digest, since, caller) {
            Some(known) => Ok(known),
            None => Err(self.unknown(call).await),
        }
    }

    /// The credential as the database has it, and the digest under which that is.
    async fn read_caller(&self, key: &PlainKey) -> Result<Option<(Caller, KeyDigest)>, StoreError> {
        let digests: Vec<KeyDigest> = self.settings.peppers.candidates(key).collect();
        let kind = key.kind();
        self.db
            .read(move |view| {
                for digest in digests {
                    let asked = std::slice::from_ref(&digest);
                    let found = match kind {
                        KeyKind::Partner => view
                            .key_by_digest(asked)?
                            .map(|held| Caller::Partner(Arc::new(held))),
                        KeyKind::Admin | KeyKind::Operator => view
                            .admin_key_by_digest(asked)?
                            .map(|key| Caller::Admin(Arc::new(key))),
                    };
                    if let Some(caller) = found {
                        return Ok(Some((caller, digest)));
                    }
                }
                Ok(None)
            })
            .await
    }

    /// A token that nobody knows is counted against its sender's address alone.
    async fn unknown(&self, call: &RequestInfo) -> Error {
        let subject = Subject::address(call.client.limited_by());
        let limit = self.settings.auth_failure_limit;
        match self.limiter.check(subject, limit).await.retry_after {
            None => Error::InvalidKey,
            Some(retry_after) => Error::RateLimited {
                limits: vec![LimitName::Address],
                retry_after,
            },
        }
    }

    /// Counts a call that was admitted without: it turned out not to be what may not be limited.
    ///
    /// # Errors
    /// When a limit is used up.
    pub async fn count_late(&self, context: &mut Context) -> Result<(), Rejection> {
        if context.is_counted {
            return Ok(());
        }
        context.is_counted = true;
        self.count(context).await
    }

    /// Counts a call against the limits of its caller: against all of them or, when one refuses it,
    /// against none.
    async fn count(&self, context: &mut Context) -> Result<(), Rejection> {
        context.limits = match self.limits_of(&context.caller) {
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
            Some(error) => Err(self.refuse_folded(context, error)),
        }
    }

    /// What the limits of a caller would say to a call that is not counted.
    async fn peek(&self, caller: &Caller) -> Vec<(LimitName, Decision)> {
        let (name, (subject, limit), shared) = self.limits_of(caller);
        let mut limits = vec![(name, self.limiter.peek(subject, limit).await)];
        if let Some((subject, limit)) = shared {
            let decision = self.limiter.peek(subject, limit).await;
            limits.push((LimitName::Partner, decision));
        }
        limits
    }

    /// A caller's own limit with its name, and the one that it shares with its partner's other keys.
    fn limits_of(
        &self,
        caller: &Caller,
    ) -> (
        LimitName,
        (Subject, RateLimit),
        Option<(Subject, RateLimit)>,
    ) {
        match caller {
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

    /// Records that a key can't be used. Only its first refusals in a while have events of their own, so
    /// that it can't fill the log.
    async fn refuse_unusable(&self, context: &Context, error: Error) -> Rejection {
        if self.refusals.is_unfolded(context) {
            return self.reject(context, error).await;
        }
        self.refuse_folded(context, error)
    }

    /// A refusal whose event is on record within a second, with others of its kind.
    fn refuse_folded(&self, context: &Context, error: Error) -> Rejection {
        Rejection {
            event: self.refusals.fold(context, error.code(), &self.env),
            error,
            limits: context.limits.clone(),
        }
    }

    /// How many look-ups of tokens have been throttled since the process began.
    #[must_use]
    pub fn throttled_lookups(&self) -> u64 {
        self.auth_failures.lookups()
    }

    /// Notes at the key that it has been used, if that is this call's to note.
    pub(crate) async fn note_use(&self, context: &Context) {
        let Some(id) = context.used() else { return };
        if let Err(error) = self.db.key_used(id, context.call.at).await {
            // The call itself will meet the same database and say so.
            tracing::warn!(
                error = error.as_dyn(),
                key_id = %id,
                "a use of a key was not noted"
            );
        }
    }
}

/// Whether a credential that was found can be used at this time.
pub(crate) fn usable(caller: &Caller, at: OffsetDateTime) -> Result<(), Error> {
    match caller {
        Caller::Admin(key) if key.revoked_at.is_some() => Err(Error::KeyRevoked),
        Caller::Admin(_) => Ok(()),
        Caller::Partner(held) => match held.key.status(at) {
            KeyStatus::Active => Ok(()),
            KeyStatus::Disabled => Err(Error::KeyDisabled),
            KeyStatus::Expired => Err(Error::KeyExpired),
            KeyStatus::Revoked => Err(Error::KeyRevoked),
        },
    }
}

/// The limits that refuse, and how long to wait for all of them.
fn exceeded(limits: &[(LimitName, Decision)]) -> Option<Error> {
    let refusing = limits
        .iter()
        .filter_map(|(limit, decision)| Some((*limit, decision.retry_after?)));
    let retry_after = refusing.clone().map(|(_, wait)| wait).max()?;
    Some(Error::RateLimited {
        limits: refusing.map(|(limit, _)| limit).collect(),
        retry_after,
    })
}

/// Whether a call is a key's own revocation, which nothing refuses: it is not limited.
fn revokes_itself(context: &Context, revokes: Option<KeyId>) -> bool {
    match &context.caller {
        Caller::Partner(held) => {
            revokes == Some(held.key.id) && permit(&context.caller, &context.call).is_ok()
        }
        Caller::Admin(_) => false,
    }
}
