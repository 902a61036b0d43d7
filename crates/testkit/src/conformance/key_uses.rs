//! Notes of when keys were last used.

use ids::KeyId;
use stores::{Database, StoreError, prelude::*};

use super::fixture::{Fixture, at};

/// Notes of uses may come late and out of order.
pub async fn a_use_is_only_ever_noted_forward<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let id = fixture.key(&partner).await.id;
    let other = fixture.key(&partner).await;
    for (micros, expect) in [(0, 0), (60_000_001, 60_000_001), (5, 60_000_001)] {
        fixture.write(move |tx| tx.key_touch(id, at(micros))).await;
        assert_eq!(fixture.stored_key(id).await.last_used_at, Some(at(expect)));
    }
    for (micros, expect) in [(70_000_000, 70_000_000), (9, 70_000_000)] {
        let noted = fixture.db.key_used(id, at(micros));
        Result::<(), StoreError>::unwrap(noted.await);
        assert_eq!(fixture.stored_key(id).await.last_used_at, Some(at(expect)));
    }
    let unknown: KeyId = fixture.build.id();
    Result::<(), StoreError>::unwrap(fixture.db.key_used(unknown, at(1)).await);
    assert_eq!(fixture.stored_key(other.id).await, other);
}
