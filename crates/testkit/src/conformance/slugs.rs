//! Slugs: who can have one, and when.

use orgs::{Org, OrgCriteria, OrgFilter, OrgStatus, OrgVisibility};
use stores::{Database, StoreError, prelude::*};

use super::fixture::{ALL, Fixture, acquire_slug_and_insert, at, at_once, ids_of};
use crate::build::slug;

/// For the partner who has it and for any other.
pub async fn a_slug_that_an_org_has_is_taken<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let (key, other_key) = (fixture.key(&partner).await, fixture.key(&other).await);
    let first = fixture.org(&key).await;
    for key in [&key, &other_key] {
        let second = Org {
            slug: first.slug.clone(),
            ..fixture.build.org(key)
        };
        // However far the hold reaches back or ahead: this one is in use.
        assert!(!fixture.try_add_org(&second, at(-1_000_000)).await);
        assert!(!fixture.try_add_org(&second, at(1_000_000)).await);
        let id = second.id;
        let actual = fixture
            .read(move |view| view.org(OrgVisibility::All, id))
            .await;
        assert_eq!(actual, None);
    }
    let free = Org {
        slug: slug("another-slug"),
        ..fixture.build.org(&other_key)
    };
    assert!(fixture.try_add_org(&free, at(0)).await);
}

/// And then it is taken again.
pub async fn a_freed_slug_is_free_at_once_for_the_same_partner<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let first = fixture.org(&key).await;
    fixture.delete_org(&first, at(5)).await;
    let second = Org {
        slug: first.slug.clone(),
        ..fixture.build.org(&key)
    };
    assert!(fixture.try_add_org(&second, at(0)).await);
    let third = Org {
        slug: first.slug.clone(),
        ..fixture.build.org(&key)
    };
    assert!(!fixture.try_add_org(&third, at(0)).await);
    // The deleted org keeps its slug as a record.
    assert_eq!(fixture.stored_org(first.id).await.slug, first.slug);
}

/// A slug freed at `held_since` is held, one freed a microsecond earlier is not.
pub async fn a_freed_slug_is_held_from_other_partners_to_the_very_moment<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let (key, other_key) = (fixture.key(&partner).await, fixture.key(&other).await);
    let whole_second = at(0).replace_microsecond(0).unwrap();
    for freed_at in [at(0), whole_second] {
        let first = fixture.org(&key).await;
        fixture.delete_org(&first, freed_at).await;
        let second = Org {
            slug: first.slug.clone(),
            ..fixture.build.org(&other_key)
        };
        let one = time::Duration::MICROSECOND;
        assert!(!fixture.try_add_org(&second, freed_at - one).await);
        assert!(!fixture.try_add_org(&second, freed_at).await);
        assert!(fixture.try_add_org(&second, freed_at + one).await);
    }
}

/// Freeing a slug that has gone to another org frees nothing.
pub async fn a_deleted_org_does_not_free_the_slug_of_its_successor<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let (first, bystander) = (fixture.org(&key).await, fixture.org(&key).await);
    fixture.delete_org(&first, at(5)).await;
    let second = Org {
        slug: first.slug.clone(),
        ..fixture.build.org(&key)
    };
    assert!(fixture.try_add_org(&second, at(0)).await);
    fixture
        .write(move |tx| tx.slug_release(first.id, at(6)))
        .await;
    for taken in [second.slug, bystander.slug] {
        let third = Org {
            slug: taken,
            ..fixture.build.org(&key)
        };
        assert!(!fixture.try_add_org(&third, at(0)).await);
    }
}

/// Freeing it once more does not hold it longer from others.
pub async fn a_slug_is_freed_once_and_its_time_stays<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let (key, other_key) = (fixture.key(&partner).await, fixture.key(&other).await);
    let first = fixture.org(&key).await;
    fixture.delete_org(&first, at(5)).await;
    fixture
        .write(move |tx| tx.slug_release(first.id, at(9)))
        .await;
    let second = Org {
        slug: first.slug.clone(),
        ..fixture.build.org(&other_key)
    };
    assert!(!fixture.try_add_org(&second, at(5)).await);
    assert!(fixture.try_add_org(&second, at(6)).await);
}

/// Thirty-two orgs of two partners; a slug never used and one that was freed long ago.
pub async fn of_many_claims_of_one_slug_at_once_one_succeeds<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let keys = [fixture.key(&partner).await, fixture.key(&other).await];
    let [key, _] = &keys;
    let old = fixture.org(key).await;
    fixture.delete_org(&old, at(-5)).await;
    for contested in [slug("contested"), old.slug] {
        let orgs: Vec<Org> = keys
            .iter()
            .cycle()
            .take(32)
            .map(|key| Org {
                slug: contested.clone(),
                ..fixture.build.org(key)
            })
            .collect();
        let actual = at_once(orgs.len(), |n| {
            let (db, org) = (fixture.db.clone(), orgs.get(n).unwrap().clone());
            async move {
                let claimed = db.write(move |tx| acquire_slug_and_insert(tx, &org, at(0)));
                Result::<bool, StoreError>::unwrap(claimed.await)
            }
        });
        let mut winners = orgs.iter().zip(actual.await).filter(|(_, won)| *won);
        let winner = winners.next().unwrap().0.id;
        assert_eq!(winners.count(), 0, "{contested} has two orgs");
        let filter = OrgFilter {
            visibility: OrgVisibility::All,
            status: Some(OrgStatus::Provisioning),
            slug: Some(contested),
            external_id: None,
            labels: Vec::new(),
            criteria: OrgCriteria::NONE,
        };
        let listed = fixture.read(move |view| view.orgs(&filter, ALL)).await;
        assert_eq!(ids_of(&listed.items, |org| org.id), [winner]);
    }
}
