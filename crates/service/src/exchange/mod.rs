//! The exchange of a pipeline's token for a key (RFC 8693).
//!
//! Anybody may ask, so each step costs little before the next: the rule, the form and the times of the token, and
//! only then keys, a signature and a transaction. What a rule wants is told to nobody who has no token of its issuer.

mod error;
mod events;
pub(crate) mod issuer_keys;
pub(crate) mod rules;

use std::sync::Arc;

use ids::{EventId, KeyId, Labels, TrustRuleId, TypedId as _};
use keys::{KeyKind, MAX_RULE_KEY_LIFE, OnLeak, OnRevoke, PartnerKey, PlainKey};
use ratelimit::{Limiter, Subject};
use scopes::ScopeSet;
use stores::{Database, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;
use tokio::time::timeout;
use trust::{Denial, Jwt, LEEWAY, TokenDigest, TrustRule};

pub use self::error::ExchangeError;
use self::{
    events::{exchanged_event, rejected_event},
    issuer_keys::IssuerClient,
};
use crate::{Audited, RequestInfo, Service, audited::FAULT_TIMEOUT};

/// The claims that become labels of the key.
const LABELS: [&str; 3] = ["repository", "run_id", "sha"];
/// How many tokens that were exchanged here are remembered, so that their replays cost no transaction.
const MAX_REMEMBERED: usize = 65_536;

/// What a pipeline asks for.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The rule that it names; `None` for a text that no rule's id is.
    pub rule: Option<TrustRuleId>,
    /// The token of its provider.
    pub token: String,
    /// The scopes that the key is to have; `None` for all of the rule's.
    pub scopes: AskedScopes,
}

/// The key that a token was exchanged for.
#[derive(Debug)]
pub struct ExchangedToken {
    /// The secret, shown once.
    pub secret: PlainKey,
    /// The key.
    pub key: PartnerKey,
    /// How long it lasts, in seconds.
    pub expires_in: i64,
}

/// An exchange that was refused; its event is durable.
#[derive(Debug)]
pub struct ExchangeRejection {
    /// Why.
    pub error: ExchangeError,
    /// The event; `None` where no rule is known, or storage can't take it.
    pub event: Option<EventId>,
}

/// Tokens that were exchanged by this process: of those that end last, so many.
#[derive(Debug)]
pub(crate) struct ExchangedTokens(quick_cache::sync::Cache<TokenDigest, ()>);

impl Default for ExchangedTokens {
    fn default() -> Self {
        Self(quick_cache::sync::Cache::new(MAX_REMEMBERED))
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Exchanges the token of a pipeline for a key.
    ///
    /// # Errors
    /// When the token is not trusted, a limit is used up, or the issuer does not answer.
    pub async fn token_exchange<C: IssuerClient>(
        &self,
        client: &Arc<C>,
        request: &RequestInfo,
        asked: Exchange,
    ) -> Result<Audited<ExchangedToken>, ExchangeRejection> {
        let subject = Subject::exchanges(request.client.limited_by());
        let limit = self.settings.auth_failure_limit;
        if let Some(retry_after) = self.limiter.peek(subject, limit).await.retry_after {
            let error = ExchangeError::RateLimited {
                retry_after,
                by_rule: false,
            };
            return Err(ExchangeRejection { error, event: None });
        }
        let rule = match self.rule_of(&asked, request).await {
            Ok(rule) => rule,
            Err(error) => {
                if error.is_the_senders() {
                    self.limiter.check(subject, limit).await;
                }
                return Err(ExchangeRejection { error, event: None });
            }
        };
        match self.exchange_by(client, request, &rule, asked).await {
            Ok(exchanged) => Ok(exchanged),
            Err(error) => {
                if error.is_the_senders() {
                    self.limiter.check(subject, limit).await;
                }
                Err(self.reject_exchange(request, &rule, error).await)
            }
        }
    }

    async fn rule_of(
        &self,
        asked: &Exchange,
        request: &RequestInfo,
    ) -> Result<Arc<TrustRule>, ExchangeError> {
        let id = asked.rule.ok_or(ExchangeError::NoRule)?;
        let address = Subject::exchanges(request.client.limited_by());
        let found = self.trust_rules.find(&self.db, address, id).await?;
        found.ok_or(ExchangeError::NoRule)
    }

    async fn exchange_by<C: IssuerClient>(
        &self,
        client: &Arc<C>,
        request: &RequestInfo,
        rule: &Arc<TrustRule>,
        asked: Exchange,
    ) -> Result<Audited<ExchangedToken>, ExchangeError> {
        if !rule.enabled {
            return Err(ExchangeError::NoRule);
        }
        let token = Jwt::parse(&asked.token).map_err(Denial::from)?;
        rule.check_unverified(&token, self.env.now())?;
        let used = token.digest(&rule.issuer);
        if self.exchanged.0.get(&used).is_some() {
            return Err(Denial::Replayed.into());
        }
        let keys = self
            .issuer_keys
            .get(client, (&rule.issuer, rule.partner_id), &token)
            .await
            .map_err(ExchangeError::IssuerUnavailable)?;
        keys.verify(&token)?;
        // The body and the issuer have taken their time.
        rule.check_verified(&token, self.env.now())?;
        granted(rule, asked.scopes.clone())?;
        let limit = self.settings.token_exchange_limit;
        let charged = self.limiter.check(Subject::TrustRule(rule.id), limit).await;
        if let Some(retry_after) = charged.retry_after {
            return Err(ExchangeError::RateLimited {
                retry_after,
                by_rule: true,
            });
        }
        let issued = self.issue(request, rule.id, token, (asked.scopes, used));
        let issued = issued.await;
        if matches!(issued, Ok(_) | Err(ExchangeError::Denied(Denial::Replayed))) {
            self.exchanged.0.insert(used, ());
        }
        issued
    }

    /// Makes the key, and notes that the token was used, in one transaction. The rule is read once more there.
    async fn issue(
        &self,
        request: &RequestInfo,
        rule: TrustRuleId,
        token: Jwt,
        (scopes, used): (AskedScopes, TokenDigest),
    ) -> Result<Audited<ExchangedToken>, ExchangeError> {
        let now = self.env.now();
        let token_end = token.expires_at().ok_or(Denial::Time("exp"))?;
        let secret = self.env.key(KeyKind::Partner);
        let digest = self.settings.peppers.digest(&secret);
        let prefix = secret.display_prefix().to_owned();
        let (key_id, event_id) = (self.env.id(), self.env.id());
        let request = request.clone();
        let (receipt, key) = self
            .db
            .write(move |tx| {
                let rule = trusting(tx, rule, &token, now)?;
                let key = PartnerKey {
                    id: key_id,
                    scopes: granted(&rule, scopes.clone())?,
                    key_prefix: prefix.clone(),
                    labels: labels(&token),
                    ..new_key(key_id, &rule, (now, token_end))
                };
                if !tx.token_use(&used, token_end.saturating_add(LEEWAY))? {
                    return Err(ExchangeError::from(Denial::Replayed));
                }
                tx.key_insert(&key, &digest)?;
                let event = exchanged_event(&request, event_id, &rule, (&key, &token));
                Ok((tx.event_record(&event)?, key))
            })
            .await?;
        let end = key.expires_at.unwrap_or(now);
        let value = ExchangedToken {
            secret,
            expires_in: (end - now).whole_seconds().max(0),
            key,
        };
        Ok(Audited {
            value,
            status: 200,
            // It is final once the transaction is committed.
            event: receipt.id(),
        })
    }

    /// Records that an exchange by a known rule was refused. Only the first refusals by a rule in a while have events of
    /// their own, so that nobody can fill the log.
    async fn reject_exchange(
        &self,
        request: &RequestInfo,
        rule: &TrustRule,
        error: ExchangeError,
    ) -> ExchangeRejection {
        if let ExchangeError::Store(fault) = &error {
            tracing::error!(
                error = fault.as_dyn(),
                request_id = &*request.request_id,
                "request failed in storage"
            );
        }
        let event = |id| rejected_event(request, id, rule, &error);
        let is_folded = matches!(error, ExchangeError::RateLimited { .. })
            || !self.folded_rejections.is_unfolded(rule.id.ulid());
        if is_folded {
            let key = (rule.id.ulid(), error.reason());
            let event = self.folded_rejections.fold_as(key, &self.env, event);
            return ExchangeRejection { error, event };
        }
        let recorded = self.db.append(Box::new(event(self.env.id())));
        if matches!(error, ExchangeError::Store(_)) {
            // The request has waited for the database once already.
            let recorded = timeout(FAULT_TIMEOUT, recorded).await;
            let event = recorded.ok().and_then(Result::ok);
            return ExchangeRejection { error, event };
        }
        match recorded.await {
            Ok(id) => ExchangeRejection {
                error,
                event: Some(id),
            },
            Err(fault) => ExchangeRejection {
                error: fault.into(),
                event: None,
            },
        }
    }

    /// Forgets tokens that are refused by now anyway, and deletes keys of pipelines that have left lists, a bounded
    /// number at a time; whether there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_exchanges(&self) -> Result<bool, StoreError> {
        let now = self.env.now();
        let pruned: Result<_, StoreError> = self
            .db
            .write(move |tx| {
                // Not at once: an exchange may be on its way that has found the token to be in time.
                let tokens = tx.token_uses_prune(now - LEEWAY, PRUNE_BATCH)?;
                Ok((tokens, tx.keys_prune(now, PRUNE_BATCH)?))
            })
            .await;
        let (tokens, keys) = pruned?;
        Ok(tokens == PRUNE_BATCH || keys == PRUNE_BATCH)
    }
}

/// The scopes that were asked for; `None` for all of the rule's, an error for a text that names none.
pub type AskedScopes = Option<Result<ScopeSet, String>>;

/// How many tokens and keys are pruned in one transaction.
const PRUNE_BATCH: usize = 200;

/// The scopes of the key: those that were asked for, or all of the rule's.
fn granted(rule: &TrustRule, asked: AskedScopes) -> Result<ScopeSet, ExchangeError> {
    let Some(asked) = asked else {
        return Ok(rule.scopes);
    };
    let asked = asked.map_err(ExchangeError::Scope)?;
    match asked.iter().find(|scope| !rule.scopes.contains(*scope)) {
        None => Ok(asked),
        Some(scope) => Err(ExchangeError::Scope(format!(
            "the rule does not have the scope {scope}; ask for fewer, or leave `scope` out"
        ))),
    }
}

/// The key of a rule, without a secret. It ends with the token, if that is earlier; a token that has just ended is
/// taken by the leeway of clocks, and so is its key.
fn new_key(
    id: KeyId,
    rule: &TrustRule,
    (now, token_end): (OffsetDateTime, OffsetDateTime),
) -> PartnerKey {
    let token_end = if token_end > now {
        token_end
    } else {
        token_end.saturating_add(LEEWAY)
    };
    let end = token_end.min(now + rule.token_ttl.duration().min(MAX_RULE_KEY_LIFE));
    PartnerKey {
        id,
        partner_id: rule.partner_id,
        name: rule.name.clone(),
        scopes: rule.scopes,
        org_id: None,
        org_plans: rule.org_plans.clone(),
        allowed_cidrs: None,
        rate_limit: rule.rate_limit,
        expires_at: Some(end),
        max_live_orgs: rule.max_live_orgs,
        max_ttl_seconds: rule.max_ttl_seconds,
        on_revoke: OnRevoke::Keep,
        on_leak: OnLeak::Revoke,
        disabled: false,
        labels: Labels::default(),
        key_prefix: String::new(),
        created_at: now,
        created_by: rule.id.into(),
        last_used_at: None,
        revoked_at: None,
        revocation_reason: None,
        rotation: None,
    }
}

/// The labels of a key; a claim that does not fit is left out.
fn labels(token: &Jwt) -> Labels {
    let all = LABELS.into_iter().filter_map(|claim| {
        let label = (claim.to_owned(), token.text(claim)?);
        Labels::new([label.clone()]).is_ok().then_some(label)
    });
    Labels::new(all).unwrap_or_default()
}

/// The rule as it is in this transaction, held against changes, if it trusts the token and may make keys.
fn trusting<T: Transaction>(
    tx: &mut T,
    id: TrustRuleId,
    token: &Jwt,
    now: OffsetDateTime,
) -> Result<TrustRule, ExchangeError> {
    let rule = tx.trust_rule_for_use(id)?.filter(|rule| rule.enabled);
    let rule = rule.ok_or(ExchangeError::NoRule)?;
    rule.check_verified(token, now)?;
    let partner = tx.partner(rule.partner_id)?;
    if partner.is_some_and(|partner| partner.plan.includes_keys()) {
        Ok(rule)
    } else {
        Err(ExchangeError::PartnerPlan)
    }
}
