//! Which pepper each digest was made with.

use keys::{KeyDigest, PepperId, PepperNotes, PepperUse};
use stores::{Database, prelude::*};

use super::fixture::{Fixture, at};

fn pepper(digit: char) -> PepperId {
    digit.to_string().repeat(16).parse().unwrap()
}

fn used(pepper: Option<PepperId>, partner_keys: u64, admin_keys: u64) -> PepperUse {
    PepperUse {
        pepper,
        partner_keys,
        admin_keys,
        org_secrets: 0,
    }
}

async fn uses<D: Database>(fixture: &Fixture<D>) -> Vec<PepperUse> {
    fixture.read(|view| view.pepper_uses(at(0))).await
}

/// So that neither a rotation nor another renewal is undone.
pub async fn a_digest_is_renewed_only_from_the_one_that_is_stored<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (key, admin_key) = (fixture.build.key(&partner), fixture.build.admin_key());
    let old = fixture.add_key(&key).await;
    let (of_admin, new) = (
        fixture.build.digest(),
        fixture.build.digest().under(pepper('a')),
    );
    let new_of_admin = fixture.build.digest().under(pepper('a'));
    let (id, admin_id) = (key.id, admin_key.id);
    fixture
        .write(move |tx| tx.admin_key_insert(&admin_key, &of_admin))
        .await;
    let renew = |from: KeyDigest, to: KeyDigest| {
        fixture.write(move |tx| tx.key_digest_renew(id, &from, &to))
    };
    let stranger = fixture.build.digest();
    assert!(!renew(stranger, new).await);
    assert!(renew(old, new).await);
    assert!(!renew(old, stranger).await);
    let find = |digest: KeyDigest| fixture.read(move |view| view.key_by_digest(&[digest]));
    assert_eq!(find(new).await.map(|found| found.held.key), Some(key));
    assert_eq!(find(old).await, None);
    let renewed = fixture.write(move |tx| {
        Ok([
            tx.admin_key_digest_renew(admin_id, &new, &new_of_admin)?,
            tx.admin_key_digest_renew(admin_id, &of_admin, &new_of_admin)?,
        ])
    });
    assert_eq!(renewed.await, [false, true]);
    let found = fixture.read(move |view| view.admin_key_by_digest(&[new_of_admin]));
    assert!(found.await.is_some());
    assert_eq!(uses(&fixture).await, [used(Some(pepper('a')), 1, 1)]);
}

/// A key that is revoked or has expired needs no pepper, a disabled one does.
pub async fn only_keys_that_can_be_used_need_a_pepper<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    assert_eq!(uses(&fixture).await, []);
    let partner = fixture.partner().await;
    let mut keys = [(); 6].map(|()| fixture.build.key(&partner));
    keys[1].disabled = true;
    keys[2].expires_at = Some(at(1));
    keys[3].expires_at = Some(at(0));
    keys[4].revoked_at = Some(at(0));
    for (place, key) in keys.into_iter().enumerate() {
        let digest = fixture.build.digest();
        let digest = if place < 5 {
            digest.under(pepper('b'))
        } else {
            digest
        };
        fixture.write(move |tx| tx.key_insert(&key, &digest)).await;
    }
    for revoked_at in [None, Some(at(0))] {
        let (mut key, digest) = (fixture.build.admin_key(), fixture.build.digest());
        key.revoked_at = revoked_at;
        let digest = digest.under(pepper('c'));
        fixture
            .write(move |tx| tx.admin_key_insert(&key, &digest))
            .await;
    }
    let expect = [
        used(None, 1, 0),
        used(Some(pepper('b')), 3, 0),
        used(Some(pepper('c')), 0, 1),
    ];
    assert_eq!(uses(&fixture).await, expect);
}

/// It is for keys of earlier versions.
pub async fn a_pepper_is_noted_only_where_none_is_known<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    for digest in [
        fixture.build.digest(),
        fixture.build.digest().under(pepper('a')),
    ] {
        let (key, admin_key) = (fixture.build.key(&partner), fixture.build.admin_key());
        let of_admin = digest.pepper().map_or_else(
            || fixture.build.digest(),
            |pepper| fixture.build.digest().under(pepper),
        );
        fixture
            .write(move |tx| {
                tx.key_insert(&key, &digest)?;
                tx.admin_key_insert(&admin_key, &of_admin)
            })
            .await;
    }
    fixture.write(|tx| tx.pepper_label(pepper('b'))).await;
    let expect = [used(Some(pepper('a')), 1, 1), used(Some(pepper('b')), 1, 1)];
    assert_eq!(uses(&fixture).await, expect);
}

/// The last ones count.
pub async fn what_is_noted_of_peppers_is_kept<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let notes = || fixture.read(|view| view.pepper_notes());
    assert_eq!(notes().await, PepperNotes::default());
    let full = PepperNotes {
        given: ['a', 'b'].map(pepper).into(),
        given_up: ['c', 'd'].map(pepper).into(),
    };
    for written in [full, PepperNotes::default()] {
        let expect = written.clone();
        fixture
            .write(move |tx| tx.pepper_notes_replace(&written))
            .await;
        assert_eq!(notes().await, expect);
    }
}
