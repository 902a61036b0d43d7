//! Webhook endpoints: created, changed, tested and deleted by the partner's keys.
//!
//! It owns endpoints and the messages that are written for them. It must not know how messages are sent.

pub(crate) mod outbox;

use audit::{Target, TargetKind};
use ids::{DeliveryId, EndpointId, Page, PageRequest, PartnerId};
use keys::{PepperId, Peppers};
use ratelimit::Limiter;
use stores::{Database, prelude::*};
use time::OffsetDateTime;
use webhooks::{
    AddressPolicy, Delivery, Endpoint, EndpointChanges, EndpointDraft, MAX_ENDPOINTS,
    SECRET_OVERLAP, SealedSecrets, WebhookSecret,
};

use crate::{
    Audited, Caller, Context, Env, Error, Rejection, Rendered, Service, audited::Auditable,
    partners::changed,
};

/// How many messages are given up together with their endpoint.
const GIVE_UP_BATCH: usize = 200;
/// How many messages one request has sent once more at the most.
const MAX_REDELIVERED: usize = 1000;
/// The last error of a delivery that was given up with a pause.
const PAUSED: &str =
    "given up: the endpoint was paused; enable it, then ask for what it needs again";

/// The partner that the caller acts for.
fn partner(caller: &Caller) -> Result<PartnerId, Error> {
    match caller {
        Caller::Partner(held) => Ok(held.partner.id),
        Caller::Admin(_) => Err(Error::NotPermitted(
            "webhook endpoints are managed with a partner key",
        )),
    }
}

fn target(id: EndpointId) -> Target {
    Target::one(TargetKind::WebhookEndpoint, id)
}

/// What a secret is sealed together with, so that it can't be moved to another endpoint's row.
pub(crate) fn bound(id: EndpointId) -> String {
    format!("webhook secret of {id}")
}

fn seal(env: &Env, peppers: &Peppers, id: EndpointId, secret: &WebhookSecret) -> Vec<u8> {
    env.seal(peppers, secret.as_bytes(), bound(id).as_bytes())
}

/// The pepper under which a secret of an endpoint was sealed; `None` when it is none of these.
#[must_use]
pub fn webhook_secret_pepper(peppers: &Peppers, id: EndpointId, sealed: &[u8]) -> Option<PepperId> {
    peppers.sealed_under(sealed, bound(id).as_bytes())
}

/// Opens a secret of an endpoint; `None` when the pepper under which it was sealed is gone.
pub(crate) fn open(peppers: &Peppers, id: EndpointId, sealed: &[u8]) -> Option<WebhookSecret> {
    let bytes = peppers.open(sealed, bound(id).as_bytes())?;
    WebhookSecret::from_bytes(bytes.as_slice()).ok()
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Which URLs an endpoint may have.
    #[must_use]
    pub const fn webhook_address_policy(&self) -> AddressPolicy {
        self.settings.webhook_address_policy
    }

    /// Creates an endpoint. The secret is given to `render` alone.
    ///
    /// # Errors
    /// When the partner has the most endpoints that it may have.
    pub async fn webhook_create(
        &self,
        context: &Context,
        draft: EndpointDraft,
        render: impl Fn(&Endpoint, &WebhookSecret) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let (id, now): (EndpointId, _) = (self.env.id(), context.request.at);
        let secret = self.env.webhook_secret();
        let secrets = SealedSecrets {
            current: seal(&self.env, &self.settings.peppers, id, &secret),
            old: None,
            older: Vec::new(),
        };
        let render = move |endpoint: &Endpoint| render(endpoint, &secret);
        self.idempotent_write(context, None, render, move |tx, caller| {
            let partner = partner(caller)?;
            // The partner's row is locked from here on, so that two requests can't pass together.
            tx.partner_for_update(partner)?.ok_or(Error::NotFound)?;
            // All are counted, whatever that costs.
            let all = PageRequest::new(MAX_ENDPOINTS, None).with_budget(usize::MAX);
            if tx.endpoints(partner, all)?.items.len() >= MAX_ENDPOINTS {
                return Err(Error::at(
                    "",
                    format!("the partner has {MAX_ENDPOINTS} endpoints, the most there can be; delete one"),
                ));
            }
            let endpoint = Endpoint {
                id,
                partner_id: partner,
                url: draft.url.clone(),
                events: draft.events.clone(),
                created_at: now,
                old_secret_until: None,
                disabled_at: None,
                disabled_reason: None,
                failures: None,
            };
            tx.endpoint_insert(&endpoint, &secrets)?;
            // The rest of the URL may be a secret of the receiver's.
            let host = endpoint.url.parts().host_str().unwrap_or_default();
            Ok(Auditable::new(201, endpoint.clone())
                .target(target(id))
                .detail("host", host)
                .detail("events", endpoint.events.names()))
        })
        .await
    }

    /// Lists the partner's endpoints.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn webhook_list(
        &self,
        context: &Context,
        page: PageRequest,
    ) -> Result<Audited<Page<Endpoint>>, Rejection> {
        let partner = partner(&context.caller);
        self.audited_list(context, move |view| {
            Ok(Auditable::new(200, view.endpoints(partner?, page)?))
        })
        .await
    }

    /// Reads an endpoint.
    ///
    /// # Errors
    /// When the partner has none of this id.
    pub async fn webhook_read(
        &self,
        context: &Context,
        id: EndpointId,
    ) -> Result<Audited<Endpoint>, Rejection> {
        let partner = partner(&context.caller);
        self.audited_read(context, move |view| {
            let endpoint = view.endpoint(partner?, id)?;
            Ok(Auditable::new(200, endpoint.ok_or(Error::NotFound)?))
        })
        .await
    }

    /// Changes an endpoint. While it is disabled nothing is sent to it, and what was pending is given up.
    ///
    /// # Errors
    /// When the partner has none of this id.
    pub async fn webhook_update(
        &self,
        context: &Context,
        id: EndpointId,
        changes: EndpointChanges,
    ) -> Result<Audited<Endpoint>, Rejection> {
        let now = context.request.at;
        let answer = self
            .audited_write(context, move |tx, caller| {
                let (before, secrets) = tx
                    .endpoint_for_update(partner(caller)?, id)?
                    .ok_or(Error::NotFound)?;
                let mut endpoint = before.clone();
                endpoint.apply(changes.clone(), now);
                if endpoint != before {
                    tx.endpoint_update(&endpoint, &secrets)?;
                }
                if before.disabled_at.is_none() && endpoint.disabled_at.is_some() {
                    // What is left of a long backlog is given up by the deliverer.
                    tx.deliveries_give_up(id, (now, Some(PAUSED)), GIVE_UP_BATCH)?;
                }
                let changed = changed(&[
                    ("url", before.url != endpoint.url),
                    ("events", before.events != endpoint.events),
                    (
                        "enabled",
                        before.disabled_reason != endpoint.disabled_reason,
                    ),
                ]);
                let host = endpoint
                    .url
                    .parts()
                    .host_str()
                    .unwrap_or_default()
                    .to_owned();
                let status = endpoint.status();
                Ok(Auditable::new(200, endpoint)
                    .detail("changed", changed)
                    .detail("host", host)
                    .detail("status", status))
            })
            .await;
        self.outgoing.notify_one();
        answer
    }

    /// Deletes an endpoint; its pending deliveries are given up.
    ///
    /// # Errors
    /// When the partner has none of this id.
    pub async fn webhook_delete(
        &self,
        context: &Context,
        id: EndpointId,
    ) -> Result<Audited<()>, Rejection> {
        let now = context.request.at;
        self.audited_write(context, move |tx, caller| {
            if !tx.endpoint_delete(partner(caller)?, id, now)? {
                return Err(Error::NotFound);
            }
            // What is left of a long backlog is deleted in the background.
            tx.deliveries_give_up(id, (now, None), GIVE_UP_BATCH)?;
            Ok(Auditable::new(204, ()))
        })
        .await
    }

    /// Gives an endpoint a new secret; the one before signs beside it for a day, and so do those before that to
    /// the end of their days. The secret is given to `render` alone.
    ///
    /// # Errors
    /// When the partner has none of this id.
    pub async fn webhook_rotate(
        &self,
        context: &Context,
        id: EndpointId,
        render: impl Fn(&Endpoint, &WebhookSecret) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let now = context.request.at;
        let secret = self.env.webhook_secret();
        let sealed = seal(&self.env, &self.settings.peppers, id, &secret);
        let render = move |endpoint: &Endpoint| render(endpoint, &secret);
        self.idempotent_write(context, None, render, move |tx, caller| {
            let (mut endpoint, before) = tx
                .endpoint_for_update(partner(caller)?, id)?
                .ok_or(Error::NotFound)?;
            let secrets = before.rotated(sealed.clone(), endpoint.old_secret_until, now);
            endpoint.old_secret_until = Some(now + SECRET_OVERLAP);
            tx.endpoint_update(&endpoint, &secrets)?;
            Ok(Auditable::new(200, endpoint))
        })
        .await
    }

    /// Sends a test message.
    ///
    /// # Errors
    /// When the partner has no endpoint of this id.
    pub async fn webhook_test(
        &self,
        context: &Context,
        id: EndpointId,
        render: impl Fn(&Delivery) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let (now, outbox) = (context.request.at, self.outbox.clone());
        let answer = self
            .idempotent_write(context, None, render, move |tx, caller| {
                let (endpoint, _) = tx
                    .endpoint_for_update(partner(caller)?, id)?
                    .ok_or(Error::NotFound)?;
                let delivery = outbox.test(&endpoint, now);
                tx.delivery_insert(&delivery)?;
                let delivery_id = delivery.id.to_string();
                Ok(Auditable::new(200, delivery).detail("delivery_id", delivery_id))
            })
            .await;
        self.outgoing.notify_one();
        answer
    }

    /// Lists the deliveries to an endpoint.
    ///
    /// # Errors
    /// When the partner has no endpoint of this id.
    pub async fn delivery_list(
        &self,
        context: &Context,
        id: EndpointId,
        page: PageRequest,
    ) -> Result<Audited<Page<Delivery>>, Rejection> {
        let partner = partner(&context.caller);
        self.audited_list(context, move |view| {
            let partner = partner?;
            view.endpoint(partner, id)?.ok_or(Error::NotFound)?;
            Ok(Auditable::new(200, view.deliveries((partner, id), page)?))
        })
        .await
    }

    /// Has a message sent once more.
    ///
    /// # Errors
    /// When the partner has no endpoint of this id, or there is no such delivery to it.
    pub async fn delivery_redeliver(
        &self,
        context: &Context,
        id: EndpointId,
        delivery: DeliveryId,
        render: impl Fn(&Delivery) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let now = context.request.at;
        let answer = self
            .idempotent_write(context, None, render, move |tx, caller| {
                let partner = partner(caller)?;
                // The endpoint's row is held, so that no worker writes beside this.
                tx.endpoint_for_update(partner, id)?
                    .ok_or(Error::NotFound)?;
                let found = tx.delivery((partner, id), delivery)?;
                let mut found = found.ok_or(Error::NotFound)?;
                found.again(now);
                tx.delivery_update(&found)?;
                Ok(Auditable::new(200, found).detail("delivery_id", delivery.to_string()))
            })
            .await;
        self.outgoing.notify_one();
        answer
    }

    /// Has up to a thousand failed messages sent once more, those created from a time on and before another, the
    /// first created first; how many.
    ///
    /// # Errors
    /// When the partner has no endpoint of this id.
    pub async fn deliveries_redeliver(
        &self,
        context: &Context,
        id: EndpointId,
        created: (OffsetDateTime, Option<OffsetDateTime>),
        render: impl Fn(&usize) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let now = context.request.at;
        let answer = self
            .idempotent_write(context, None, render, move |tx, caller| {
                // The endpoint's row is held, so that no worker writes beside this.
                tx.endpoint_for_update(partner(caller)?, id)?
                    .ok_or(Error::NotFound)?;
                let count = tx.deliveries_redeliver(id, created, now, MAX_REDELIVERED)?;
                Ok(Auditable::new(202, count).detail("count", count))
            })
            .await;
        self.outgoing.notify_one();
        answer
    }
}
