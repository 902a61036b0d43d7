//! Admin keys, and the check value of the pepper.

use ids::AdminKeyId;
use keys::{AdminKey, AdminKeyOrigin, AdminRole, KeyDigest, Networks};
use stores::{Database, StoreError, prelude::*};

use super::fixture::{Fixture, at, at_once, ids_of};
use crate::build::name;

async fn add<D: Database>(fixture: &Fixture<D>, key: &AdminKey) -> KeyDigest {
    let (key, digest) = (key.clone(), fixture.build.digest());
    fixture
        .write(move |tx| tx.admin_key_insert(&key, &digest))
        .await;
    digest
}

async fn stored<D: Database>(fixture: &Fixture<D>, id: AdminKeyId) -> AdminKey {
    fixture.read(move |view| view.admin_key(id)).await.unwrap()
}

/// Both origins, in use and revoked.
pub async fn an_admin_key_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let bare = fixture.build.admin_key();
    let full = AdminKey {
        name: name("日本 ✓ \"'%"),
        origin: AdminKeyOrigin::Settings,
        role: AdminRole::Auditor,
        expires_at: Some(at(3)),
        allowed_cidrs: Some(Networks::parse(["2001:db8::/32", "192.0.2.7"]).unwrap()),
        created_at: at(1),
        revoked_at: Some(at(2)),
        ..fixture.build.admin_key()
    };
    for key in [bare, full] {
        let digest = add(&fixture, &key).await;
        assert_eq!(stored(&fixture, key.id).await, key);
        let found = fixture.read(move |view| view.admin_key_by_digest(&[digest]));
        assert_eq!(found.await, Some(key));
    }
}

/// As with partner keys.
pub async fn an_admin_key_is_found_by_any_of_its_candidate_digests_and_by_no_other<D: Database>(
    db: D,
) {
    let fixture = Fixture::new(db);
    let key = fixture.build.admin_key();
    let digest = add(&fixture, &key).await;
    add(&fixture, &fixture.build.admin_key()).await;
    let stranger = fixture.build.digest();
    let cases = [
        (vec![digest], true),
        (vec![stranger, digest], true),
        (vec![digest, stranger], true),
        (vec![stranger], false),
        (vec![], false),
    ];
    for (digests, known) in cases {
        let found = fixture.read(move |view| view.admin_key_by_digest(&digests));
        assert_eq!(found.await, known.then(|| key.clone()));
    }
    let unknown: AdminKeyId = fixture.build.id();
    assert_eq!(
        fixture.read(move |view| view.admin_key(unknown)).await,
        None
    );
    let many = fixture.read(move |view| view.admin_keys_by_digest(&[stranger, digest]));
    assert_eq!(many.await, [(digest, key)]);
    let none = fixture.read(move |view| view.admin_keys_by_digest(&[]));
    assert_eq!(none.await, []);
}

/// As with partner keys.
pub async fn two_admin_keys_can_not_have_one_digest<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let key = fixture.build.admin_key();
    let digest = add(&fixture, &key).await;
    let second = fixture.build.admin_key();
    let refused = fixture
        .db
        .write(move |tx| tx.admin_key_insert(&second, &digest));
    let refused: Result<(), StoreError> = refused.await;
    assert!(refused.is_err());
    assert_eq!(fixture.read(|view| view.admin_keys()).await, [key]);
}

/// A partner can't become the operator.
pub async fn the_digest_of_a_partner_key_finds_no_admin_key<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let of_partner = fixture.add_key(&fixture.build.key(&partner)).await;
    let of_admin = add(&fixture, &fixture.build.admin_key()).await;
    let found = fixture.read(move |view| view.admin_key_by_digest(&[of_partner]));
    assert_eq!(found.await, None);
    let found = fixture.read(move |view| view.key_by_digest(&[of_admin]));
    assert_eq!(found.await, None);
}

/// A string in the settings may be taken out and later put in again.
pub async fn an_admin_key_is_revoked_once_and_can_be_restored<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let key = fixture.build.admin_key();
    let digest = add(&fixture, &key).await;
    let other = fixture.build.admin_key();
    add(&fixture, &other).await;
    let id = key.id;
    let revoke = |micros| fixture.write(move |tx| tx.admin_key_revoke(id, at(micros)));
    assert!(revoke(1).await);
    assert!(!revoke(2).await);
    assert_eq!(stored(&fixture, id).await.revoked_at, Some(at(1)));
    fixture.write(move |tx| tx.admin_key_restore(id)).await;
    let found = fixture.read(move |view| view.admin_key_by_digest(&[digest]));
    assert_eq!(found.await, Some(key));
    assert!(revoke(3).await);
    assert_eq!(stored(&fixture, id).await.revoked_at, Some(at(3)));
    assert_eq!(stored(&fixture, other.id).await, other);
    let unknown: AdminKeyId = fixture.build.id();
    let revoked = fixture.write(move |tx| tx.admin_key_revoke(unknown, at(1)));
    assert!(!revoked.await);
}

/// Revoked ones too.
pub async fn admin_keys_are_listed_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    assert_eq!(fixture.read(|view| view.admin_keys()).await, []);
    let mut expect = Vec::new();
    for _ in 0..3 {
        let key = fixture.build.admin_key();
        add(&fixture, &key).await;
        expect.insert(0, key.id);
    }
    let last = expect.last().copied().unwrap();
    fixture
        .write(move |tx| tx.admin_key_revoke(last, at(1)))
        .await;
    let actual = fixture.read(|view| view.admin_keys()).await;
    assert_eq!(ids_of(&actual, |key| key.id), expect);
}

/// Whoever starts with another pepper is told so and changes nothing.
pub async fn the_pepper_check_is_replaced_only_when_it_is_as_expected<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    for (expected, new, replaced, now) in [
        (Some("a"), "b", false, None),
        (None, "a", true, Some("a")),
        (None, "b", false, Some("a")),
        (Some("b"), "c", false, Some("a")),
        (Some("a"), "b", true, Some("b")),
    ] {
        let actual = fixture.write(move |tx| tx.pepper_check_replace(expected, new));
        assert_eq!(actual.await, replaced, "{expected:?} by {new}");
        let stored = fixture.read(|view| view.pepper_check()).await;
        assert_eq!(stored.as_deref(), now);
    }
}

/// Instances that start together agree on one pepper.
pub async fn of_many_first_starts_at_once_one_sets_the_pepper_check<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let actual = at_once(16, |n| {
        let (db, new) = (fixture.db.clone(), n.to_string());
        async move {
            let replaced = db.write(move |tx| tx.pepper_check_replace(None, &new));
            Result::<bool, StoreError>::unwrap(replaced.await)
        }
    });
    let winners: Vec<usize> = (0..)
        .zip(actual.await)
        .filter(|(_, won)| *won)
        .map(|(n, _)| n)
        .collect();
    let stored = fixture.read(|view| view.pepper_check()).await;
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(stored, winners.first().map(ToString::to_string));
}
