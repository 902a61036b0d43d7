//! Keys that were rotated, and their two secrets.

use keys::{FoundKey, KeyDigest, KeyFilter, KeyWithPartner, PartnerKey, PepperId};
use stores::{Database, prelude::*};
use time::{Duration, OffsetDateTime};

use super::fixture::{ALL, Fixture, at};

/// A rotated key with the digests of its newest and its older secret.
struct Rotated {
    key: PartnerKey,
    newest: KeyDigest,
    older: KeyDigest,
}

async fn rotate<D: Database>(
    fixture: &Fixture<D>,
    key: PartnerKey,
    older: KeyDigest,
    check_at: Option<OffsetDateTime>,
) -> Rotated {
    let newest = fixture.build.digest();
    let key = fixture.build.rotated(key, at(10));
    let stored = key.clone();
    fixture
        .write(move |tx| tx.key_rotate(&stored, &newest, check_at))
        .await;
    Rotated { key, newest, older }
}

async fn rotated<D: Database>(fixture: &Fixture<D>) -> Rotated {
    let partner = fixture.partner().await;
    let key = fixture.build.key(&partner);
    let older = fixture.add_key(&key).await;
    rotate(fixture, key, older, Some(at(20))).await
}

async fn find<D: Database>(fixture: &Fixture<D>, digest: KeyDigest) -> Option<FoundKey> {
    let many = fixture
        .read(move |view| view.keys_by_digest(&[digest]))
        .await;
    let one = fixture
        .read(move |view| view.key_by_digest(&[digest]))
        .await;
    let many: Vec<FoundKey> = many.into_iter().map(|(_, found)| found).collect();
    assert_eq!(many, one.clone().into_iter().collect::<Vec<_>>());
    one
}

/// Whichever way it is read.
pub async fn a_rotated_key_is_found_by_both_of_its_secrets<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let Rotated { key, newest, older } = rotated(&fixture).await;
    let by_newest = find(&fixture, newest).await.unwrap();
    let by_older = find(&fixture, older).await.unwrap();
    assert_eq!(by_newest.secret, key.newest_secret());
    assert_eq!(Some(by_older.secret), key.older_secret());
    assert_ne!(by_newest.secret.created_at, key.created_at);
    let id = key.id;
    let read = fixture.read(move |view| view.key(id)).await.unwrap();
    let for_update = fixture.write(move |tx| tx.key_for_update(id)).await;
    let for_use = fixture
        .write(move |tx| tx.keys_for_use(&[id]))
        .await
        .first()
        .map(|held| KeyWithPartner::clone(held));
    for held in [Some(by_older.held), Some(read), for_update, for_use] {
        assert_eq!(held.as_ref(), Some(&by_newest.held));
    }
    assert_eq!(by_newest.held.key, key);
    let bystander = fixture.key(&by_newest.held.partner).await;
    let listed = fixture
        .read(|view| view.keys(&KeyFilter::default(), ALL))
        .await;
    assert_eq!(listed.items, [bystander, key]);
}

/// It is known until the next rotation, and what has become of it.
pub async fn a_secret_that_has_ended_is_known_until_the_next_rotation<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut first = rotated(&fixture).await;
    let secret = first.key.older_secret().unwrap();
    first.key.finish_rotation(at(15)).unwrap();
    let stored = first.key.clone();
    let finish = || {
        let stored = stored.clone();
        fixture.write(move |tx| tx.key_rotation_finish(&stored))
    };
    assert!(finish().await);
    assert!(!finish().await, "it is over");
    let found = find(&fixture, first.older).await.unwrap();
    assert_eq!(found.held.key, first.key);
    assert!(found.held.key.has_ended(&secret, at(15)));
    let second = rotate(&fixture, first.key, first.newest, None).await;
    assert_eq!(find(&fixture, first.older).await, None);
    let found = find(&fixture, second.older).await.unwrap();
    assert_eq!(Some(found.secret), second.key.older_secret());
    assert_eq!(
        find(&fixture, second.newest).await.unwrap().held.key,
        second.key
    );
}

/// As if the key had never been rotated, but that the other secret is known.
pub async fn a_cancelled_rotation_gives_the_older_secret_its_place_again<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let Rotated {
        mut key,
        newest,
        older,
    } = rotated(&fixture).await;
    let (first, second) = (key.older_secret().unwrap(), key.newest_secret());
    key.cancel_rotation(at(15)).unwrap();
    let stored = key.clone();
    fixture
        .write(move |tx| tx.key_rotation_cancel(&stored))
        .await;
    let kept = find(&fixture, older).await.unwrap();
    let ended = find(&fixture, newest).await.unwrap();
    assert_eq!((&kept.held.key, &kept.secret), (&key, &first));
    assert_eq!((&ended.held.key, &ended.secret), (&key, &second));
    assert!(key.has_ended(&second, at(15)) && !key.has_ended(&first, at(15)));
}

/// So that it can be told which of the two is still in use.
pub async fn a_use_is_noted_for_the_secret_that_was_used<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let Rotated { key, .. } = rotated(&fixture).await;
    let (id, newest, older) = (key.id, key.newest_secret(), key.older_secret().unwrap());
    let times = |key: &PartnerKey| {
        let rotation = key.rotation.as_ref().unwrap();
        let of = |at: Option<OffsetDateTime>| at.map(|at| (at - self::at(0)).whole_microseconds());
        (
            of(key.last_used_at),
            of(rotation.last_used_at),
            of(rotation.older.last_used_at),
        )
    };
    for (secret, micros, expect) in [
        (older.created_at, 30, (Some(30), None, Some(30))),
        (newest.created_at, 20, (Some(30), Some(20), Some(30))),
        (older.created_at, 25, (Some(30), Some(20), Some(30))),
        (newest.created_at, 40, (Some(40), Some(40), Some(30))),
        (at(999), 50, (Some(50), Some(40), Some(30))),
    ] {
        let noted = fixture.db.key_used(id, Some(secret), at(micros));
        Result::<(), stores::StoreError>::unwrap(noted.await);
        assert_eq!(times(&fixture.stored_key(id).await), expect, "{micros}");
    }
}

/// Those whose time has come, and none that is over.
pub async fn rotations_are_due_until_they_are_over<D: Database>(db: D) {
    let fixture = &Fixture::new(db);
    let partner = &fixture.partner().await;
    let add = |check_at| async move {
        let key = fixture.build.key(partner);
        let older = fixture.add_key(&key).await;
        rotate(fixture, key, older, check_at).await.key
    };
    let (mut a, mut b) = (add(Some(at(30))).await, add(Some(at(20))).await);
    let (over, d) = (add(None).await.id, add(Some(at(40))).await.id);
    let due = |micros, limit| fixture.read(move |view| view.rotations_due(at(micros), limit));
    let running = || fixture.read(|view| view.rotations_running(2));
    assert_eq!(due(19, 10).await, []);
    assert_eq!(due(30, 10).await, [b.id, a.id]);
    assert_eq!(due(99, 1).await, [b.id]);
    assert_eq!(running().await, 2);
    let later = b.id;
    fixture
        .write(move |tx| {
            tx.key_rotation_check_at(later, at(50))?;
            tx.key_rotation_check_at(over, at(1))
        })
        .await;
    assert_eq!(due(99, 10).await, [a.id, d, b.id]);
    a.finish_rotation(at(31)).unwrap();
    b.cancel_rotation(at(31)).unwrap();
    fixture
        .write(move |tx| {
            tx.key_rotation_finish(&a)?;
            tx.key_rotation_cancel(&b)
        })
        .await;
    assert_eq!(due(99, 10).await, [d]);
    assert_eq!(running().await, 1);
}

/// As long as it works; and a renewed one is found.
pub async fn an_older_secret_needs_its_pepper<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let Rotated { key, newest, older } = rotated(&fixture).await;
    let pepper = |digit: &str| -> PepperId { digit.repeat(16).parse().unwrap() };
    let (id, a, b) = (key.id, pepper("a"), pepper("b"));
    let counted = |now: OffsetDateTime| fixture.read(move |view| view.pepper_uses(now));
    let counts = |now: OffsetDateTime| async move {
        let uses = counted(now).await.into_iter();
        uses.map(|used| (used.pepper, used.partner_keys))
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(at(0)).await, [(None, 1)]);
    let (renewed, of_newest) = (
        fixture.build.digest().under(a),
        fixture.build.digest().under(b),
    );
    let results = fixture.write(move |tx| {
        Ok([
            tx.key_digest_renew(id, &older, &renewed)?,
            tx.key_digest_renew(id, &older, &renewed)?,
            tx.key_digest_renew(id, &newest, &of_newest)?,
        ])
    });
    assert_eq!(results.await, [true, false, true]);
    assert_eq!(find(&fixture, older).await, None);
    assert_eq!(
        find(&fixture, renewed).await.map(|found| found.secret),
        key.older_secret()
    );
    assert_eq!(counts(at(0)).await, [(Some(a), 1), (Some(b), 1)]);
    let end = at(10) + Duration::HOUR;
    assert_eq!(counts(end).await, [(Some(b), 1)]);
}
