//! Partner keys: issued, changed and revoked by the operator. A key lists its partner's and revokes itself.

mod replay;
mod revoke;
pub(crate) mod rotate;

use audit::{Target, TargetKind};
use ids::{KeyId, OrgId, Page, PageRequest, PlanName};
use keys::{
    Change, KeyChanges, KeyDraft, KeyFilter, KeyKind, KeyListRequest, Partner, PartnerDraft,
    PartnerKey, PlainKey,
};
use orgs::{OrgStatus, OrgVisibility, PlanCatalogue};
use ratelimit::Limiter;
use scopes::{Scope, ScopeSet};
use stores::{Database, IssuedSecret, Transaction, prelude::*};
use time::OffsetDateTime;

pub use self::{
    replay::{ReplayedEnd, ReplayedRevocation, key_revoke_replay, key_secret_end_replay},
    revoke::RevocationReceipt,
};
use crate::{
    Audited, Caller, Context, Error, Rejection, Rendered, Service, audited::Auditable,
    partners::changed,
};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Issues a key. Without a partner and an org it gets a partner of its own. The secret is given to `render`
    /// alone.
    ///
    /// # Errors
    /// When the partner or the org does not exist, or the partner's plan does not include keys.
    pub async fn key_create(
        &self,
        context: &Context,
        draft: KeyDraft,
        render: impl Fn(&PartnerKey, &PlainKey) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        if let Some(error) = unknown_plan(draft.org_plans.as_deref(), &self.settings.plans) {
            return Err(self.reject(context, error).await);
        }
        let Caller::Admin(admin) = &context.caller else {
            let error = Error::NotPermitted("only an admin key issues keys");
            return Err(self.reject(context, error).await);
        };
        if draft.org_id.is_some()
            && let Some(error) = unbound_scope(&draft.scopes)
        {
            return Err(self.reject(context, error).await);
        }
        let now = context.request.at;
        let pointer = if draft.expires_in_days {
            "/expires_in_days"
        } else {
            "/expires_at"
        };
        let expires_at = match self.within_lifetime(draft.expires_at, now) {
            Ok(end) => end,
            Err(detail) => return Err(self.reject(context, Error::at(pointer, detail)).await),
        };
        let secret = self.env.key(KeyKind::Partner);
        let digest = self.settings.peppers.digest(&secret);
        let own = PartnerDraft::for_one_key(draft.name.clone()).into_partner(self.env.id(), now);
        let key = PartnerKey {
            id: self.env.id(),
            partner_id: own.id,
            name: draft.name,
            scopes: draft.scopes,
            org_id: draft.org_id,
            org_plans: draft.org_plans,
            allowed_cidrs: draft.allowed_cidrs,
            rate_limit: draft.rate_limit,
            expires_at,
            max_live_orgs: draft.max_live_orgs,
            max_ttl_seconds: draft.max_ttl_seconds,
            on_revoke: draft.on_revoke,
            on_leak: draft.on_leak,
            disabled: false,
            labels: draft.labels,
            key_prefix: secret.display_prefix().to_owned(),
            created_at: now,
            created_by: admin.id.into(),
            last_used_at: None,
            revoked_at: None,
            revocation_reason: None,
            rotation: None,
        };
        let named = draft.partner_id;
        let render = move |key: &PartnerKey| render(key, &secret);
        self.idempotent_write(context, Some(issued_secret), render, move |tx, _| {
            let mut key = key.clone();
            let partner = match (named, key.org_id) {
                (None, None) => {
                    tx.partner_insert(&own)?;
                    own.clone()
                }
                (Some(id), None) => tx
                    .partner(id)?
                    .ok_or_else(|| Error::at("/partner_id", "there is no such partner"))?,
                (named, Some(org)) => org_partner(tx, org)?
                    .filter(|partner| named.is_none_or(|id| id == partner.id))
                    .ok_or_else(|| {
                        Error::at(
                            "/org_id",
                            "there is no such org, or it is another partner's",
                        )
                    })?,
            };
            if !partner.plan.includes_keys() {
                return Err(Error::PartnerPlanRequired);
            }
            key.partner_id = partner.id;
            tx.key_insert(&key, &digest)?;
            Ok(Auditable::new(201, key.clone())
                .target(Target::one(TargetKind::PartnerKey, key.id))
                .detail("name", key.name.as_str())
                .detail("partner_id", partner.id.to_string())
                .detail("scopes", key.scopes.to_string()))
        })
        .await
    }

    /// Lists the keys that the caller may see: for the operator all, for a key its partner's, for a key bound
    /// to an org itself.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn key_list(
        &self,
        context: &Context,
        request: KeyListRequest,
        page: PageRequest,
    ) -> Result<Audited<Page<PartnerKey>>, Rejection> {
        let (partner_id, id) = match &context.caller {
            Caller::Admin(_) => (request.partner_id, None),
            Caller::Partner(held) => (Some(held.partner.id), held.key.org_id.map(|_| held.key.id)),
        };
        let filter = KeyFilter {
            partner_id,
            id,
            status: request.status,
            expires_before: request.expires_before,
            unused_since: request.unused_since,
            listed_at: Some(context.request.at),
        };
        self.audited_list(context, move |view| {
            Ok(Auditable::new(200, view.keys(&filter, page)?))
        })
        .await
    }

    /// Reads a key: the operator any, a key itself alone.
    ///
    /// # Errors
    /// When there is none of this id, or the caller may not read it.
    pub async fn key_read(
        &self,
        context: &Context,
        id: KeyId,
    ) -> Result<Audited<PartnerKey>, Rejection> {
        let caller = context.caller.clone();
        self.audited_read(context, move |view| {
            let held = view.key(id)?.ok_or(Error::NotFound)?;
            check_own_key(&caller, &held.key)?;
            Ok(Auditable::new(200, held.key))
        })
        .await
    }

    /// Changes a key that is not revoked.
    ///
    /// # Errors
    /// When there is none of this id, it is revoked, or a value does not fit.
    pub async fn key_update(
        &self,
        context: &Context,
        id: KeyId,
        changes: KeyChanges,
    ) -> Result<Audited<PartnerKey>, Rejection> {
        let plans = match &changes.org_plans {
            Change::Set(plans) => Some(plans.as_slice()),
            Change::Keep | Change::Clear => None,
        };
        if let Some(error) = unknown_plan(plans, &self.settings.plans) {
            return Err(self.reject(context, error).await);
        }
        let now = context.request.at;
        let asked_end = match changes.expires_at {
            Change::Set(end) => Some(end),
            Change::Keep | Change::Clear => None,
        };
        let longest = match self.within_lifetime(asked_end, now) {
            Ok(end) => end,
            Err(detail) => {
                let error = Error::at("/expires_at", detail);
                return Err(self.reject(context, error).await);
            }
        };
        let answer = self
            .audited_write(context, move |tx, _| {
                let before = tx.key_for_update(id)?.ok_or(Error::NotFound)?.key;
                if before.revoked_at.is_some() {
                    return Err(Error::KeyState);
                }
                let mut key = before.clone();
                key.apply(changes.clone())
                    .map_err(|error| Error::at("/labels", error))?;
                if key.org_id.is_some()
                    && let Some(error) = unbound_scope(&key.scopes)
                {
                    return Err(error);
                }
                if key.created_by.is_rule() && ends_later(&key, &before) {
                    return Err(Error::at(
                        "/expires_at",
                        "can only be earlier for a key that a trust rule has made; exchange another token",
                    ));
                }
                // A key without an end may be from before there was a longest lifetime.
                key.expires_at = key.expires_at.or(longest);
                tx.key_update(&key)?;
                let changed = changed(&[
                    ("name", before.name != key.name),
                    ("scopes", before.scopes != key.scopes),
                    ("org_plans", before.org_plans != key.org_plans),
                    ("allowed_cidrs", before.allowed_cidrs != key.allowed_cidrs),
                    ("rate_limit", before.rate_limit != key.rate_limit),
                    ("expires_at", before.expires_at != key.expires_at),
                    ("max_live_orgs", before.max_live_orgs != key.max_live_orgs),
                    (
                        "max_ttl_seconds",
                        before.max_ttl_seconds != key.max_ttl_seconds,
                    ),
                    ("on_revoke", before.on_revoke != key.on_revoke),
                    ("on_leak", before.on_leak != key.on_leak),
                    ("disabled", before.disabled != key.disabled),
                    ("labels", before.labels != key.labels),
                ]);
                Ok(Auditable::new(200, key).detail("changed", changed))
            })
            .await;
        self.apply_key_changes().await;
        answer
    }
}

/// Whether a key that has an end would end later, or never.
fn ends_later(key: &PartnerKey, before: &PartnerKey) -> bool {
    let end = before.expires_at;
    end.is_some_and(|before| key.expires_at.is_none_or(|end| end > before))
}

impl<D, L, P> Service<D, L, P> {
    /// The end of a key that is asked for, or the latest that there may be where none is; why it can't be.
    fn within_lifetime(
        &self,
        end: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, String> {
        let Some(longest) = self.settings.max_key_lifetime else {
            return Ok(end);
        };
        let latest = now.checked_add(longest).unwrap_or(now);
        match end {
            Some(end) if end > latest => Err(format!(
                "is later than the operator allows; a key lives {} days at the most",
                longest.whole_days()
            )),
            Some(end) => Ok(Some(end)),
            None => Ok(Some(latest)),
        }
    }
}

/// The newest secret of a key, which a response shows.
fn issued_secret(key: &PartnerKey) -> IssuedSecret {
    IssuedSecret {
        key: key.id,
        created_at: key.secret_created_at(),
    }
}

/// A partner key may read, rotate and revoke itself alone: another of its partner's is not permitted, one of another partner
/// does not exist for it.
fn check_own_key(caller: &Caller, key: &PartnerKey) -> Result<(), Error> {
    match caller {
        Caller::Admin(_) => Ok(()),
        Caller::Partner(held) if held.key.id == key.id => Ok(()),
        Caller::Partner(held) if held.partner.id == key.partner_id => Err(Error::NotPermitted(
            "a partner key can read, rotate and revoke itself alone; ask an admin",
        )),
        Caller::Partner(_) => Err(Error::NotFound),
    }
}

fn org_partner<T: Transaction>(tx: &mut T, id: OrgId) -> Result<Option<Partner>, Error> {
    let org = tx
        .org(OrgVisibility::All, id)?
        .filter(|org| org.status != OrgStatus::Deleted);
    Ok(match org {
        Some(org) => tx.partner(org.partner_id)?,
        None => None,
    })
}

/// A key that is bound to an org can't have the scopes that are about the partner as a whole.
fn unbound_scope(scopes: &ScopeSet) -> Option<Error> {
    let scope = Scope::WebhooksManage;
    scopes.contains(scope).then(|| {
        let detail = format!("a key that is bound to an org can't have {scope}");
        Error::at("/scopes", detail)
    })
}

pub(crate) fn unknown_plan(plans: Option<&[PlanName]>, catalogue: &PlanCatalogue) -> Option<Error> {
    let position = plans?.iter().position(|plan| !catalogue.contains(plan))?;
    Some(Error::at(
        &format!("/org_plans/{position}"),
        format!("the plans are {catalogue}"),
    ))
}
