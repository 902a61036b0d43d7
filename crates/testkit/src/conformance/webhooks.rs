//! Webhook endpoints and deliveries: kept, seen by their partner alone, changed, listed.

use keys::Partner;
use stores::{Database, prelude::*};
use webhooks::{
    Delivery, DisabledReason, Endpoint, EndpointUrl, EventKind, EventKinds, Failures, OldSecret,
    SealedSecrets,
};

use super::fixture::{Fixture, at};

impl<D: Database> Fixture<D> {
    /// A stored endpoint of a stored partner.
    pub(super) async fn any_endpoint(&self) -> Endpoint {
        let partner = self.partner().await;
        self.endpoint(&partner).await
    }

    /// A stored endpoint.
    pub(super) async fn endpoint(&self, partner: &Partner) -> Endpoint {
        let endpoint = self.build.endpoint(partner);
        self.add_endpoint(&endpoint).await;
        endpoint
    }

    pub(super) async fn add_endpoint(&self, endpoint: &Endpoint) -> SealedSecrets {
        let (endpoint, secrets) = (endpoint.clone(), self.build.sealed_secrets());
        let actual = secrets.clone();
        self.write(move |tx| tx.endpoint_insert(&endpoint, &secrets))
            .await;
        actual
    }

    /// A stored delivery, due so many microseconds after the start.
    pub(super) async fn delivery(&self, endpoint: &Endpoint, due: i64) -> Delivery {
        let delivery = Delivery {
            due_at: Some(at(due)),
            ..self.build.delivery(endpoint)
        };
        self.add_delivery(&delivery).await;
        delivery
    }

    pub(super) async fn add_delivery(&self, delivery: &Delivery) {
        let delivery = delivery.clone();
        self.write(move |tx| tx.delivery_insert(&delivery)).await;
    }

    pub(super) async fn stored_endpoint(&self, endpoint: &Endpoint) -> Option<Endpoint> {
        let (partner, id) = (endpoint.partner_id, endpoint.id);
        self.read(move |view| view.endpoint(partner, id)).await
    }

    pub(super) async fn stored_secrets(&self, endpoint: &Endpoint) -> Option<SealedSecrets> {
        let (partner, id) = (endpoint.partner_id, endpoint.id);
        let actual = self.write(move |tx| tx.endpoint_for_update(partner, id));
        actual.await.map(|(_, secrets)| secrets)
    }

    pub(super) async fn stored_delivery(&self, delivery: &Delivery) -> Option<Delivery> {
        let (to, id) = ((delivery.partner_id, delivery.endpoint_id), delivery.id);
        self.read(move |view| view.delivery(to, id)).await
    }
}

/// Whatever they are.
pub async fn an_endpoint_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let plain = fixture.build.endpoint(&partner);
    let full = Endpoint {
        url: EndpointUrl::stored("http://127.0.0.1:8080/a?b=c").unwrap(),
        events: EventKinds::new([EventKind::OrgReady, EventKind::KeyExpiring]).unwrap(),
        created_at: at(1),
        old_secret_until: Some(at(2)),
        disabled_at: Some(at(3)),
        disabled_reason: Some(DisabledReason::Failing),
        failures: Some(Failures {
            since: at(4),
            attempts: 70_000,
        }),
        ..fixture.build.endpoint(&partner)
    };
    for endpoint in [plain, full] {
        let mut secrets = fixture.build.sealed_secrets();
        secrets.old = endpoint.disabled_at.map(|_| vec![0, 255, 7]);
        secrets.older = Vec::from_iter(endpoint.disabled_at.map(|until| OldSecret {
            sealed: vec![255, 0],
            until,
        }));
        let stored = (endpoint.clone(), secrets.clone());
        fixture
            .write(move |tx| tx.endpoint_insert(&stored.0, &stored.1))
            .await;
        assert_eq!(
            fixture.stored_endpoint(&endpoint).await,
            Some(endpoint.clone())
        );
        assert_eq!(fixture.stored_secrets(&endpoint).await, Some(secrets));
    }
}

/// For reading, for changing, for deleting and in lists.
pub async fn an_endpoint_is_its_partners_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (endpoint, other) = (fixture.any_endpoint().await, fixture.partner().await);
    let theirs = Endpoint {
        partner_id: other.id,
        ..endpoint.clone()
    };
    assert_eq!(fixture.stored_endpoint(&theirs).await, None);
    assert_eq!(fixture.stored_secrets(&theirs).await, None);
    let (partner, id) = (other.id, endpoint.id);
    let deleted = fixture.write(move |tx| tx.endpoint_delete(partner, id, at(1)));
    assert!(!deleted.await);
    assert_eq!(fixture.stored_endpoint(&endpoint).await, Some(endpoint));
    fixture
        .check_pages(
            &[],
            |it: &Endpoint| it.id,
            move |view, page| view.endpoints(partner, page),
        )
        .await;
    let listeners = fixture.read(move |view| view.listeners(partner, EventKind::OrgReady));
    assert_eq!(listeners.await, []);
}

/// Where and about what it is told, when and why it was disabled, until when the old secret signs, and all secrets.
pub async fn an_endpoint_update_writes_its_state_and_secrets_and_nothing_else<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    let changed = Endpoint {
        url: EndpointUrl::stored("https://elsewhere.example/").unwrap(),
        events: EventKinds::new([EventKind::OrgFailed]).unwrap(),
        created_at: at(9),
        old_secret_until: Some(at(5)),
        disabled_at: Some(at(6)),
        disabled_reason: Some(DisabledReason::Paused),
        failures: Some(Failures {
            since: at(7),
            attempts: 1,
        }),
        ..endpoint.clone()
    };
    let secrets = SealedSecrets {
        current: vec![1],
        old: Some(vec![2]),
        older: [(3, 4), (4, 3)]
            .map(|(byte, micros)| OldSecret {
                sealed: vec![byte],
                until: at(micros),
            })
            .to_vec(),
    };
    let write = (changed.clone(), secrets.clone());
    fixture
        .write(move |tx| tx.endpoint_update(&write.0, &write.1))
        .await;
    let expect = Endpoint {
        created_at: endpoint.created_at,
        ..changed
    };
    assert_eq!(
        fixture.stored_endpoint(&endpoint).await.as_ref(),
        Some(&expect)
    );
    assert_eq!(fixture.stored_secrets(&endpoint).await, Some(secrets));
    let without = Endpoint {
        failures: None,
        ..endpoint.clone()
    };
    fixture
        .write(move |tx| tx.endpoint_failures(&without))
        .await;
    let expect = Endpoint {
        failures: None,
        ..expect
    };
    assert_eq!(fixture.stored_endpoint(&endpoint).await, Some(expect));
}

/// Of all partners, but of no deleted endpoint.
pub async fn the_secrets_of_all_endpoints_are_read_page_by_page<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut expect = Vec::new();
    for _ in 0..3 {
        let partner = fixture.partner().await;
        let endpoint = fixture.build.endpoint(&partner);
        expect.push((endpoint.id, fixture.add_endpoint(&endpoint).await));
    }
    let gone = fixture.any_endpoint().await;
    let (partner, id) = (gone.partner_id, gone.id);
    fixture
        .write(move |tx| tx.endpoint_delete(partner, id, at(1)))
        .await;
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = fixture
            .read(move |view| view.sealed_secrets(after, 2))
            .await;
        let Some(&(last, _)) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last);
        read.extend(page);
    }
    assert_eq!(read, expect);
}

/// And it can't be written back.
pub async fn a_deleted_endpoint_is_gone_with_its_secrets<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    let (partner, id) = (endpoint.partner_id, endpoint.id);
    let delete = move |tx: &mut D::Tx| tx.endpoint_delete(partner, id, at(1));
    assert!(fixture.write(delete).await);
    assert!(!fixture.write(delete).await);
    let (stale, secrets) = (endpoint.clone(), fixture.build.sealed_secrets());
    fixture
        .write(move |tx| tx.endpoint_update(&stale, &secrets))
        .await;
    assert_eq!(fixture.stored_endpoint(&endpoint).await, None);
    assert_eq!(fixture.stored_secrets(&endpoint).await, None);
    let listeners = fixture.read(move |view| view.listeners(partner, EventKind::OrgReady));
    assert_eq!(listeners.await, []);
    fixture
        .check_pages(
            &[],
            |it: &Endpoint| it.id,
            move |view, page| view.endpoints(partner, page),
        )
        .await;
}

/// In the order of their making.
pub async fn those_listen_that_asked_for_it_and_are_not_disabled<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (all, second) = (
        fixture.endpoint(&partner).await,
        fixture.endpoint(&partner).await,
    );
    let failed_only = Endpoint {
        events: EventKinds::new([EventKind::OrgFailed]).unwrap(),
        ..fixture.build.endpoint(&partner)
    };
    let disabled = Endpoint {
        disabled_at: Some(at(1)),
        ..fixture.build.endpoint(&partner)
    };
    fixture.add_endpoint(&failed_only).await;
    fixture.add_endpoint(&disabled).await;
    let id = partner.id;
    let listeners = |kind| fixture.read(move |view| view.listeners(id, kind));
    assert_eq!(listeners(EventKind::OrgReady).await, [all.id, second.id]);
    let failed = [all.id, second.id, failed_only.id];
    assert_eq!(listeners(EventKind::OrgFailed).await, failed);
    assert_eq!(listeners(EventKind::Test).await, []);
}

/// One partner's, deleted ones aside.
pub async fn endpoints_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let mut expect = Vec::new();
    for _ in 0..5 {
        expect.insert(0, fixture.endpoint(&partner).await.id);
        fixture.any_endpoint().await;
    }
    let (partner, deleted) = (partner.id, expect.remove(2));
    fixture
        .write(move |tx| tx.endpoint_delete(partner, deleted, at(1)))
        .await;
    fixture
        .check_pages(
            &expect,
            |it: &Endpoint| it.id,
            move |view, page| view.endpoints(partner, page),
        )
        .await;
}

/// With those that still sign, and with nothing else.
pub async fn the_secrets_of_an_endpoint_are_resealed_only_from_what_is_stored<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    let (partner, id) = (endpoint.partner_id, endpoint.id);
    let before = fixture.stored_secrets(&endpoint).await.unwrap();
    let new = SealedSecrets {
        current: b"current".to_vec(),
        old: Some(b"old".to_vec()),
        older: vec![OldSecret {
            sealed: b"older".to_vec(),
            until: at(7),
        }],
    };
    let reseal = |expected: &SealedSecrets| {
        let (expected, new) = (expected.clone(), new.clone());
        fixture.write(move |tx| tx.endpoint_reseal(id, &expected, &new))
    };
    assert!(!reseal(&new).await);
    assert_eq!(
        fixture.stored_secrets(&endpoint).await.as_ref(),
        Some(&before)
    );
    assert!(reseal(&before).await);
    assert_eq!(fixture.stored_secrets(&endpoint).await.as_ref(), Some(&new));
    assert!(!reseal(&before).await);
    assert_eq!(
        fixture.stored_endpoint(&endpoint).await,
        Some(endpoint.clone())
    );
    let delete = move |tx: &mut D::Tx| tx.endpoint_delete(partner, id, at(1));
    assert!(fixture.write(delete).await);
    assert!(!reseal(&new).await);
    assert_eq!(fixture.stored_secrets(&endpoint).await, None);
}
