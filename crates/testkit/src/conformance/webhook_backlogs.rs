//! Backlogs that are too long, and what a clock set back has put off.

use ids::{EndpointId, TypedId as _};
use stores::{Database, prelude::*};
use webhooks::DeliveryStatus;

use super::{
    fixture::{Fixture, at, ids_of},
    webhook_work::{holds, lease, token},
};

/// The longest due ones; they say why, and what has ended stays as it ended.
pub async fn what_overflows_is_given_up_with_its_reason<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    let mut pending = Vec::new();
    for due in [30, 10, 20] {
        pending.push(fixture.delivery(&endpoint, due).await);
    }
    let id = endpoint.id;
    let count = |limit| fixture.read(move |view| view.pending_count(id, limit));
    assert_eq!((count(2).await, count(9).await), (2, 3));
    let why = (at(40), Some("too many"));
    let given_up = fixture.write(move |tx| tx.deliveries_give_up(id, why, 2));
    assert_eq!(given_up.await, 2);
    assert_eq!(count(9).await, 1);
    let [kept, first, second] = pending.as_slice() else {
        panic!("three deliveries");
    };
    for one in [first, second] {
        let actual = fixture.stored_delivery(one).await.unwrap();
        let answer = actual.last_answer.unwrap();
        assert_eq!(actual.status, DeliveryStatus::Failed);
        assert_eq!(
            (answer.at, answer.error.as_deref()),
            (at(40), Some("too many"))
        );
        assert_eq!((answer.status_code, answer.excerpt), (None, None));
    }
    assert_eq!(fixture.stored_delivery(kept).await.as_ref(), Some(kept));
}

/// Page by page, by time and id.
pub async fn what_is_due_ahead_of_a_time_can_be_hastened<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    let mut all = Vec::new();
    for due in [500, 5, 700, 500] {
        all.push(fixture.delivery(&endpoint, due).await);
    }
    let [a500, early, c700, b500] = all.as_slice() else {
        panic!("four deliveries");
    };
    let ahead = |after, limit| fixture.read(move |view| view.deliveries_due_after(after, limit));
    let first = ahead((at(5), early.id), 2).await;
    assert_eq!(ids_of(&first, |it| it.id), [a500.id, b500.id]);
    let next = ahead((at(500), a500.id), 9).await;
    assert_eq!(ids_of(&next, |it| it.id), [b500.id, c700.id]);
    assert!(next.iter().all(|it| it.tries == a500.tries));
    let hastened = [c700.id, a500.id];
    fixture
        .write(move |tx| tx.deliveries_make_due(&hastened, at(6)))
        .await;
    assert_eq!(
        fixture.stored_delivery(c700).await.unwrap().due_at,
        Some(at(6))
    );
    assert_eq!(
        fixture.stored_delivery(b500).await.unwrap().due_at,
        Some(at(500))
    );

    let token = token(&fixture);
    assert_eq!(lease(&fixture, 10, token, 900).await, [endpoint.id]);
    let shorten = |later| fixture.write(move |tx| tx.endpoint_leases_shorten(at(later), at(11), 9));
    assert_eq!(
        (shorten(900).await, shorten(899).await, shorten(20).await),
        (0, 1, 0)
    );
    assert!(
        holds(&fixture, &endpoint, token).await,
        "until another takes it"
    );
    let other = fixture.build.id::<EndpointId>().ulid();
    assert_eq!(lease(&fixture, 11, other, 90).await, [endpoint.id]);
}
