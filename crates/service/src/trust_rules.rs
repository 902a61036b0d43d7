//! Trust rules, which only the operator manages.

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{Page, PageRequest, PartnerId, TrustRuleId};
use keys::{Change, OnRevoke, RevocationReason};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;
use trust::{InvalidClaims, InvalidRule, MAX_RULES, TrustRule, TrustRuleChanges, TrustRuleDraft};

use crate::{
    Audited, Context, Env, Error, Rejection, Rendered, Service, audited::Auditable,
    keys::unknown_plan, partners::changed,
};

/// How many keys of a rule are revoked in one transaction, so that other writers wait for moments only.
const REVOKE_BATCH: usize = 100;

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Creates a trust rule.
    ///
    /// # Errors
    /// When the rule would trust too much, the partner does not exist or has too many rules, or its plan does not
    /// include keys.
    pub async fn trust_rule_create(
        &self,
        context: &Context,
        draft: TrustRuleDraft,
        render: impl Fn(&TrustRule) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        if let Some(error) = unknown_plan(draft.org_plans.as_deref(), &self.settings.plans) {
            return Err(self.reject(context, error).await);
        }
        let rule = match draft.into_rule(self.env.id(), context.request.at) {
            Ok(rule) => rule,
            Err(error) => return Err(self.reject(context, invalid(&error)).await),
        };
        self.idempotent_write(context, None, render, move |tx, _| {
            // Held, so that two rules at once don't both take the last place.
            let partner = tx
                .partner_for_update(rule.partner_id)?
                .ok_or_else(|| Error::at("/partner_id", "there is no such partner"))?;
            if !partner.plan.includes_keys() {
                return Err(Error::PartnerPlanRequired);
            }
            if tx.trust_rule_count(partner.id)? >= MAX_RULES {
                let detail = format!("a partner has at most {MAX_RULES} trust rules; delete one");
                return Err(Error::at("/partner_id", detail));
            }
            tx.trust_rule_insert(&rule)?;
            Ok(Auditable::new(201, rule.clone())
                .target(Target::one(TargetKind::TrustRule, rule.id))
                .detail("name", rule.name.as_str())
                .detail("partner_id", rule.partner_id.to_string())
                .detail("issuer", rule.issuer.as_str())
                .detail("scopes", rule.scopes.to_string()))
        })
        .await
    }

    /// Lists trust rules.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn trust_rule_list(
        &self,
        context: &Context,
        partner: Option<PartnerId>,
        page: PageRequest,
    ) -> Result<Audited<Page<TrustRule>>, Rejection> {
        self.audited_list(context, move |view| {
            Ok(Auditable::new(200, view.trust_rules(partner, page)?))
        })
        .await
    }

    /// Reads a trust rule.
    ///
    /// # Errors
    /// When there is none of this id.
    pub async fn trust_rule_read(
        &self,
        context: &Context,
        id: TrustRuleId,
    ) -> Result<Audited<TrustRule>, Rejection> {
        self.audited_read(context, move |view| {
            let rule = view.trust_rule(id)?.ok_or(Error::NotFound)?;
            Ok(Auditable::new(200, rule))
        })
        .await
    }

    /// Changes a trust rule. When it is disabled, the keys that it has made end.
    ///
    /// # Errors
    /// When there is none of this id, or the rule would trust too much.
    pub async fn trust_rule_update(
        &self,
        context: &Context,
        id: TrustRuleId,
        changes: TrustRuleChanges,
    ) -> Result<Audited<TrustRule>, Rejection> {
        let plans = match &changes.org_plans {
            Change::Set(plans) => Some(plans.as_slice()),
            Change::Keep | Change::Clear => None,
        };
        if let Some(error) = unknown_plan(plans, &self.settings.plans) {
            return Err(self.reject(context, error).await);
        }
        let (at, env) = (context.request.at, self.env.clone());
        let answer = self
            .audited_write(context, move |tx, _| {
                let before = tx.trust_rule_for_update(id)?.ok_or(Error::NotFound)?;
                let rule = before.clone().changed(changes.clone());
                let rule = rule.map_err(|error| invalid(&error))?;
                tx.trust_rule_update(&rule)?;
                let mut revoked = 0;
                if !rule.enabled {
                    revoked = revoke_keys(tx, id, (&env, at))?;
                } else if !before.enabled {
                    // What is left of the keys from before ends now: later nothing would tell new ones from them.
                    loop {
                        let more = revoke_keys(tx, id, (&env, at))?;
                        revoked += more;
                        if more < REVOKE_BATCH {
                            break;
                        }
                    }
                }
                let changed = changed(&[
                    ("name", before.name != rule.name),
                    ("issuer", before.issuer != rule.issuer),
                    ("audience", before.audience != rule.audience),
                    ("claims", before.claims != rule.claims),
                    ("refuse", before.refuse != rule.refuse),
                    ("scopes", before.scopes != rule.scopes),
                    ("org_plans", before.org_plans != rule.org_plans),
                    ("max_live_orgs", before.max_live_orgs != rule.max_live_orgs),
                    (
                        "max_ttl_seconds",
                        before.max_ttl_seconds != rule.max_ttl_seconds,
                    ),
                    ("rate_limit", before.rate_limit != rule.rate_limit),
                    ("token_ttl_seconds", before.token_ttl != rule.token_ttl),
                    ("enabled", before.enabled != rule.enabled),
                ]);
                Ok(Auditable::new(200, rule)
                    .detail("changed", changed)
                    .detail("keys_revoked", revoked))
            })
            .await;
        self.trust_rules.forget(id);
        self.apply_key_changes().await;
        answer
    }

    /// Deletes a trust rule; the keys that it has made end. One that is deleted already stays so.
    ///
    /// # Errors
    /// When there never was one of this id.
    pub async fn trust_rule_delete(
        &self,
        context: &Context,
        id: TrustRuleId,
    ) -> Result<Audited<()>, Rejection> {
        let (at, env) = (context.request.at, self.env.clone());
        let answer = self
            .audited_write(context, move |tx, _| {
                let rule = tx.trust_rule_for_update(id)?;
                if !tx.trust_rule_delete(id)? {
                    return Err(Error::NotFound);
                }
                let Some(rule) = rule else {
                    return Ok(Auditable::new(204, ()).detail("already_deleted", true));
                };
                let revoked = revoke_keys(tx, id, (&env, at))?;
                Ok(Auditable::new(204, ())
                    .detail("name", rule.name.as_str())
                    .detail("keys_revoked", revoked))
            })
            .await;
        self.trust_rules.forget(id);
        self.apply_key_changes().await;
        answer
    }

    /// Revokes more keys of a rule that has ended, a bounded number at a time; whether there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_keys_of_rules(&self) -> Result<bool, StoreError> {
        let pending: Result<_, StoreError> = self
            .db
            .read(|view| view.trust_rule_with_keys_to_revoke())
            .await;
        let Some(id) = pending? else {
            return Ok(false);
        };
        let (at, env) = (self.env.now(), self.env.clone());
        let written: Result<_, StoreError> = self
            .db
            .write(move |tx| {
                // Whoever has enabled it meanwhile has seen to the keys from before.
                let rule = tx.trust_rule_for_update(id)?;
                if rule.is_none_or(|rule| !rule.enabled) {
                    revoke_keys(tx, id, (&env, at))?;
                }
                Ok(())
            })
            .await;
        written?;
        self.apply_key_changes().await;
        Ok(true)
    }
}

/// Revokes keys of a rule, each audited, and notes whether some are left for later; how many it was.
fn revoke_keys<T: Transaction>(
    tx: &mut T,
    id: TrustRuleId,
    (env, at): (&Env, OffsetDateTime),
) -> Result<usize, StoreError> {
    let revoked = tx.keys_of_rule_revoke(id, at, REVOKE_BATCH)?;
    tx.trust_rule_set_keys_to_revoke(id, revoked.len() == REVOKE_BATCH)?;
    for key in &revoked {
        let Some(held) = tx.key(*key)? else { continue };
        let details = [
            ("name", held.key.name.as_str().to_owned()),
            ("on_revoke", OnRevoke::Keep.as_str().to_owned()),
            ("reason", RevocationReason::Unspecified.as_str().to_owned()),
            ("trust_rule", id.to_string()),
        ];
        let details = details.map(|(name, value)| (name.to_owned(), value.into()));
        tx.event_record(&Event {
            id: env.id(),
            occurred_at: at,
            actor: Actor::System {
                partner_id: Some(held.key.partner_id),
            },
            action: Action::KeyRevoke,
            target: Target::one(TargetKind::PartnerKey, *key),
            org_id: held.key.org_id,
            outcome: Outcome::Success,
            request: None,
            details: Details::from_iter(details),
        })?;
    }
    Ok(revoked.len())
}

/// The place of what is wrong with a rule.
fn invalid(error: &InvalidRule) -> Error {
    let at = |member: &str, claims: &InvalidClaims| {
        let claim = claims.claim.as_deref();
        let claim = claim.map(|claim| format!("/{}", claim.replace('~', "~0").replace('/', "~1")));
        Error::at(&format!("/{member}{}", claim.unwrap_or_default()), claims)
    };
    match error {
        InvalidRule::NothingPinned(_) => Error::at("/claims", error),
        InvalidRule::Claims(claims) => at("claims", claims),
        InvalidRule::Refuse(claims) => at("refuse", claims),
    }
}
