//! Who calls: from a presented token to a credential that may act.

use std::sync::Arc;

use ids::KeyId;
use keys::{KeyDigest, KeyKind, KeyQueries as _, KeyStatus, PlainKey};
use ratelimit::{Decision, Limiter, RateLimit, Subject};
use stores::{Database, StoreError};
use time::OffsetDateTime;

use crate::{
    Call, Caller, Context, Error, LimitName, Refusal, Service,
    memory::{Known, Moment, Recall},
    strangers::Crowded,
};

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
    /// limits.
    ///
    /// # Errors
    /// When nobody knows the token, when its key can't be used, or when a limit is used up.
    pub async fn admit(&self, call: Call, presented: Presented) -> Result<Context, Refusal> {
        let known = self
            .find(&presented.key, &call)
            .await
            .map_err(|error| Refusal {
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
            once: None,
        };
        if let Err(error) = usable(&context.caller, context.call.at) {
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
        context.first_use =
            matches!(context.caller, Caller::Partner(_)) && known.note(context.call.at);
        Ok(context)
    }

    /// The credential behind a token, from memory where memory counts.
    async fn find(&self, key: &PlainKey, call: &Call) -> Result<Arc<Known>, Error> {
        let digest = self.settings.peppers.digest(key);
        match self.memory.recall(&digest, Moment::now(call.at)) {
            Recall::Known(known) => return Ok(known),
            Recall::Unknown => return Err(self.unknown(call).await),
            Recall::Nothing => {}
        }
        // Whoever sends one unknown token after the other does not keep the database busy with it.
        let crowded = |Crowded { retry_after }| Error::RateLimited {
            limit: LimitName::Address,
            retry_after,
        };
        let _turn = self
            .strangers
            .turn(call.client.limited_by())
            .await
            .map_err(crowded)?;
        let since = self.memory.about_to_read();
        let caller = self.read_caller(key).await?;
        match self.memory.remember(&digest, since, caller) {
            Some(known) => Ok(known),
            None => Err(self.unknown(call).await),
        }
    }

    /// The credential as the database has it.
    async fn read_caller(&self, key: &PlainKey) -> Result<Option<Caller>, StoreError> {
        let digests: Vec<KeyDigest> = self.settings.peppers.candidates(key).collect();
        let kind = key.kind();
        self.db
            .read(move |view| {
                Ok(match kind {
                    KeyKind::Partner => view
                        .key_by_digest(&digests)?
                        .map(|held| Caller::Partner(Arc::new(held))),
                    KeyKind::Admin | KeyKind::Operator => view
                        .admin_key_by_digest(&digests)?
                        .map(|key| Caller::Admin(Arc::new(key))),
                })
            })
            .await
    }

    /// A token that nobody knows is counted against its sender's address alone.
    async fn unknown(&self, call: &Call) -> Error {
        let subject = Subject::address(call.client.limited_by());
        let decision = self
            .limiter
            .check(subject, self.settings.auth_failure_limit)
            .await;
        match decision.retry_after {
            None => Error::InvalidKey,
            Some(retry_after) => {
                self.strangers.note(call.client.limited_by(), retry_after);
                Error::RateLimited {
                    limit: LimitName::Address,
                    retry_after,
                }
            }
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

/// The limit that refuses, the one to wait for longest if there are several.
fn exceeded(limits: &[(LimitName, Decision)]) -> Option<Error> {
    limits
        .iter()
        .filter_map(|&(limit, decision)| Some((limit, decision.retry_after?)))
        .max_by_key(|&(_, retry_after)| retry_after)
        .map(|(limit, retry_after)| Error::RateLimited { limit, retry_after })
}
