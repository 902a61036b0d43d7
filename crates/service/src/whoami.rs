//! What a credential can ask about itself.

use std::sync::Arc;

use ratelimit::Limiter;
use stores::{Database, prelude::*};

use crate::{Audited, Caller, Context, Rejection, Service, audited::Auditable};

/// How many orgs there may be, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose orgs are counted: `partner_orgs` or `key_live_orgs`.
    pub name: &'static str,
    /// How many there may be.
    pub limit: u64,
    /// How many there are.
    pub used: u64,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// The caller's own credential and its quotas; its limits are in the context.
    ///
    /// A key that acts within one org creates none, and does not learn how many its partner has.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn whoami(
        &self,
        context: &Context,
    ) -> Result<Audited<(Caller, Vec<Quota>)>, Rejection> {
        let caller = context.caller.clone();
        let counted = match &caller {
            Caller::Partner(held)
                if held.key.org_id.is_none()
                    && (held.partner.max_orgs.is_some() || held.key.max_live_orgs.is_some()) =>
            {
                Some(Arc::clone(held))
            }
            Caller::Partner(_) | Caller::Admin(_) => None,
        };
        let Some(held) = counted else {
            let answer = Auditable::new(200, (caller, Vec::new()));
            return self.audited_value(context, answer).await;
        };
        // Counting takes as long as there are orgs, so it is done within the share that lists have.
        self.audited_list(context, move |view| {
            let mut quotas = Vec::new();
            let mut add = |name, limit, counts: Vec<u64>| {
                let used = counts.into_iter().sum();
                quotas.push(Quota { name, limit, used });
            };
            if let Some(limit) = held.partner.max_orgs {
                add(
                    "partner_orgs",
                    limit,
                    view.live_org_counts(&[held.partner.id])?,
                );
            }
            if let Some(limit) = held.key.max_live_orgs {
                add(
                    "key_live_orgs",
                    limit,
                    view.live_org_counts_of_keys(&[held.key.id])?,
                );
            }
            Ok(Auditable::new(200, (caller, quotas)))
        })
        .await
    }
}
