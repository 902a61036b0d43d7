//! Notes of when keys were last used.

use ids::KeyId;
use keys::{KeyFilter, PartnerKey};
use stores::{Database, StoreError, prelude::*};

use super::fixture::{ALL, Fixture, at, ids_of};

/// Notes of uses may come late and out of order.
pub async fn a_use_is_only_ever_noted_forward<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let id = fixture.key(&partner).await.id;
    let other = fixture.key(&partner).await;
    for (micros, expect) in [(0, 0), (60_000_001, 60_000_001), (5, 60_000_001)] {
        fixture
            .write(move |tx| tx.key_touch(id, None, at(micros)))
            .await;
        assert_eq!(fixture.stored_key(id).await.last_used_at, Some(at(expect)));
    }
    for (micros, expect) in [(70_000_000, 70_000_000), (9, 70_000_000)] {
        let noted = fixture.db.key_used(id, None, at(micros));
        Result::<(), StoreError>::unwrap(noted.await);
        assert_eq!(fixture.stored_key(id).await.last_used_at, Some(at(expect)));
    }
    let unknown: KeyId = fixture.build.id();
    Result::<(), StoreError>::unwrap(fixture.db.key_used(unknown, None, at(1)).await);
    assert_eq!(fixture.stored_key(other.id).await, other);
}

/// Keys without an end, and those that were never used.
pub async fn keys_are_filtered_by_their_end_and_last_use<D: Database>(db: D) {
    let fixture = &Fixture::new(db);
    let partner = &fixture.partner().await;
    let minute = |minutes: i64| at(minutes * 60_000_000);
    let add = |expires_at, last_used_at| async move {
        let key = PartnerKey {
            expires_at,
            last_used_at,
            ..fixture.build.key(partner)
        };
        fixture.add_key(&key).await;
        key.id
    };
    let a = add(None, None).await;
    let b = add(Some(minute(5)), Some(minute(3))).await;
    let c = add(Some(minute(6)), Some(minute(4))).await;
    let list = |expires_before, unused_since| async move {
        let filter = KeyFilter {
            expires_before,
            unused_since,
            ..KeyFilter::default()
        };
        let page = fixture.read(move |view| view.keys(&filter, ALL)).await;
        ids_of(&page.items, |key| key.id)
    };
    assert_eq!(list(Some(minute(5)), None).await, []);
    assert_eq!(list(Some(minute(6)), None).await, [b]);
    assert_eq!(list(Some(minute(7)), None).await, [c, b]);
    assert_eq!(list(None, Some(minute(3))).await, [a]);
    assert_eq!(list(None, Some(minute(4))).await, [b, a]);
    assert_eq!(list(Some(minute(7)), Some(minute(4))).await, [b]);
}
