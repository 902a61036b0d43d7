//! Transactional outbox: messages to a partner's endpoints, written in the transaction of the change that they
//! announce. So no message is about what did not happen, and no change lacks its message.

use api::{DisabledEndpointView, KeyView, LeakedKeyView, OrgView, TestView, message_body};
use ids::{EndpointId, PageRequest, PartnerId};
use keys::{LeakLocation, PartnerKey};
use orgs::Org;
use stores::{StoreError, Transaction};
use time::OffsetDateTime;
use webhooks::{Delivery, Endpoint, EventKind, MAX_ENDPOINTS};

use crate::Env;

/// Writes messages.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    env: Env,
    login_url: String,
}

impl Outbox {
    pub(crate) const fn new(env: Env, login_url: String) -> Self {
        Self { env, login_url }
    }

    /// Writes the messages about a change of an org.
    pub(crate) fn org<T: Transaction>(
        &self,
        tx: &mut T,
        kind: EventKind,
        org: &Org,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let body = || message_body(kind, now, &OrgView::new(org.clone(), &self.login_url));
        self.write_for_listeners(tx, org.partner_id, kind, body, now)
    }

    /// Writes the messages about changes of many orgs.
    pub(crate) fn orgs<T: Transaction>(
        &self,
        tx: &mut T,
        orgs: &[(EventKind, Org, OffsetDateTime)],
    ) -> Result<(), StoreError> {
        let mut questions = Vec::new();
        for (kind, org, _) in orgs {
            let question = (org.partner_id, *kind);
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
        let listeners = tx.listeners_of(&questions)?;
        for (kind, org, now) in orgs {
            let place = questions
                .iter()
                .position(|question| *question == (org.partner_id, *kind));
            let listeners = place.and_then(|place| listeners.get(place));
            let body = || message_body(*kind, *now, &OrgView::new(org.clone(), &self.login_url));
            let listeners = listeners.map_or(&[][..], Vec::as_slice);
            self.write(tx, listeners, (org.partner_id, *kind), body, *now)?;
        }
        Ok(())
    }

    /// Writes the messages about a change of a key.
    pub(crate) fn key<T: Transaction>(
        &self,
        tx: &mut T,
        kind: EventKind,
        key: &PartnerKey,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let body = || message_body(kind, now, &KeyView::new(key.clone(), now));
        self.write_for_listeners(tx, key.partner_id, kind, body, now)
    }

    /// Writes the messages about a key that has leaked.
    pub(crate) fn leaked_key<T: Transaction>(
        &self,
        tx: &mut T,
        key: &PartnerKey,
        location: &LeakLocation,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let kind = EventKind::KeyLeaked;
        let body = || message_body(kind, now, &LeakedKeyView::new(key.clone(), location, now));
        self.write_for_listeners(tx, key.partner_id, kind, body, now)
    }

    /// Writes one message for each endpoint of the partner that listens to this.
    fn write_for_listeners<T: Transaction>(
        &self,
        tx: &mut T,
        partner: PartnerId,
        kind: EventKind,
        body: impl FnOnce() -> String,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let listeners = tx.listeners(partner, kind)?;
        self.write(tx, &listeners, (partner, kind), body, now)
    }

    fn write<T: Transaction>(
        &self,
        tx: &mut T,
        listeners: &[EndpointId],
        (partner, kind): (PartnerId, EventKind),
        body: impl FnOnce() -> String,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        if listeners.is_empty() {
            return Ok(());
        }
        let body = body();
        for &endpoint in listeners {
            let delivery = self.message((endpoint, partner), kind, body.clone(), now);
            tx.delivery_insert(&delivery)?;
        }
        Ok(())
    }

    /// Writes the messages to a partner's other endpoints about one that the system has disabled, whatever they
    /// listen to.
    pub(crate) fn disabled<T: Transaction>(
        &self,
        tx: &mut T,
        endpoint: &Endpoint,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let partner = endpoint.partner_id;
        let all = PageRequest::new(MAX_ENDPOINTS, None).with_budget(usize::MAX);
        let others = tx.endpoints(partner, all)?.items.into_iter();
        let others: Vec<EndpointId> = others
            .filter(|other| other.id != endpoint.id && other.disabled_at.is_none())
            .map(|other| other.id)
            .collect();
        let kind = EventKind::WebhookDisabled;
        let body = || message_body(kind, now, &DisabledEndpointView::new(endpoint));
        self.write(tx, &others, (partner, kind), body, now)
    }

    /// A test message.
    pub(crate) fn test(&self, endpoint: &Endpoint, now: OffsetDateTime) -> Delivery {
        let ids = (endpoint.id, endpoint.partner_id);
        let data = TestView {
            endpoint_id: endpoint.id,
        };
        let body = message_body(EventKind::Test, now, &data);
        self.message(ids, EventKind::Test, body, now)
    }

    fn message(
        &self,
        ids: (EndpointId, PartnerId),
        kind: EventKind,
        body: String,
        now: OffsetDateTime,
    ) -> Delivery {
        Delivery::new(self.env.id(), ids, kind, body, now)
    }
}
