//! The deliverer's work: leases of endpoints, what is due, what is given up and forgotten.

use std::collections::BTreeSet;

use ids::{EndpointId, TypedId as _, Ulid};
use stores::{Database, StoreError, prelude::*};
use time::OffsetDateTime;
use webhooks::{Backlog, Delivery, DeliveryStatus, Endpoint, Lease, PendingEndpoint};

use super::fixture::{Fixture, at, at_once, ids_of};

pub(super) fn token<D: Database>(fixture: &Fixture<D>) -> Ulid {
    fixture.build.id::<EndpointId>().ulid()
}

/// Leases those of all endpoints with something due that are free, at a time, with a token, until a time;
/// all times in microseconds after the start. They are told by partner and id.
pub(super) async fn lease<D: Database>(
    fixture: &Fixture<D>,
    now: i64,
    token: Ulid,
    until: i64,
) -> Vec<EndpointId> {
    let until = at(until);
    let taken = fixture.write(move |tx| {
        let pending = tx.endpoints_pending(at(now), None, 100)?.endpoints;
        let due = pending.into_iter().filter(|it| it.due_at <= at(now));
        let due: Vec<EndpointId> = due.map(|it| it.id).collect();
        tx.endpoints_lease(&due, at(now), Lease { token, until })
    });
    taken.await
}

pub(super) async fn holds<D: Database>(
    fixture: &Fixture<D>,
    endpoint: &Endpoint,
    token: Ulid,
) -> bool {
    let id = endpoint.id;
    let held = fixture
        .write(move |tx| tx.endpoint_leased_for_update(id, token))
        .await;
    let seen = fixture
        .read(move |view| view.endpoint_leased(id, token))
        .await;
    assert_eq!(held, seen);
    if let Some((actual, secrets)) = &held {
        assert_eq!(actual, endpoint);
        assert_eq!(
            fixture.stored_secrets(endpoint).await.as_ref(),
            Some(secrets)
        );
    }
    held.is_some()
}

async fn next_due<D: Database>(fixture: &Fixture<D>) -> Option<OffsetDateTime> {
    fixture.read(|view| view.next_delivery_due()).await
}

async fn delete<D: Database>(fixture: &Fixture<D>, endpoint: &Endpoint, when: i64) {
    let (partner, id) = (endpoint.partner_id, endpoint.id);
    let deleted = fixture.write(move |tx| tx.endpoint_delete(partner, id, at(when)));
    assert!(deleted.await);
}

/// By partner and id; not those without any, those that are deleted, those that are leased.
pub async fn endpoints_with_pending_deliveries_are_found_by_partner<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut ids = Vec::new();
    for due in [&[30, 5][..], &[10, 40], &[31], &[], &[-123_456, 20], &[1]] {
        let endpoint = fixture.any_endpoint().await;
        for &due in due {
            fixture.delivery(&endpoint, due).await;
        }
        ids.push(endpoint);
    }
    delete(&fixture, ids.get(5).unwrap(), 0).await;
    let [d5, d10, d31, _, early, _] = ids.as_slice() else {
        panic!("six endpoints");
    };
    let expect = [(d5, 5), (d10, 10), (d31, 31), (early, -123_456)];
    let expect = expect.map(|(endpoint, due)| PendingEndpoint {
        id: endpoint.id,
        partner_id: endpoint.partner_id,
        due_at: at(due),
    });
    let pending =
        |after, partners| fixture.read(move |view| view.endpoints_pending(at(30), after, partners));
    let all = pending(None, 9).await;
    assert_eq!((all.endpoints, all.after), (expect.to_vec(), None));
    let first = pending(None, 2).await;
    assert_eq!(first.endpoints, expect[..2]);
    assert_eq!(first.after, Some(d10.partner_id));
    let rest = pending(first.after, 9).await;
    assert_eq!((rest.endpoints, rest.after), (expect[2..].to_vec(), None));

    let (one, two) = (token(&fixture), token(&fixture));
    assert_eq!(
        lease(&fixture, 30, one, 90).await,
        [d5.id, d10.id, early.id]
    );
    assert_eq!(lease(&fixture, 30, two, 90).await, []);
    assert_eq!(pending(None, 9).await.endpoints, [expect[2]]);
    let later = fixture.read(|view| view.endpoints_pending(at(90), None, 9));
    assert_eq!(later.await.endpoints, expect);
}

/// However many of its deliveries are due, and whichever partner comes first.
pub async fn all_free_endpoints_of_a_partner_are_found_together<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (one, other) = (fixture.partner().await, fixture.partner().await);
    let mut expect = Vec::new();
    for (partner, deliveries) in [(&one, 40), (&one, 1), (&other, 1), (&one, 0)] {
        let endpoint = fixture.endpoint(partner).await;
        for due in 0..deliveries {
            fixture.delivery(&endpoint, due).await;
        }
        if deliveries > 0 {
            expect.push((endpoint.partner_id, endpoint.id));
        }
    }
    expect.sort_unstable();
    let found = fixture
        .read(|view| view.endpoints_pending(at(0), None, 2))
        .await;
    let endpoints = found.endpoints.iter();
    let actual: Vec<_> = endpoints.map(|it| (it.partner_id, it.id)).collect();
    assert_eq!(actual, expect);
    assert_eq!(found.after, Some(other.id.max(one.id)));
    let after = found.after;
    let none = fixture.read(move |view| view.endpoints_pending(at(0), after, 2));
    assert_eq!(none.await, webhooks::PendingEndpoints::default());
}

/// Twelve endpoints and eight workers: each endpoint has one worker, and none is left over.
pub async fn workers_at_once_never_lease_the_same_endpoint<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut expect = BTreeSet::new();
    for _ in 0..12 {
        let endpoint = fixture.any_endpoint().await;
        fixture.delivery(&endpoint, 0).await;
        fixture.delivery(&endpoint, 0).await;
        expect.insert(endpoint.id);
    }
    let ids: Vec<EndpointId> = expect.iter().rev().copied().collect();
    let tokens: Vec<Ulid> = (0..8).map(|_| token(&fixture)).collect();
    let actual = at_once(tokens.len(), |n| {
        let (db, mut ids) = (fixture.db.clone(), ids.clone());
        ids.rotate_left(n);
        let lease = Lease {
            token: *tokens.get(n).unwrap(),
            until: at(100),
        };
        async move {
            let held = db.write(move |tx| tx.endpoints_lease(&ids, at(0), lease));
            Result::<Vec<EndpointId>, StoreError>::unwrap(held.await)
        }
    });
    let taken: Vec<EndpointId> = actual.await.into_iter().flatten().collect();
    assert_eq!(taken.len(), expect.len(), "an endpoint has two workers");
    assert_eq!(BTreeSet::from_iter(taken), expect);
}

/// At `until` another worker can take the endpoint; a renewal is of one endpoint alone.
pub async fn a_lease_of_an_endpoint_ends_at_its_time_and_can_be_renewed<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (a, b) = (fixture.any_endpoint().await, fixture.any_endpoint().await);
    fixture.delivery(&a, 0).await;
    fixture.delivery(&b, 1).await;
    let (one, two, three) = (token(&fixture), token(&fixture), token(&fixture));
    assert_eq!(lease(&fixture, 1, one, 50).await, [a.id, b.id]);
    assert!(holds(&fixture, &a, one).await);
    let renewed = Lease {
        token: one,
        until: at(80),
    };
    let id = a.id;
    fixture
        .write(move |tx| tx.endpoint_lease_renew(id, renewed))
        .await;
    assert_eq!(lease(&fixture, 49, three, 90).await, []);
    assert_eq!(lease(&fixture, 50, three, 90).await, [b.id]);
    assert!(holds(&fixture, &a, one).await);
    assert_eq!(lease(&fixture, 80, two, 90).await, [a.id]);
}

/// A worker that slept too long finds that another has its endpoint; a deleted one is nobody's.
pub async fn a_lost_lease_of_an_endpoint_can_neither_work_nor_renew_nor_release<D: Database>(
    db: D,
) {
    let fixture = Fixture::new(db);
    let endpoint = fixture.any_endpoint().await;
    fixture.delivery(&endpoint, 0).await;
    let (lost, new, third) = (token(&fixture), token(&fixture), token(&fixture));
    assert!(!holds(&fixture, &endpoint, lost).await);
    assert_eq!(lease(&fixture, 0, lost, 10).await, [endpoint.id]);
    assert_eq!(lease(&fixture, 10, new, 20).await, [endpoint.id]);
    assert!(!holds(&fixture, &endpoint, lost).await);
    let renewed = Lease {
        token: lost,
        until: at(999),
    };
    let id = endpoint.id;
    fixture
        .write(move |tx| tx.endpoint_lease_renew(id, renewed))
        .await;
    fixture
        .write(move |tx| tx.endpoint_lease_release(id, lost))
        .await;
    assert!(holds(&fixture, &endpoint, new).await);
    assert_eq!(lease(&fixture, 19, third, 99).await, []);
    fixture
        .write(move |tx| tx.endpoint_lease_release(id, new))
        .await;
    assert!(!holds(&fixture, &endpoint, new).await);
    assert_eq!(lease(&fixture, 19, third, 99).await, [endpoint.id]);
    delete(&fixture, &endpoint, 0).await;
    assert!(!holds(&fixture, &endpoint, third).await);
    let again = Lease {
        token: new,
        until: at(999),
    };
    let leased = fixture.write(move |tx| tx.endpoints_lease(&[id], at(500), again));
    assert_eq!(leased.await, []);
}

/// Those of one endpoint, up to the limit, and none before its time.
pub async fn deliveries_are_due_the_longest_waiting_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (endpoint, beside) = (fixture.any_endpoint().await, fixture.any_endpoint().await);
    let late = fixture.delivery(&endpoint, 30).await;
    let first = fixture.delivery(&endpoint, 10).await;
    let second = fixture.delivery(&endpoint, 10).await;
    fixture.delivery(&endpoint, 31).await;
    fixture.delivery(&beside, 0).await;
    let ended = Delivery {
        due_at: None,
        ..fixture.build.delivery(&endpoint)
    };
    fixture.add_delivery(&ended).await;
    let id = endpoint.id;
    let all = fixture
        .read(move |view| view.deliveries_due(id, at(30), 9))
        .await;
    assert_eq!(ids_of(&all, |it| it.id), [first.id, second.id, late.id]);
    let two = fixture
        .read(move |view| view.deliveries_due(id, at(30), 2))
        .await;
    assert_eq!(two, [first, second]);
}

/// Past or to come, whoever has leased its endpoint.
pub async fn the_next_delivery_due_is_the_earliest_of_all<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    assert_eq!(next_due(&fixture).await, None);
    let (soon, later) = (fixture.any_endpoint().await, fixture.any_endpoint().await);
    for (endpoint, due) in [(&later, 70), (&soon, 60), (&soon, 10)] {
        fixture.delivery(endpoint, due).await;
        assert_eq!(next_due(&fixture).await, Some(at(due)));
    }
    assert_eq!(lease(&fixture, 30, token(&fixture), 40).await, [soon.id]);
    assert_eq!(next_due(&fixture).await, Some(at(10)));
}

/// Those that are pending; what has ended stays as it ended.
pub async fn given_up_deliveries_of_one_endpoint_leave_those_of_others<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (endpoint, beside) = (fixture.any_endpoint().await, fixture.any_endpoint().await);
    let (pending, other) = (
        fixture.delivery(&endpoint, 7).await,
        fixture.delivery(&beside, 7).await,
    );
    let arrived = Delivery {
        status: DeliveryStatus::Delivered,
        due_at: None,
        ended_at: Some(at(1)),
        ..fixture.build.delivery(&endpoint)
    };
    fixture.add_delivery(&arrived).await;
    let later = fixture.delivery(&endpoint, 8).await;
    let id = endpoint.id;
    let give_up = |limit| fixture.write(move |tx| tx.deliveries_give_up(id, (at(9), None), limit));
    assert_eq!(give_up(1).await, 1);
    assert_eq!(fixture.stored_delivery(&later).await, Some(later));
    let actual = fixture.stored_delivery(&pending).await.unwrap();
    assert_eq!(actual.status, DeliveryStatus::Failed);
    assert_eq!((actual.due_at, actual.ended_at), (None, Some(at(9))));
    assert_eq!(fixture.stored_delivery(&other).await, Some(other));
    assert_eq!(fixture.stored_delivery(&arrived).await, Some(arrived));
    assert_eq!((give_up(9).await, give_up(9).await), (1, 0));
}

/// All that is pending, and since when the longest waiting has been due.
pub async fn the_backlog_is_counted<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let backlog = |now| fixture.read(move |view| view.backlog(at(now), 9));
    assert_eq!(backlog(0).await, Backlog::default());
    let endpoint = fixture.any_endpoint().await;
    fixture.delivery(&endpoint, 20).await;
    fixture.delivery(&endpoint, 10).await;
    let ended = Delivery {
        due_at: None,
        ended_at: Some(at(0)),
        ..fixture.build.delivery(&endpoint)
    };
    fixture.add_delivery(&ended).await;
    for (now, due_since) in [(9, None), (10, Some(at(10))), (99, Some(at(10)))] {
        let pending = 2;
        assert_eq!(backlog(now).await, Backlog { pending, due_since });
    }
    let counted = fixture.read(|view| view.backlog(at(0), 1)).await;
    assert_eq!(counted.pending, 1, "up to the limit");
}

/// Deliveries that have ended or have lost their endpoint, endpoints that have lost their deliveries,
/// announcements of the past.
pub async fn what_is_outdated_is_forgotten_up_to_the_limit<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (endpoint, deleted) = (fixture.any_endpoint().await, fixture.any_endpoint().await);
    let pending = fixture.delivery(&endpoint, 0).await;
    let orphan = fixture.delivery(&deleted, 0).await;
    let mut ended = Vec::new();
    for end in [10, 20, 30] {
        let delivery = Delivery {
            due_at: None,
            ended_at: Some(at(end)),
            ..fixture.build.delivery(&endpoint)
        };
        fixture.add_delivery(&delivery).await;
        ended.push(delivery);
    }
    delete(&fixture, &deleted, 5).await;
    for end in [10, 30] {
        fixture
            .write(move |tx| tx.announcement_insert("pak_1", at(end)))
            .await;
    }
    let forget = |limit| fixture.write(move |tx| tx.webhooks_forget(at(30), limit));
    assert_eq!(forget(1).await, 1);
    let [first, second, kept] = ended.as_slice() else {
        panic!("three deliveries");
    };
    assert_eq!(
        fixture.stored_delivery(first).await,
        None,
        "the oldest first"
    );
    assert!(fixture.stored_delivery(second).await.is_some());
    // The second, the orphan, its endpoint, one announcement.
    assert_eq!(forget(9).await, 4);
    assert_eq!(forget(9).await, 0);
    assert_eq!(fixture.stored_delivery(second).await, None);
    assert_eq!(fixture.stored_delivery(&orphan).await, None);
    assert!(fixture.stored_delivery(kept).await.is_some());
    assert!(fixture.stored_delivery(&pending).await.is_some());
    assert!(fixture.stored_endpoint(&endpoint).await.is_some());
    let announce = |end| fixture.write(move |tx| tx.announcement_insert("pak_1", at(end)));
    assert!(announce(10).await, "it was forgotten");
    assert!(!announce(30).await);
}
