//! The deliverer's work: holds on endpoints, what is due, what has been announced, what is forgotten.

use std::collections::BTreeSet;

use ids::{EndpointId, TypedId as _, Ulid};
use keys::PartnerKey;
use orgs::{Org, OrgStatus};
use stores::{Database, StoreError};
use time::OffsetDateTime;
use webhooks::{Backlog, Delivery, DeliveryStatus, Endpoint, Hold};

use super::world::{World, at, at_once, ids_of, traits::*};

fn token<D: Database>(world: &World<D>) -> Ulid {
    world.build.id::<EndpointId>().ulid()
}

/// Takes endpoints at a time, with a token, until a time; all times in microseconds after the start.
async fn hold<D: Database>(
    world: &World<D>,
    now: i64,
    token: Ulid,
    until: i64,
    limit: usize,
) -> Vec<EndpointId> {
    let until = at(until);
    let taken = world.write(move |tx| tx.endpoints_hold(at(now), Hold { token, until }, limit));
    taken.await
}

async fn holds<D: Database>(world: &World<D>, endpoint: &Endpoint, token: Ulid) -> bool {
    let id = endpoint.id;
    let held = world.write(move |tx| tx.endpoint_held(id, token)).await;
    if let Some((told, secrets)) = &held {
        assert_eq!(told, endpoint);
        assert_eq!(world.stored_secrets(endpoint).await.as_ref(), Some(secrets));
    }
    held.is_some()
}

async fn next_due<D: Database>(world: &World<D>, now: i64) -> Option<OffsetDateTime> {
    world
        .read(move |view| view.next_delivery_due(at(now)))
        .await
}

async fn delete<D: Database>(world: &World<D>, endpoint: &Endpoint, when: i64) {
    let (partner, id) = (endpoint.partner_id, endpoint.id);
    let deleted = world.write(move |tx| tx.endpoint_delete(partner, id, at(when)));
    assert!(deleted.await);
}

/// Up to the limit; not those without any, those that are deleted, those that are held.
pub async fn endpoints_with_deliveries_due_are_held_the_longest_due_first<D: Database>(db: D) {
    let world = World::new(db);
    let mut ids = Vec::new();
    for due in [&[30, 5][..], &[10, 40], &[31], &[], &[-123_456, 20], &[1]] {
        let endpoint = world.any_endpoint().await;
        for &due in due {
            world.delivery(&endpoint, due).await;
        }
        ids.push(endpoint);
    }
    delete(&world, ids.get(5).unwrap(), 0).await;
    let [d5, d10, _, _, early, _] = ids.as_slice() else {
        panic!("six endpoints");
    };
    let (one, two) = (token(&world), token(&world));
    assert_eq!(hold(&world, 30, one, 90, 2).await, [early.id, d5.id]);
    assert_eq!(hold(&world, 30, two, 90, 9).await, [d10.id]);
    assert_eq!(hold(&world, 30, one, 90, 9).await, []);
}

/// Twelve endpoints and eight workers: each endpoint has one worker, and none is left over.
pub async fn workers_at_once_never_hold_the_same_endpoint<D: Database>(db: D) {
    let world = World::new(db);
    let mut expect = BTreeSet::new();
    for _ in 0..12 {
        let endpoint = world.any_endpoint().await;
        world.delivery(&endpoint, 0).await;
        world.delivery(&endpoint, 0).await;
        expect.insert(endpoint.id);
    }
    let mut taken = Vec::new();
    while taken.len() < expect.len() {
        let before = taken.len();
        let tokens: Vec<Ulid> = (0..8).map(|_| token(&world)).collect();
        let told = at_once(tokens.len(), |n| {
            let db = world.db.clone();
            let hold = Hold {
                token: *tokens.get(n).unwrap(),
                until: at(100),
            };
            async move {
                let held = db.write(move |tx| tx.endpoints_hold(at(0), hold, 3));
                Result::<Vec<EndpointId>, StoreError>::unwrap(held.await)
            }
        });
        taken.extend(told.await.into_iter().flatten());
        assert!(taken.len() > before, "nobody got what is due");
    }
    assert_eq!(taken.len(), expect.len(), "an endpoint has two workers");
    assert_eq!(BTreeSet::from_iter(taken), expect);
}

/// At `until` another worker can take the endpoint; a renewal is of all that the token holds.
pub async fn a_hold_ends_at_its_time_and_can_be_renewed<D: Database>(db: D) {
    let world = World::new(db);
    let (a, b) = (world.any_endpoint().await, world.any_endpoint().await);
    world.delivery(&a, 0).await;
    world.delivery(&b, 1).await;
    let (one, two, three) = (token(&world), token(&world), token(&world));
    assert_eq!(hold(&world, 0, one, 50, 1).await, [a.id]);
    assert_eq!(hold(&world, 1, two, 50, 9).await, [b.id]);
    assert!(holds(&world, &a, one).await);
    let renewed = Hold {
        token: one,
        until: at(80),
    };
    world.write(move |tx| tx.hold_renew(renewed)).await;
    assert_eq!(hold(&world, 49, three, 90, 9).await, []);
    assert_eq!(hold(&world, 50, three, 90, 9).await, [b.id]);
    assert!(holds(&world, &a, one).await);
    assert_eq!(hold(&world, 80, two, 90, 9).await, [a.id]);
}

/// A worker that slept too long finds that another has its endpoint; a deleted one is nobody's.
pub async fn a_lost_hold_can_neither_work_nor_renew_nor_release<D: Database>(db: D) {
    let world = World::new(db);
    let endpoint = world.any_endpoint().await;
    world.delivery(&endpoint, 0).await;
    let (lost, new, third) = (token(&world), token(&world), token(&world));
    assert!(!holds(&world, &endpoint, lost).await);
    assert_eq!(hold(&world, 0, lost, 10, 1).await, [endpoint.id]);
    assert_eq!(hold(&world, 10, new, 20, 1).await, [endpoint.id]);
    assert!(!holds(&world, &endpoint, lost).await);
    let renewed = Hold {
        token: lost,
        until: at(999),
    };
    world.write(move |tx| tx.hold_renew(renewed)).await;
    let id = endpoint.id;
    world.write(move |tx| tx.hold_release(id, lost)).await;
    assert!(holds(&world, &endpoint, new).await);
    assert_eq!(hold(&world, 19, third, 99, 1).await, []);
    world.write(move |tx| tx.hold_release(id, new)).await;
    assert!(!holds(&world, &endpoint, new).await);
    assert_eq!(hold(&world, 19, third, 99, 1).await, [endpoint.id]);
    delete(&world, &endpoint, 0).await;
    assert!(!holds(&world, &endpoint, third).await);
}

/// Those of one endpoint, up to the limit, and none before its time.
pub async fn deliveries_are_due_the_longest_waiting_first<D: Database>(db: D) {
    let world = World::new(db);
    let (endpoint, beside) = (world.any_endpoint().await, world.any_endpoint().await);
    let late = world.delivery(&endpoint, 30).await;
    let first = world.delivery(&endpoint, 10).await;
    let second = world.delivery(&endpoint, 10).await;
    world.delivery(&endpoint, 31).await;
    world.delivery(&beside, 0).await;
    let ended = Delivery {
        due_at: None,
        ..world.build.delivery(&endpoint)
    };
    world.add_delivery(&ended).await;
    let id = endpoint.id;
    let all = world
        .write(move |tx| tx.deliveries_due(id, at(30), 9))
        .await;
    assert_eq!(ids_of(&all, |it| it.id), [first.id, second.id, late.id]);
    let two = world
        .write(move |tx| tx.deliveries_due(id, at(30), 2))
        .await;
    assert_eq!(two, [first, second]);
}

/// Past or to come.
pub async fn the_next_delivery_due_is_the_earliest_to_an_endpoint_that_nobody_holds<D: Database>(
    db: D,
) {
    let world = World::new(db);
    assert_eq!(next_due(&world, 0).await, None);
    let (soon, later) = (world.any_endpoint().await, world.any_endpoint().await);
    let deleted = world.any_endpoint().await;
    for (endpoint, due) in [(&soon, 10), (&soon, 60), (&later, 70), (&deleted, 1)] {
        world.delivery(endpoint, due).await;
    }
    delete(&world, &deleted, 0).await;
    assert_eq!(next_due(&world, 0).await, Some(at(10)));
    assert_eq!(next_due(&world, 30).await, Some(at(10)));
    assert_eq!(hold(&world, 30, token(&world), 40, 9).await, [soon.id]);
    assert_eq!(next_due(&world, 39).await, Some(at(70)));
    assert_eq!(next_due(&world, 40).await, Some(at(10)));
}

/// Those that are pending; what has ended stays as it ended.
pub async fn given_up_deliveries_of_one_endpoint_leave_those_of_others<D: Database>(db: D) {
    let world = World::new(db);
    let (endpoint, beside) = (world.any_endpoint().await, world.any_endpoint().await);
    let (pending, other) = (
        world.delivery(&endpoint, 7).await,
        world.delivery(&beside, 7).await,
    );
    let arrived = Delivery {
        status: DeliveryStatus::Delivered,
        due_at: None,
        ended_at: Some(at(1)),
        ..world.build.delivery(&endpoint)
    };
    world.add_delivery(&arrived).await;
    let id = endpoint.id;
    world
        .write(move |tx| tx.deliveries_give_up(id, at(9)))
        .await;
    let told = world.stored_delivery(&pending).await.unwrap();
    assert_eq!(told.status, DeliveryStatus::Failed);
    assert_eq!((told.due_at, told.ended_at), (None, Some(at(9))));
    assert_eq!(world.stored_delivery(&other).await, Some(other));
    assert_eq!(world.stored_delivery(&arrived).await, Some(arrived));
}

/// All that is pending, and since when the longest waiting has been due.
pub async fn the_backlog_is_counted<D: Database>(db: D) {
    let world = World::new(db);
    let backlog = |now| world.read(move |view| view.backlog(at(now)));
    assert_eq!(backlog(0).await, Backlog::default());
    let endpoint = world.any_endpoint().await;
    world.delivery(&endpoint, 20).await;
    world.delivery(&endpoint, 10).await;
    let ended = Delivery {
        due_at: None,
        ended_at: Some(at(0)),
        ..world.build.delivery(&endpoint)
    };
    world.add_delivery(&ended).await;
    for (now, due_since) in [(9, None), (10, Some(at(10))), (99, Some(at(10)))] {
        let pending = 2;
        assert_eq!(backlog(now).await, Backlog { pending, due_since });
    }
}

/// Of many at once, one is the first.
pub async fn an_end_is_announced_once_and_again_when_it_moves<D: Database>(db: D) {
    let world = World::new(db);
    let told = at_once(4, |_| {
        let db = world.db.clone();
        async move {
            let first = db.write(|tx| tx.announcement_insert("pak_1", at(10)));
            Result::<bool, StoreError>::unwrap(first.await)
        }
    });
    let firsts = told.await.into_iter().filter(|first| *first).count();
    assert_eq!(firsts, 1);
    let announce = |subject, end| world.write(move |tx| tx.announcement_insert(subject, at(end)));
    assert!(announce("pak_1", 11).await);
    assert!(announce("pak_2", 10).await);
    assert!(!announce("pak_1", 10).await);
}

/// After the one time and up to the other, the first to end first, up to the limit.
pub async fn keys_are_announced_that_end_within_the_time_and_are_not_revoked<D: Database>(db: D) {
    let world = World::new(db);
    let partner = world.partner().await;
    let mut ids = Vec::new();
    for (end, revoked) in [
        (None, false),
        (Some(10), false),
        (Some(30), false),
        (Some(31), false),
        (Some(20), false),
        (Some(20), true),
        (Some(11), false),
    ] {
        let key = PartnerKey {
            expires_at: end.map(at),
            revoked_at: revoked.then(|| at(0)),
            ..world.build.key(&partner)
        };
        world.add_key(&key).await;
        ids.push(key.id);
    }
    let [_, _, at_30, _, at_20, _, at_11] = *ids.as_slice() else {
        panic!("seven keys");
    };
    let ending = |limit| world.read(move |view| view.keys_to_announce(at(10), at(30), limit));
    assert_eq!(ending(9).await, [at_11, at_20, at_30]);
    assert_eq!(ending(2).await, [at_11, at_20]);
    let told = at_20.to_string();
    world
        .write(move |tx| tx.announcement_insert(&told, at(20)))
        .await;
    assert_eq!(ending(9).await, [at_11, at_30]);
    // An end that has passed was another one; one to come was near enough to be told of.
    for (end, expect) in [(10, [at_11, at_30].as_slice()), (12, &[at_30])] {
        let told = at_11.to_string();
        world
            .write(move |tx| tx.announcement_insert(&told, at(end)))
            .await;
        assert_eq!(ending(9).await, expect);
    }
}

/// As keys; an org that is going or gone ends no more.
pub async fn orgs_are_announced_that_end_within_the_time_and_stay<D: Database>(db: D) {
    let world = World::new(db);
    let key = world.key(&world.partner().await).await;
    let mut ids = Vec::new();
    for (end, status) in [
        (None, OrgStatus::Ready),
        (Some(10), OrgStatus::Ready),
        (Some(30), OrgStatus::Provisioning),
        (Some(31), OrgStatus::Ready),
        (Some(20), OrgStatus::Deprovisioning),
        (Some(21), OrgStatus::Deleted),
        (Some(22), OrgStatus::Suspended),
        (Some(23), OrgStatus::Failed),
    ] {
        let org = Org {
            expires_at: end.map(at),
            status,
            ..world.build.org(&key)
        };
        world.add_org(&org).await;
        ids.push(org.id);
    }
    let [_, _, at_30, _, _, _, at_22, at_23] = *ids.as_slice() else {
        panic!("eight orgs");
    };
    let ending = |limit| world.read(move |view| view.orgs_to_announce(at(10), at(30), limit));
    assert_eq!(ending(9).await, [at_22, at_23, at_30]);
    assert_eq!(ending(1).await, [at_22]);
    let told = at_22.to_string();
    world
        .write(move |tx| tx.announcement_insert(&told, at(22)))
        .await;
    assert_eq!(ending(9).await, [at_23, at_30]);
}

/// Deliveries that have ended or have lost their endpoint, endpoints that have lost their deliveries,
/// announcements of the past.
pub async fn what_is_outdated_is_forgotten_up_to_the_limit<D: Database>(db: D) {
    let world = World::new(db);
    let (endpoint, deleted) = (world.any_endpoint().await, world.any_endpoint().await);
    let pending = world.delivery(&endpoint, 0).await;
    let orphan = world.delivery(&deleted, 0).await;
    let mut ended = Vec::new();
    for end in [10, 20, 30] {
        let delivery = Delivery {
            due_at: None,
            ended_at: Some(at(end)),
            ..world.build.delivery(&endpoint)
        };
        world.add_delivery(&delivery).await;
        ended.push(delivery);
    }
    delete(&world, &deleted, 5).await;
    for end in [10, 30] {
        world
            .write(move |tx| tx.announcement_insert("pak_1", at(end)))
            .await;
    }
    let forget = |limit| world.write(move |tx| tx.webhooks_forget(at(30), limit));
    assert_eq!(forget(1).await, 1);
    let [first, second, kept] = ended.as_slice() else {
        panic!("three deliveries");
    };
    assert_eq!(world.stored_delivery(first).await, None, "the oldest first");
    assert!(world.stored_delivery(second).await.is_some());
    // The second, the orphan, its endpoint, one announcement.
    assert_eq!(forget(9).await, 4);
    assert_eq!(forget(9).await, 0);
    assert_eq!(world.stored_delivery(second).await, None);
    assert_eq!(world.stored_delivery(&orphan).await, None);
    assert!(world.stored_delivery(kept).await.is_some());
    assert!(world.stored_delivery(&pending).await.is_some());
    assert!(world.stored_endpoint(&endpoint).await.is_some());
    let announce = |end| world.write(move |tx| tx.announcement_insert("pak_1", at(end)));
    assert!(announce(10).await, "it was forgotten");
    assert!(!announce(30).await);
}
