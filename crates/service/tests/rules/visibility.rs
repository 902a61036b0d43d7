//! What a request names never widens what its caller sees.

use audit::EventListRequest;
use ids::{PageRequest, PartnerId};
use keys::KeyListRequest;
use orgs::OrgListRequest;
use service::{Caller, Context, Operation, operations};

use crate::kit::{Bench, bench};
use orgs::LocalProvisioner;

const PAGE: PageRequest = PageRequest::new(100, None);

struct Scene {
    bench: Bench<LocalProvisioner>,
    key: keys::PlainKey,
    own: PartnerId,
    other: PartnerId,
}

impl Scene {
    /// Two partners, each with a key and an org.
    async fn new() -> Self {
        let bench = bench().await;
        let ((_, key), (_, stranger)) = (bench.key(None).await, bench.key(None).await);
        bench.create_org(&key, "own-corp").await.unwrap();
        bench.create_org(&stranger, "other-corp").await.unwrap();
        let own = partner_of(&bench, &key).await;
        let other = partner_of(&bench, &stranger).await;
        Self {
            bench,
            key,
            own,
            other,
        }
    }

    async fn context(&self, operation: Operation) -> Context {
        self.bench.authenticate(&self.key, operation).await.unwrap()
    }

    async fn org_slugs(&self, partner_id: Option<PartnerId>) -> Vec<String> {
        let context = self.context(operations::ORG_LIST).await;
        let request = OrgListRequest {
            partner_id,
            ..OrgListRequest::default()
        };
        let list = self.bench.service.org_list(&context, request, PAGE).await;
        let orgs = list.unwrap().value.items;
        orgs.iter().map(|org| org.slug.to_string()).collect()
    }

    async fn event_partners(&self, partner_id: Option<PartnerId>) -> Vec<PartnerId> {
        let context = self.context(operations::AUDIT_LIST).await;
        let request = EventListRequest {
            partner_id,
            ..EventListRequest::default()
        };
        let list = self.bench.service.audit_list(&context, request, PAGE).await;
        let events = list.unwrap().value.items;
        let partners = events.iter().filter_map(|event| event.actor.partner_id());
        partners.collect()
    }

    async fn key_partners(&self, partner_id: Option<PartnerId>) -> Vec<PartnerId> {
        let context = self.context(operations::KEY_LIST).await;
        let request = KeyListRequest {
            partner_id,
            ..KeyListRequest::default()
        };
        let list = self.bench.service.key_list(&context, request, PAGE).await;
        let keys = list.unwrap().value.items;
        keys.iter().map(|key| key.partner_id).collect()
    }
}

async fn partner_of(bench: &Bench<LocalProvisioner>, key: &keys::PlainKey) -> PartnerId {
    let context = bench.authenticate(key, operations::WHOAMI).await.unwrap();
    match context.caller {
        Caller::Partner(held) => held.partner.id,
        Caller::Admin(_) => unreachable!("a partner key"),
    }
}

#[tokio::test]
async fn a_partner_that_names_another_partner_sees_nothing_of_it() {
    let scene = Scene::new().await;
    for asked in [None, Some(scene.own)] {
        assert_eq!(scene.org_slugs(asked).await, ["own-corp"]);
    }
    assert_eq!(scene.org_slugs(Some(scene.other)).await, [""; 0]);

    let events = scene.event_partners(None).await;
    assert!(events.len() > 1 && events.iter().all(|it| *it == scene.own));
    assert_eq!(scene.event_partners(Some(scene.other)).await, []);

    for asked in [None, Some(scene.own), Some(scene.other)] {
        assert_eq!(scene.key_partners(asked).await, [scene.own]);
    }
}
