//! Partner keys by the digests that they are stored under.

use ids::KeyId;
use keys::{OnRevoke, RevocationReason};
use stores::{Database, StoreError, prelude::*};

use super::fixture::{Fixture, at};

/// With a retired pepper a presented key has two digests, and it may be stored under either.
pub async fn a_key_is_found_by_any_of_its_candidate_digests_and_by_no_other<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.build.key(&partner);
    let digest = fixture.add_key(&key).await;
    let other = fixture.key(&partner).await;
    let stranger = fixture.build.digest();
    let find = |digests: Vec<keys::KeyDigest>| {
        let found = fixture.read(move |view| view.key_by_digest(&digests));
        async move { found.await.map(|found| found.held.key.id) }
    };
    assert_eq!(find(vec![digest]).await, Some(key.id));
    assert_eq!(find(vec![stranger, digest]).await, Some(key.id));
    assert_eq!(find(vec![digest, stranger]).await, Some(key.id));
    assert_eq!(find(vec![stranger]).await, None);
    assert_eq!(find(vec![]).await, None);
    let unknown: KeyId = fixture.build.id();
    assert_eq!(fixture.read(move |view| view.key(unknown)).await, None);
    assert_ne!(key.id, other.id);
}

/// Many look-ups in one question find what they find one by one, a revoked key as well.
pub async fn keys_are_found_by_many_digests_at_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let mut digests = Vec::new();
    let mut expect = Vec::new();
    for n in 0..300 {
        if n % 100 == 0 {
            let key = fixture.build.key(&partner);
            digests.push(fixture.add_key(&key).await);
            expect.push(key.id);
        }
        digests.push(fixture.build.digest());
    }
    let revoked = expect.first().copied().unwrap();
    fixture
        .write(move |tx| {
            tx.key_revoke(
                revoked,
                at(7),
                RevocationReason::Unspecified,
                OnRevoke::Keep,
            )
        })
        .await;
    let asked = digests.clone();
    let found = fixture.read(move |view| view.keys_by_digest(&asked)).await;
    let mut actual: Vec<_> = found.iter().map(|(_, found)| found.held.key.id).collect();
    actual.sort_unstable();
    expect.sort_unstable();
    assert_eq!(actual, expect);
    for (digest, one) in found {
        assert!(digests.contains(&digest));
        let alone = fixture
            .read(move |view| view.key_by_digest(&[digest]))
            .await;
        assert_eq!(alone, Some(one));
    }
    let none = fixture.read(|view| view.keys_by_digest(&[])).await;
    assert_eq!(none, []);
    let none = fixture
        .read(move |view| view.admin_keys_by_digest(&digests))
        .await;
    assert_eq!(none, [], "a partner's key is no admin key");
}

/// Of two keys with one digest nobody could tell whose call it is.
pub async fn a_duplicate_digest_is_an_error_and_changes_nothing<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let first = fixture.build.key(&partner);
    let digest = fixture.add_key(&first).await;
    let second = fixture.build.key(&partner);
    let id = second.id;
    let refused = fixture.db.write(move |tx| tx.key_insert(&second, &digest));
    let error: StoreError = refused.await.unwrap_err();
    assert!(!error.is_temporary(), "{error:?}");
    assert_eq!(fixture.read(move |view| view.key(id)).await, None);
    let found = fixture
        .read(move |view| view.key_by_digest(&[digest]))
        .await;
    assert_eq!(found.unwrap().held.key, first);
}
