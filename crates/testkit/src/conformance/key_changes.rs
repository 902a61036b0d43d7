//! The log of changes that whoever remembers keys must follow.

use keys::{Changed, Changes, MIN_CHANGES_KEPT, OnRevoke, PartnerKey, RevocationReason};
use stores::{Database, StoreError, prelude::*};

use super::fixture::{Fixture, at, at_once};

async fn changes<D: Database>(fixture: &Fixture<D>, since: u64) -> Changes {
    fixture.read(move |view| view.key_changes(since)).await
}

async fn revision<D: Database>(fixture: &Fixture<D>) -> u64 {
    changes(fixture, 0).await.revision
}

/// What the work has logged.
async fn logged<D: Database>(
    fixture: &Fixture<D>,
    work: impl Fn(&mut D::Tx) -> Result<(), StoreError> + Send + 'static,
) -> Vec<Changed> {
    let before = revision(fixture).await;
    fixture.write(work).await;
    let after = changes(fixture, before).await;
    assert_eq!(after.revision, revision(fixture).await);
    let logged = after.changed.unwrap();
    let revisions: Vec<u64> = logged.iter().map(|change| change.0).collect();
    let expected: Vec<u64> = (before + 1..=after.revision).collect();
    assert_eq!(revisions, expected);
    logged.into_iter().map(|change| change.1).collect()
}

/// Whatever may take a right away is logged, and so is what brings a new admin key.
pub async fn every_change_of_what_is_remembered_has_a_revision_of_its_own<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let (id, of_key) = (key.id, [Changed::Key(key.id)]);
    let updated = PartnerKey {
        disabled: true,
        ..key
    };
    assert_eq!(
        logged(&fixture, move |tx| tx.key_update(&updated)).await,
        of_key
    );
    let revoke = logged(&fixture, move |tx| {
        tx.key_revoke(id, at(1), RevocationReason::Unspecified, OnRevoke::Keep)
            .map(drop)
    });
    assert_eq!(revoke.await, of_key);
    let rotated = fixture.key(&partner).await;
    let of_rotated = [Changed::Key(rotated.id)];
    let digest = fixture.build.digest();
    let mut cancelled = fixture.build.rotated(rotated.clone(), at(2));
    let (mut finished, stored) = (cancelled.clone(), cancelled.clone());
    let rotate = logged(&fixture, move |tx| {
        tx.key_rotate(&stored, &digest, Some(at(9)))
    });
    assert_eq!(rotate.await, of_rotated);
    finished.finish_rotation(at(3)).unwrap();
    let finish = logged(&fixture, move |tx| {
        tx.key_rotation_finish(&finished).map(drop)
    });
    assert_eq!(finish.await, of_rotated);
    cancelled.cancel_rotation(at(4)).unwrap();
    let cancel = logged(&fixture, move |tx| tx.key_rotation_cancel(&cancelled));
    assert_eq!(cancel.await, of_rotated);
    let of_partner = [Changed::Partner(partner.id)];
    let update = logged(&fixture, move |tx| tx.partner_update(&partner));
    assert_eq!(update.await, of_partner);

    let (admin, digest) = (fixture.build.admin_key(), fixture.build.digest());
    let admin_id = admin.id;
    let of_admins = [Changed::AdminKeys];
    let insert = logged(&fixture, move |tx| tx.admin_key_insert(&admin, &digest));
    assert_eq!(insert.await, of_admins);
    let revoke = logged(&fixture, move |tx| {
        tx.admin_key_revoke(admin_id, at(1)).map(drop)
    });
    assert_eq!(revoke.await, of_admins);
    let restore = logged(&fixture, move |tx| tx.admin_key_restore(admin_id));
    assert_eq!(restore.await, of_admins);
}

/// Nobody remembers a key that was not there, and a use takes nothing away; so the calls that are many
/// do not wait for the one row of the revision.
pub async fn a_new_key_and_a_noted_use_need_no_revision<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, digest) = (fixture.build.partner(), fixture.build.digest());
    let key = fixture.build.key(&partner);
    let none = logged(&fixture, move |tx| {
        tx.partner_insert(&partner)?;
        tx.key_insert(&key, &digest)?;
        tx.key_touch(key.id, None, at(5))?;
        tx.key_rotation_check_at(key.id, at(6))
    });
    assert_eq!(none.await, []);
}

/// A change that did not happen is not told.
pub async fn a_rolled_back_change_has_no_revision<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let before = revision(&fixture).await;
    let id = key.id;
    let failed: Result<(), StoreError> = fixture
        .db
        .write(move |tx| {
            tx.key_revoke(id, at(1), RevocationReason::Unspecified, OnRevoke::Keep)?;
            Err(StoreError::Corrupt { what: "a test" })
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(revision(&fixture).await, before);
    assert_eq!(changes(&fixture, before).await.changed, Some(Vec::new()));
}

/// Whoever has heard of some hears of the rest.
pub async fn changes_are_told_from_any_revision_in_their_order<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (one, two) = (
        fixture.key(&partner).await.id,
        fixture.key(&partner).await.id,
    );
    let before = revision(&fixture).await;
    fixture
        .write(move |tx| {
            tx.key_revoke(one, at(1), RevocationReason::Unspecified, OnRevoke::Keep)?;
            tx.key_revoke(two, at(1), RevocationReason::Unspecified, OnRevoke::Keep)
                .map(drop)
        })
        .await;
    let second = (before + 2, Changed::Key(two));
    let both = vec![(before + 1, Changed::Key(one)), second];
    let actual = |since| changes(&fixture, since);
    assert_eq!(actual(before).await.changed, Some(both));
    assert_eq!(actual(before + 1).await.changed, Some(vec![second]));
    assert_eq!(actual(before + 2).await.changed, Some(Vec::new()));
    assert_eq!(actual(before + 3).await.changed, None, "a step back");
}

/// A revision that is visible means that all before it are.
pub async fn changes_at_once_become_visible_without_a_gap<D: Database>(db: D) {
    const WRITERS: usize = 8;
    const EACH: usize = 10;
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let mut keys = Vec::new();
    for _ in 0..WRITERS {
        keys.push(fixture.key(&partner).await.id);
    }
    let begun = revision(&fixture).await;
    let follower = {
        let db = fixture.db.clone();
        tokio::spawn(async move {
            let mut seen = begun;
            let last = begun + u64::try_from(WRITERS * EACH).unwrap();
            while seen < last {
                let since = seen;
                let actual: Result<Changes, StoreError> =
                    db.read(move |view| view.key_changes(since)).await;
                let actual = actual.unwrap();
                assert!(actual.changed.is_some(), "a gap after {since}");
                seen = actual.revision;
                tokio::task::yield_now().await;
            }
        })
    };
    at_once(WRITERS, |writer| {
        let (db, id) = (fixture.db.clone(), *keys.get(writer).unwrap());
        async move {
            for _ in 0..EACH {
                let revoked: Result<bool, StoreError> = db
                    .write(move |tx| {
                        tx.key_revoke(id, at(1), RevocationReason::Unspecified, OnRevoke::Keep)
                    })
                    .await;
                revoked.unwrap();
            }
        }
    })
    .await;
    follower.await.unwrap();
}

/// The log is bounded; whoever comes too late for it must forget everything.
pub async fn a_log_that_does_not_reach_back_says_so<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let id = fixture.key(&partner).await.id;
    let before = revision(&fixture).await;
    // In several transactions, for each has a deadline.
    let mut left = MIN_CHANGES_KEPT + 1;
    while left > 0 {
        let some = left.min(100);
        fixture
            .write(move |tx| {
                for _ in 0..some {
                    tx.key_revoke(id, at(1), RevocationReason::Unspecified, OnRevoke::Keep)?;
                }
                Ok(())
            })
            .await;
        left -= some;
    }
    assert_eq!(changes(&fixture, before).await.changed, None);
    let kept = changes(&fixture, before + 1).await.changed.unwrap();
    assert_eq!(u64::try_from(kept.len()).unwrap(), MIN_CHANGES_KEPT);
}

/// Whoever waits for a confirmation finds out from which change on it counts, and others are told of it.
pub async fn a_change_to_be_confirmed_is_told_as_one<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (first, second) = (fixture.key(&partner).await, fixture.key(&partner).await);
    let before = revision(&fixture).await;
    let (one, other) = (first.id, second.id);
    let confirmed = fixture.write(move |tx| {
        tx.key_revoke(one, at(1), RevocationReason::Unspecified, OnRevoke::Keep)?;
        tx.key_change_confirm()
    });
    assert_eq!(confirmed.await, before + 1);
    let revoked = fixture.write(move |tx| {
        tx.key_revoke(other, at(1), RevocationReason::Unspecified, OnRevoke::Keep)
    });
    assert!(revoked.await);
    assert!(changes(&fixture, before).await.confirm);
    assert!(!changes(&fixture, before + 1).await.confirm);
    assert!(!changes(&fixture, before + 2).await.confirm);
    let again = fixture.write(move |tx| {
        tx.key_revoke(one, at(2), RevocationReason::Unspecified, OnRevoke::Keep)?;
        tx.key_change_confirm()
    });
    assert_eq!(again.await, before + 3);
    assert!(changes(&fixture, before + 2).await.confirm);
}
