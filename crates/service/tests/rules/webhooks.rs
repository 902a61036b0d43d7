//! Messages to partners' endpoints: written with the change, signed, tried again, told once.

mod ends;
mod health;
mod moves;
mod tries;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use ids::{EndpointId, PageRequest, PartnerId};
use keys::{PlainKey, RevocationReason};
use orgs::{LocalProvisioner, Provisioner};
use service::{Rejection, Rendered, operations};
use stores::{Database as _, StoreError, prelude::*};
use time::{Duration, OffsetDateTime};
use webhooks::{
    AddressPolicy, Delivery, Endpoint, EndpointDraft, EndpointUrl, EventKind, EventKinds,
    OutgoingMessage, Received, SendOutcome, Sender, WebhookSecret,
};

use crate::kit::{Bench, bench, org_body};

/// A receiver: it keeps what it gets, and answers as it was told to, then always 200.
#[derive(Default)]
pub struct Receiver {
    got: Mutex<Vec<OutgoingMessage>>,
    answers: Mutex<VecDeque<u16>>,
}

impl Receiver {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn answers(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    fn taken(&self) -> Vec<OutgoingMessage> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}

impl Sender for Receiver {
    async fn send(&self, posting: OutgoingMessage) -> SendOutcome {
        self.got.lock().unwrap().push(posting);
        SendOutcome::Response {
            status_code: self.answers.lock().unwrap().pop_front().unwrap_or(200),
            body: "so be it".to_owned(),
        }
    }
}

/// What a message says it is about.
fn kind(posting: &OutgoingMessage) -> String {
    let body: serde_json::Value = serde_json::from_str(&posting.body).unwrap();
    body.get("type").unwrap().as_str().unwrap().to_owned()
}

#[track_caller]
fn verified(posting: &OutgoingMessage, secret: &WebhookSecret, now: OffsetDateTime) -> bool {
    let received = Received {
        id: &posting.id,
        timestamp: &posting.timestamp,
        signature: &posting.signature,
        body: posting.body.as_bytes(),
    };
    received.verify(secret, now).is_ok()
}

pub type Control = Bench<LocalProvisioner>;

/// A control plane, a key, and an endpoint of its partner that listens to everything.
pub struct Scene {
    pub bench: Control,
    pub key: PlainKey,
    pub endpoint: EndpointId,
    secret: WebhookSecret,
    pub receiver: Arc<Receiver>,
}

impl Scene {
    pub async fn new() -> Self {
        let bench = bench().await;
        let (_, key) = bench.key(None).await;
        let (endpoint, secret) = create(&bench, &key, EventKind::OFFERED).await.unwrap();
        Self {
            bench,
            key,
            endpoint,
            secret,
            receiver: Receiver::new(),
        }
    }

    pub async fn deliver(&self) -> usize {
        let delivered = self.bench.service.deliver_due(&self.receiver).await;
        delivered.unwrap()
    }

    /// An org that is ready, its message not sent yet.
    pub async fn org(&self, slug: &str) -> ids::OrgId {
        let id = self.bench.create_org(&self.key, slug).await.unwrap();
        self.bench.service.reconcile_due().await.unwrap();
        id
    }

    pub async fn partner(&self) -> PartnerId {
        let context = self.bench.authenticate(&self.key, operations::WHOAMI).await;
        context.unwrap().caller.actor().partner_id().unwrap()
    }

    /// All deliveries, the oldest first.
    pub async fn deliveries(&self) -> Vec<Delivery> {
        let (to, page) = ((self.partner().await, self.endpoint), ALL);
        let read = self.bench.db.read(move |view| view.deliveries(to, page));
        let mut found = read.await.map_err(|error: StoreError| error).unwrap().items;
        found.reverse();
        found
    }

    async fn stored(&self) -> Endpoint {
        let (partner, id) = (self.partner().await, self.endpoint);
        let read = self.bench.db.read(move |view| view.endpoint(partner, id));
        read.await
            .map_err(|error: StoreError| error)
            .unwrap()
            .unwrap()
    }
}

const ALL: PageRequest = PageRequest::new(1000, None);

pub async fn create<P: Provisioner>(
    bench: &Bench<P>,
    key: &PlainKey,
    kinds: &[EventKind],
) -> Result<(EndpointId, WebhookSecret), Rejection> {
    let context = bench.authenticate(key, operations::WEBHOOK_CREATE).await?;
    let draft = EndpointDraft {
        url: EndpointUrl::new("https://hooks.example.com/x", AddressPolicy::Public).unwrap(),
        events: EventKinds::new(kinds.iter().copied()).unwrap(),
    };
    let answer = bench.service.webhook_create(&context, draft, shown).await?;
    let (id, secret) = answer.value.body.split_once(' ').unwrap();
    Ok((id.parse().unwrap(), WebhookSecret::parse(secret).unwrap()))
}

fn shown(endpoint: &Endpoint, secret: &WebhookSecret) -> Rendered {
    Rendered::new(format!("{} {}", endpoint.id, secret.expose().as_str()))
}

fn delivery_body(delivery: &Delivery) -> Rendered {
    Rendered::new(delivery.id.to_string())
}

#[tokio::test]
async fn a_partner_gets_messages_of_the_events_that_it_listens_to_alone() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let (_, stranger) = bench.key(None).await;
    let (_, _) = create(bench, &stranger, EventKind::OFFERED).await.unwrap();
    let (narrow, _) = create(bench, &scene.key, &[EventKind::OrgDeleted])
        .await
        .unwrap();

    let org = scene.org("acme-corp").await;
    assert_eq!(scene.deliver().await, 1, "one endpoint alone listens");
    let got = scene.receiver.taken();
    assert_eq!(got.iter().map(kind).collect::<Vec<_>>(), ["org.ready"]);
    let body: serde_json::Value = serde_json::from_str(&got[0].body).unwrap();
    assert_eq!(body["data"]["id"], org.to_string());
    assert_eq!(body["data"]["status"], "ready");
    assert_eq!(
        body["data"]["login_url"],
        "https://app.example/login?org=acme-corp"
    );
    assert!(verified(&got[0], &scene.secret, bench.clock.now()));

    bench.delete_org(&scene.key, org).await;
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(scene.deliver().await, 2);
    let got = scene.receiver.taken();
    assert!(got.iter().all(|posting| kind(posting) == "org.deleted"));
    assert_ne!(got[0].id, got[1].id, "each endpoint has its own delivery");
    assert_ne!(narrow, scene.endpoint);
}

#[tokio::test]
async fn a_refused_change_sends_no_message() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let org = scene.org("acme-corp").await;
    scene.deliver().await;
    scene.receiver.taken();
    let context = bench
        .authenticate(&bench.admin, operations::ORG_RESUME)
        .await
        .unwrap();
    let refused = bench.service.org_resume(&context, org, org_body).await;
    assert!(refused.is_err(), "it is not suspended");
    assert_eq!(scene.deliver().await, 0);
    for (operation, expect) in [
        (operations::ORG_SUSPEND, "org.suspended"),
        (operations::ORG_RESUME, "org.resumed"),
    ] {
        let context = bench.authenticate(&bench.admin, operation).await.unwrap();
        let moved = if expect == "org.suspended" {
            bench.service.org_suspend(&context, org, org_body).await
        } else {
            bench.service.org_resume(&context, org, org_body).await
        };
        moved.unwrap();
        scene.deliver().await;
        let got = scene.receiver.taken();
        assert_eq!(got.iter().map(kind).collect::<Vec<_>>(), [expect]);
    }
}

/// The receiver can change over at any time within the day.
#[tokio::test]
async fn for_a_day_after_a_rotation_both_secrets_sign() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let context = bench
        .authenticate(&scene.key, operations::WEBHOOK_ROTATE)
        .await
        .unwrap();
    let answer = bench
        .service
        .webhook_rotate(&context, scene.endpoint, shown)
        .await;
    let body = answer.unwrap().value.body;
    let new = WebhookSecret::parse(body.split_once(' ').unwrap().1).unwrap();
    assert_ne!(new.as_bytes(), scene.secret.as_bytes());

    for (after, old_signs) in [
        (Duration::ZERO, true),
        (Duration::hours(24) - Duration::SECOND, true),
        (Duration::SECOND, false),
    ] {
        bench.clock.advance(after);
        let now = bench.clock.now();
        scene.org(&format!("acme-{}", now.unix_timestamp())).await;
        scene.deliver().await;
        let posting = scene.receiver.taken().remove(0);
        assert!(verified(&posting, &new, now));
        assert_eq!(verified(&posting, &scene.secret, now), old_signs, "{after}");
        assert_eq!(
            posting.signature.split(' ').count(),
            if old_signs { 2 } else { 1 }
        );
    }
}

#[tokio::test]
async fn a_revoked_key_is_announced_once() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let context = bench
        .authenticate(&scene.key, operations::WHOAMI)
        .await
        .unwrap();
    let audit::Actor::PartnerKey { id, .. } = context.caller.actor() else {
        panic!("a partner key");
    };
    for _ in 0..2 {
        let context = bench
            .authenticate(&bench.admin, operations::KEY_REVOKE)
            .await
            .unwrap();
        bench
            .service
            .key_revoke(&context, id, RevocationReason::Superseded)
            .await
            .unwrap();
    }
    scene.deliver().await;
    let got = scene.receiver.taken();
    assert_eq!(got.iter().map(kind).collect::<Vec<_>>(), ["key.revoked"]);
    let body: serde_json::Value = serde_json::from_str(&got[0].body).unwrap();
    assert_eq!(body["data"]["status"], "revoked");
    assert_eq!(body["data"]["revocation_reason"], "superseded");
}
