//! Deliveries of webhooks: kept, seen by their partner alone, changed, listed.

use stores::{Database, prelude::*};
use webhooks::{Delivery, DeliveryStatus, EventKind, LastAnswer};

use super::fixture::{Fixture, at};

/// A delivery in which everything has a value.
fn full(delivery: Delivery) -> Delivery {
    Delivery {
        kind: EventKind::Test,
        body: "{\"name\":\"日本 'quoted'\"}".to_owned(),
        status: DeliveryStatus::Failed,
        attempts: 12,
        tries: 2,
        last_answer: Some(LastAnswer {
            at: at(4),
            status_code: Some(599),
            excerpt: Some("so sorry".to_owned()),
            error: Some("answered 599".to_owned()),
        }),
        due_at: Some(at(5)),
        created_at: at(6),
        delivered_at: Some(at(7)),
        ended_at: Some(at(8)),
        ..delivery
    }
}

/// Whatever they are.
pub async fn a_delivery_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    let plain = fixture.build.delivery(&endpoint);
    let silent = Delivery {
        last_answer: Some(LastAnswer {
            at: at(4),
            status_code: None,
            excerpt: None,
            error: None,
        }),
        status: DeliveryStatus::Delivered,
        due_at: None,
        ..fixture.build.delivery(&endpoint)
    };
    for delivery in [plain, silent, full(fixture.build.delivery(&endpoint))] {
        fixture.add_delivery(&delivery).await;
        assert_eq!(fixture.stored_delivery(&delivery).await, Some(delivery));
    }
}

/// Of a partner's other endpoint it is not seen either.
pub async fn a_delivery_is_its_partners_and_endpoints_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (endpoint, beside) = (
        fixture.endpoint(&partner).await,
        fixture.endpoint(&partner).await,
    );
    let delivery = fixture.delivery(&endpoint, 0).await;
    let other = fixture.partner().await.id;
    for (partner, endpoint) in [(partner.id, beside.id), (other, endpoint.id)] {
        let id = delivery.id;
        let found = fixture.read(move |view| view.delivery((partner, endpoint), id));
        assert_eq!(found.await, None);
        fixture
            .check_pages(
                &[],
                |it: &Delivery| it.id,
                move |view, page| view.deliveries((partner, endpoint), page),
            )
            .await;
    }
}

/// What it says and to whom stays.
pub async fn a_delivery_update_writes_how_it_stands_and_nothing_else<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    let before = fixture.delivery(&endpoint, 0).await;
    let after = full(before.clone());
    let write = after.clone();
    fixture.write(move |tx| tx.delivery_update(&write)).await;
    let expect = Delivery {
        kind: before.kind,
        body: before.body.clone(),
        created_at: before.created_at,
        ..after
    };
    assert_eq!(fixture.stored_delivery(&before).await, Some(expect));
}

/// To one endpoint.
pub async fn deliveries_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (endpoint, beside) = (
        fixture.endpoint(&partner).await,
        fixture.endpoint(&partner).await,
    );
    let mut expect = Vec::new();
    for due in 0..4 {
        expect.insert(0, fixture.delivery(&endpoint, due).await.id);
        fixture.delivery(&beside, due).await;
    }
    let to = (partner.id, endpoint.id);
    fixture
        .check_pages(
            &expect,
            |it: &Delivery| it.id,
            move |view, page| view.deliveries(to, page),
        )
        .await;
}
