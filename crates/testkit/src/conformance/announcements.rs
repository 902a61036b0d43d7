//! What has been announced of ends that are near.

use keys::PartnerKey;
use orgs::{Org, OrgStatus};
use stores::{Database, StoreError, prelude::*};
use time::Duration;
use webhooks::ANNOUNCED_AHEAD;

use crate::clock::START;

use super::fixture::{Fixture, at, at_once};

/// Of many at once, one is the first.
pub async fn an_end_is_announced_once_and_again_when_it_moves<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let actual = at_once(4, |_| {
        let db = fixture.db.clone();
        async move {
            let first = db.write(|tx| tx.announcement_insert("pak_1", at(10)));
            Result::<bool, StoreError>::unwrap(first.await)
        }
    });
    let firsts = actual.await.into_iter().filter(|first| *first).count();
    assert_eq!(firsts, 1);
    let announce = |subject, end| fixture.write(move |tx| tx.announcement_insert(subject, at(end)));
    assert!(announce("pak_1", 11).await);
    assert!(announce("pak_2", 10).await);
    assert!(!announce("pak_1", 10).await);
}

/// After the one time and up to the other, the first to end first, up to the limit.
pub async fn keys_are_announced_that_end_within_the_time_and_are_not_revoked<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
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
            ..fixture.build.key(&partner)
        };
        fixture.add_key(&key).await;
        ids.push(key.id);
    }
    let [_, _, at_30, _, at_20, _, at_11] = *ids.as_slice() else {
        panic!("seven keys");
    };
    let ending = |limit| fixture.read(move |view| view.keys_to_announce(at(10), at(30), limit));
    assert_eq!(ending(9).await, [at_11, at_20, at_30]);
    assert_eq!(ending(2).await, [at_11, at_20]);
    let subject = at_20.to_string();
    fixture
        .write(move |tx| tx.announcement_insert(&subject, at(20)))
        .await;
    assert_eq!(ending(9).await, [at_11, at_30]);
    // An end that has passed was another one; one to come was near enough to be announced.
    for (end, expect) in [(10, [at_11, at_30].as_slice()), (12, &[at_30])] {
        let subject = at_11.to_string();
        fixture
            .write(move |tx| tx.announcement_insert(&subject, at(end)))
            .await;
        assert_eq!(ending(9).await, expect);
    }
}

/// As keys; an org that is going or gone ends no more.
pub async fn orgs_are_announced_that_end_within_the_time_and_stay<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let key = fixture.key(&fixture.partner().await).await;
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
            ..fixture.build.org(&key)
        };
        fixture.add_org(&org).await;
        ids.push(org.id);
    }
    let [_, _, at_30, _, _, _, at_22, at_23] = *ids.as_slice() else {
        panic!("eight orgs");
    };
    let ending = |limit| fixture.read(move |view| view.orgs_to_announce(at(10), at(30), limit));
    assert_eq!(ending(9).await, [at_22, at_23, at_30]);
    assert_eq!(ending(1).await, [at_22]);
    let subject = at_22.to_string();
    fixture
        .write(move |tx| tx.announcement_insert(&subject, at(22)))
        .await;
    assert_eq!(ending(9).await, [at_23, at_30]);
}

/// Of orgs and of keys. An end that stays as it is is not told again, whatever else is written.
pub async fn a_new_end_is_announced_once_the_one_that_was_told_has_passed<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let ends = |end: i64| Some(START + Duration::minutes(end));
    let key = PartnerKey {
        expires_at: ends(10),
        ..fixture.build.key(&partner)
    };
    fixture.add_key(&key).await;
    let org = Org {
        expires_at: ends(10),
        ..fixture.build.org(&key)
    };
    fixture.add_org(&org).await;
    let (key_id, org_id) = (key.id, org.id);
    let is_due = async |now: i64| {
        let from = START + Duration::minutes(now);
        let until = from + ANNOUNCED_AHEAD;
        let read = fixture.read(move |view| {
            let keys = view.keys_to_announce(from, until, 9)?;
            Ok::<_, StoreError>((keys, view.orgs_to_announce(from, until, 9)?))
        });
        match read.await {
            (keys, orgs) if keys == [key_id] && orgs == [org_id] => true,
            (keys, orgs) if keys.is_empty() && orgs.is_empty() => false,
            either => panic!("{either:?}"),
        }
    };
    let announce = |end| {
        fixture.write(move |tx| {
            let end = ends(end).unwrap();
            assert!(tx.announcement_insert(&key_id.to_string(), end)?);
            assert!(tx.announcement_insert(&org_id.to_string(), end)?);
            Ok::<_, StoreError>(())
        })
    };
    let put_off = |end| {
        let key = PartnerKey {
            expires_at: ends(end),
            ..key.clone()
        };
        fixture.write(move |tx| {
            tx.key_update(&key)?;
            tx.org_renew(org_id, ends(end).unwrap())
        })
    };
    assert!(is_due(0).await);
    announce(10).await;
    assert!(!is_due(0).await);
    put_off(10).await;
    assert!(!is_due(0).await);
    put_off(12).await;
    assert!(!is_due(3).await, "the announced end is still to come");
    assert!(is_due(10).await, "and now it has passed");
    put_off(30).await;
    assert!(!is_due(19).await);
    assert!(is_due(20).await);
    announce(30).await;
    assert!(!is_due(20).await);
}
