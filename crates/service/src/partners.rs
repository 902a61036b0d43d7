//! Partners, which only the operator manages.

use audit::{Target, TargetKind};
use ids::{Page, PageRequest, PartnerId};
use keys::{Partner, PartnerChanges, PartnerDraft};
use ratelimit::Limiter;
use stores::{Database, prelude::*};

use crate::{Audited, Context, Error, Rejection, Rendered, Service, audited::Auditable};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Creates a partner.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn partner_create(
        &self,
        context: &Context,
        draft: PartnerDraft,
        render: impl Fn(&Partner) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let partner = draft.into_partner(self.env.id(), context.request.at);
        self.idempotent_write(context, None, render, move |tx, _| {
            tx.partner_insert(&partner)?;
            Ok(Auditable::new(201, partner.clone())
                .target(Target::one(TargetKind::Partner, partner.id))
                .detail("name", partner.name.as_str())
                .detail("plan", partner.plan.as_str()))
        })
        .await
    }

    /// Lists partners.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn partner_list(
        &self,
        context: &Context,
        page: PageRequest,
    ) -> Result<Audited<Page<Partner>>, Rejection> {
        self.audited_list(context, move |view| {
            Ok(Auditable::new(200, view.partners(page)?))
        })
        .await
    }

    /// Reads a partner.
    ///
    /// # Errors
    /// When there is none of this id.
    pub async fn partner_read(
        &self,
        context: &Context,
        id: PartnerId,
    ) -> Result<Audited<Partner>, Rejection> {
        self.audited_read(context, move |view| {
            Ok(Auditable::new(
                200,
                view.partner(id)?.ok_or(Error::NotFound)?,
            ))
        })
        .await
    }

    /// Changes a partner.
    ///
    /// # Errors
    /// When there is none of this id, or it would have too many labels.
    pub async fn partner_update(
        &self,
        context: &Context,
        id: PartnerId,
        changes: PartnerChanges,
    ) -> Result<Audited<Partner>, Rejection> {
        let answer = self
            .audited_write(context, move |tx, _| {
                let mut partner = tx.partner_for_update(id)?.ok_or(Error::NotFound)?;
                let before = partner.clone();
                partner
                    .apply(changes.clone())
                    .map_err(|error| Error::at("/labels", error))?;
                tx.partner_update(&partner)?;
                let changed = changed(&[
                    ("name", before.name != partner.name),
                    ("plan", before.plan != partner.plan),
                    ("rate_limit", before.rate_limit != partner.rate_limit),
                    ("max_orgs", before.max_orgs != partner.max_orgs),
                    ("labels", before.labels != partner.labels),
                ]);
                Ok(Auditable::new(200, partner).detail("changed", changed))
            })
            .await;
        self.apply_key_changes().await;
        answer
    }
}

/// The names of the members that have changed.
pub(crate) fn changed(members: &[(&str, bool)]) -> Vec<String> {
    members
        .iter()
        .filter(|member| member.1)
        .map(|member| member.0.to_owned())
        .collect()
}
