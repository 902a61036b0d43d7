//! Who calls: from a presented token to a credential that may act.

use ids::KeyId;
use keys::{HeldKey, KeyDigest, KeyKind, KeyStatus, PlainKey};
use ratelimit::{Decision, Limiter, RateLimit, Subject};
use stores::{Database, StoreError};

use crate::{Call, Caller, Context, Error, LimitName, Refusal, Service};

/// How often a key may ask for its own revocation.
const REVOCATION_LIMIT: RateLimit = RateLimit::literal(10, 60);

/// A token as it came, and what kind of call it came with.
#[derive(Debug)]
pub struct Presented {
    /// The token, whose form and checksum are right.
    pub key: PlainKey,
    /// The key that the call asks to revoke, if that is what it asks.
    pub revokes: Option<KeyId>,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Finds the credential behind a token, sees that it can be used, and counts the call against its
    /// limits. Nothing is remembered from call to call, so that a revocation holds at once.
    ///
    /// # Errors
    /// When nobody knows the token, when its key can't be used, or when a limit is used up.
    pub async fn admit(&self, call: Call, presented: Presented) -> Result<Context, Refusal> {
        let unrecorded = |error| Refusal {
            error,
            event: None,
            limits: Vec::new(),
        };
        let found = self.find(&presented.key).await;
        let Some(caller) = found.map_err(|error| unrecorded(error.into()))? else {
            return Err(unrecorded(self.unknown(&call).await));
        };
        let mut context = Context {
            call,
            caller,
            limits: Vec::new(),
            once: None,
        };
        if let Err(error) = usable(&context) {
            return Err(self.refuse(&context, error).await);
        }
        context.limits = self.count(&context.caller, presented.revokes).await;
        if let Some(error) = exceeded(&context.limits) {
            let event = self.refusals.fold(&context, || self.world.id());
            return Err(Refusal {
                error,
                event: Some(event),
                limits: context.limits,
            });
        }
        if let Caller::Partner(held) = &context.caller
            && held.key.use_is_news(context.call.at)
        {
            self.note_use(held, &context).await;
        }
        Ok(context)
    }

    async fn find(&self, key: &PlainKey) -> Result<Option<Caller>, StoreError> {
        let digests: Vec<KeyDigest> = self.settings.peppers.candidates(key).collect();
        let kind = key.kind();
        self.db
            .read(move |view| {
                use keys::KeyQueries as _;
                Ok(match kind {
                    KeyKind::Partner => view
                        .key_by_digest(&digests)?
                        .map(|held| Caller::Partner(Box::new(held))),
                    KeyKind::Admin | KeyKind::Operator => {
                        view.admin_key_by_digest(&digests)?.map(Caller::Admin)
                    }
                })
            })
            .await
    }

    /// A token that nobody knows is counted against its sender's address alone.
    async fn unknown(&self, call: &Call) -> Error {
        let subject = Subject::address(call.ip);
        let decision = self
            .limiter
            .check(subject, self.settings.auth_failure_limit)
            .await;
        match decision.retry_after {
            None => Error::InvalidKey,
            Some(retry_after) => Error::RateLimited {
                limit: LimitName::Address,
                retry_after,
            },
        }
    }

    /// A key's own revocation has a budget of its own, so that a flood can't stop it. The partner's
    /// shared budget is asked only when the key's own allows the call.
    async fn count(&self, caller: &Caller, revokes: Option<KeyId>) -> Vec<(LimitName, Decision)> {
        let check = |subject, limit| self.limiter.check(subject, limit);
        match caller {
            Caller::Admin(key) => {
                let limit = self.settings.admin_rate_limit;
                vec![(LimitName::Admin, check(Subject::Admin(key.id), limit).await)]
            }
            Caller::Partner(held) if revokes == Some(held.key.id) => {
                let subject = Subject::Revocation(held.key.id);
                vec![(
                    LimitName::Revocation,
                    check(subject, REVOCATION_LIMIT).await,
                )]
            }
            Caller::Partner(held) => {
                let limit = held.key.effective_rate_limit();
                let own = check(Subject::Key(held.key.id), limit).await;
                let mut limits = vec![(LimitName::Key, own)];
                if let Some(shared) = held.partner.rate_limit.filter(|_| own.is_allowed()) {
                    let decision = check(Subject::Partner(held.partner.id), shared).await;
                    limits.push((LimitName::Partner, decision));
                }
                limits
            }
        }
    }

    async fn note_use(&self, held: &HeldKey, context: &Context) {
        let (id, at) = (held.key.id, context.call.at);
        let noted: Result<(), StoreError> = self
            .db
            .write(move |tx| {
                use keys::KeyStore as _;
                tx.key_touch(id, at)
            })
            .await;
        if let Err(error) = noted {
            // The call itself will meet the same database and say so.
            tracing::warn!(
                error = error.as_dyn(),
                key_id = %id,
                "a use of a key was not noted"
            );
        }
    }
}

fn usable(context: &Context) -> Result<(), Error> {
    match &context.caller {
        Caller::Admin(key) if key.revoked_at.is_some() => Err(Error::KeyRevoked),
        Caller::Admin(_) => Ok(()),
        Caller::Partner(held) => match held.key.status(context.call.at) {
            KeyStatus::Active => Ok(()),
            KeyStatus::Disabled => Err(Error::KeyDisabled),
            KeyStatus::Expired => Err(Error::KeyExpired),
            KeyStatus::Revoked => Err(Error::KeyRevoked),
        },
    }
}

/// The limit that refuses, the one to wait for longest if there are several.
fn exceeded(limits: &[(LimitName, Decision)]) -> Option<Error> {
    limits
        .iter()
        .filter_map(|&(limit, decision)| Some((limit, decision.retry_after?)))
        .max_by_key(|&(_, retry_after)| retry_after)
        .map(|(limit, retry_after)| Error::RateLimited { limit, retry_after })
}
