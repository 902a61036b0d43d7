//! Orgs that end: by label, by their lease, and with the key that made them.

use std::{thread, time::Duration};

use ids::{KeyId, OrgId};
use keys::{KeyStatus, OnRevoke, PartnerKey, RevocationReason};
use orgs::{DeletionSelector, Failure, Org, OrgVisibility, Step, StepName, Transition};
use serde_json::json;
use stores::{Database, StoreError, prelude::*};

use super::{
    fixture::{Fixture, acquire_slug_and_insert, at, at_once, ids_of},
    orgs::{STATUSES, update},
};
use crate::{build::labels, clock::START};

const MANY: usize = 1000;

/// The ids of the orgs that are to go, which a writer and a reader must agree on.
pub(super) async fn doomed<D: Database>(
    fixture: &Fixture<D>,
    which: &DeletionSelector,
) -> Vec<OrgId> {
    let (read, held) = (which.clone(), which.clone());
    let read = fixture
        .read(move |view| view.orgs_to_delete(&read, MANY))
        .await;
    let held = fixture.write(move |tx| tx.orgs_to_delete_for_update(&held, MANY));
    let sorted = |orgs: &[Org]| {
        let mut ids = ids_of(orgs, |org| org.id);
        ids.sort_unstable();
        ids
    };
    assert_eq!(sorted(&held.await), sorted(&read), "{which:?}");
    ids_of(&read, |org| org.id)
}

fn labelled(visibility: OrgVisibility, pairs: &[(&str, &str)]) -> DeletionSelector {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    DeletionSelector::Labelled(visibility, pairs.iter().map(owned).collect())
}

/// A stored org of this key, changed before it is stored.
pub(super) async fn org<D: Database>(
    fixture: &Fixture<D>,
    key: &PartnerKey,
    change: impl FnOnce(&mut Org),
) -> OrgId {
    let mut org = fixture.build.org(key);
    change(&mut org);
    fixture.add_org(&org).await;
    org.id
}

/// Of one key alone, whatever else its partner has.
pub async fn the_orgs_of_a_key_are_counted_until_they_are_deleted<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (key, sister) = (fixture.key(&partner).await, fixture.key(&partner).await);
    for status in STATUSES {
        org(&fixture, &key, |org| org.status = status).await;
    }
    let last = fixture.org(&sister).await;
    let count = |of| fixture.read(move |view| Ok(view.live_org_counts_of_keys(&[of])?.remove(0)));
    assert_eq!((count(key.id).await, count(sister.id).await), (6, 1));
    fixture.delete_org(&last, at(1)).await;
    assert_eq!((count(key.id).await, count(sister.id).await), (6, 0));
}

/// All of the labels must fit, newest first, and nothing beyond the visibility is touched.
pub async fn orgs_are_selected_by_label_within_the_visibility_alone<D: Database>(db: D) {
    type Row<'a> = (OrgVisibility, &'a [(&'a str, &'a str)], &'a [OrgId]);
    let fixture = Fixture::new(db);
    let (p, q) = (fixture.partner().await, fixture.partner().await);
    let (p1, p2) = (fixture.key(&p).await, fixture.key(&p).await);
    let q1 = fixture.key(&q).await;
    let with = |pairs: &'static [(&str, &str)]| move |org: &mut Org| org.labels = labels(pairs);
    let a = org(&fixture, &p1, with(&[("run", "7"), ("step", "a")])).await;
    let b = org(&fixture, &p2, with(&[("run", "7")])).await;
    let c = org(&fixture, &p1, with(&[("run", "8")])).await;
    let d = org(&fixture, &q1, with(&[("run", "7")])).await;
    org(&fixture, &p1, |_| ()).await;
    let rows: [Row<'_>; 9] = [
        (OrgVisibility::All, &[("run", "7")], &[d, b, a]),
        (OrgVisibility::Partner(p.id), &[("run", "7")], &[b, a]),
        (
            OrgVisibility::Partner(p.id),
            &[("run", "7"), ("step", "a")],
            &[a],
        ),
        (
            OrgVisibility::Partner(p.id),
            &[("run", "7"), ("run", "8")],
            &[],
        ),
        (OrgVisibility::Partner(p.id), &[("run", "")], &[]),
        (OrgVisibility::Partner(q.id), &[("run", "7")], &[d]),
        (OrgVisibility::One(p.id, b), &[("run", "7")], &[b]),
        (OrgVisibility::One(p.id, c), &[("run", "7")], &[]),
        (OrgVisibility::One(q.id, a), &[("run", "7")], &[]),
    ];
    for (visibility, pairs, expect) in rows {
        let which = labelled(visibility, pairs);
        assert_eq!(doomed(&fixture, &which).await, expect, "{which:?}");
    }
}

/// Not a microsecond early; without a lease, never.
pub async fn orgs_are_selected_by_their_lease_to_the_very_moment<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let ends = |micros| move |org: &mut Org| org.expires_at = Some(at(micros));
    let (soon, later) = (
        org(&fixture, &key, ends(10)).await,
        org(&fixture, &key, ends(20)).await,
    );
    org(&fixture, &key, |_| ()).await;
    let rows: [(i64, &[OrgId]); 4] = [(9, &[]), (10, &[soon]), (19, &[soon]), (20, &[soon, later])];
    for (now, expect) in rows {
        let mut actual = doomed(&fixture, &DeletionSelector::Expired(at(now))).await;
        actual.sort_unstable();
        assert_eq!(actual, expect, "{now}");
    }
}

/// And by no other of the same partner. Those that are protected from deletion are left.
pub async fn orgs_are_selected_by_the_key_that_made_them<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (key, sister) = (fixture.key(&partner).await, fixture.key(&partner).await);
    let a = fixture.org(&key).await.id;
    let b = fixture.org(&sister).await.id;
    let protected = Org {
        delete_protection: true,
        ..fixture.build.org(&key)
    };
    fixture.add_org(&protected).await;
    let by = |key: &PartnerKey| DeletionSelector::MadeBy(key.id);
    assert_eq!(doomed(&fixture, &by(&key)).await, [a]);
    assert_eq!(doomed(&fixture, &by(&sister)).await, [b]);
    assert_eq!(
        doomed(&fixture, &DeletionSelector::MadeBy(fixture.build.id())).await,
        []
    );
}

/// Whatever it was picked by.
pub async fn what_is_going_or_gone_is_not_doomed<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut expect = Vec::new();
    for status in STATUSES {
        let id = org(&fixture, &key, |org| {
            org.status = status;
            org.expires_at = Some(at(1));
            org.labels = labels(&[("a", "b")]);
        });
        let id = id.await;
        if status.is_deletable() {
            expect.push(id);
        }
    }
    assert_eq!(expect.len(), 5);
    for which in [
        labelled(OrgVisibility::Partner(partner.id), &[("a", "b")]),
        DeletionSelector::Expired(at(2)),
        DeletionSelector::MadeBy(key.id),
    ] {
        let mut actual = doomed(&fixture, &which).await;
        actual.sort_unstable();
        assert_eq!(actual, expect, "{which:?}");
    }
}

/// The newest, where they are picked by label.
pub async fn no_more_orgs_are_doomed_than_asked_for<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        let id = org(&fixture, &key, |org| {
            org.labels = labels(&[("a", "b")]);
            org.expires_at = Some(START);
        });
        all.push(id.await);
    }
    let newest: Vec<OrgId> = all.iter().rev().take(2).copied().collect();
    let which = labelled(OrgVisibility::Partner(partner.id), &[("a", "b")]);
    let asked = which.clone();
    let read = fixture
        .read(move |view| view.orgs_to_delete(&asked, 2))
        .await;
    assert_eq!(ids_of(&read, |org| org.id), newest);
    for which in [
        which,
        DeletionSelector::Expired(START),
        DeletionSelector::MadeBy(key.id),
    ] {
        let held = fixture.write(move |tx| tx.orgs_to_delete_for_update(&which, 2));
        assert_eq!(held.await.len(), 2);
    }
}

/// The same rows as one deletion after another leaves, and orgs that were not named stay.
pub async fn orgs_sent_off_are_as_after_a_deletion_of_each<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut before = Vec::new();
    for status in STATUSES.into_iter().filter(|status| status.is_deletable()) {
        let org = Org {
            status,
            attempts: 7,
            change: Some(update("free", json!({}))),
            failure: Some(Failure {
                code: "quota".to_owned(),
                message: "there is no room".to_owned(),
            }),
            expires_at: Some(at(3)),
            ready_at: Some(at(2)),
            ..fixture.build.org(&key)
        };
        fixture.add_org(&org).await;
        before.push(org);
    }
    let stays = fixture.org(&key).await;
    let ids = ids_of(&before, |org| org.id);
    fixture
        .write(move |tx| tx.orgs_begin_deprovision(&ids, at(9)))
        .await;
    for mut org in before {
        org.apply(Transition::Delete, at(9)).unwrap();
        let id = org.id;
        assert_eq!(fixture.stored_org(id).await, org);
        let mut steps = StepName::PROVISIONING_STEPS.map(Step::pending).to_vec();
        steps.push(Step::pending(StepName::Deprovision));
        assert_eq!(fixture.read(move |view| view.org_steps(id)).await, steps);
    }
    assert_eq!(fixture.stored_org(stays.id).await, stays);
    let id = stays.id;
    let steps = fixture.read(move |view| view.org_steps(id)).await;
    assert_eq!(steps, StepName::PROVISIONING_STEPS.map(Step::pending));
    let none = fixture.write(|tx| tx.orgs_begin_deprovision(&[], at(9)));
    none.await;
    let key = key.id;
    let due = fixture.read(|view| view.next_org_due(at(9))).await;
    assert_eq!(due, Some(START), "the one that stays is still new");
    let left = doomed(&fixture, &DeletionSelector::MadeBy(key)).await;
    assert_eq!(left, [stays.id]);
}

/// A renewal beside the reconciler's work must not undo it.
pub async fn a_lease_is_renewed_and_nothing_else<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let (mut org, bystander) = (fixture.build.org(&key), fixture.org(&key).await);
    org.expires_at = Some(at(1));
    fixture.add_org(&org).await;
    let id = org.id;
    let due = org.clone();
    fixture
        .write(move |tx| tx.org_update(&due, Some(at(70))))
        .await;
    fixture.write(move |tx| tx.org_renew(id, at(60))).await;
    org.expires_at = Some(at(60));
    assert_eq!(fixture.stored_org(id).await, org);
    assert_eq!(fixture.stored_org(bystander.id).await, bystander);
    let other = bystander.clone();
    fixture.write(move |tx| tx.org_update(&other, None)).await;
    let due = fixture.read(|view| view.next_org_due(at(0))).await;
    assert_eq!(due, Some(at(70)));
}

/// Eight at once, in any order: no org gets its step twice, and nobody waits for ever.
pub async fn of_many_who_send_the_same_orgs_off_each_is_sent_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(fixture.org(&key).await.id);
    }
    let key = key.id;
    let actual = at_once(8, |_| {
        let db = fixture.db.clone();
        async move {
            let sent = db.write(move |tx| {
                let orgs = tx.orgs_to_delete_for_update(&DeletionSelector::MadeBy(key), MANY)?;
                let ids = ids_of(&orgs, |org| org.id);
                tx.orgs_begin_deprovision(&ids, at(1))?;
                Ok::<_, StoreError>(ids)
            });
            sent.await.unwrap()
        }
    });
    let mut actual: Vec<OrgId> = actual.await.into_iter().flatten().collect();
    actual.sort_unstable();
    assert_eq!(actual, all);
    for id in all {
        let steps = fixture.read(move |view| view.org_steps(id)).await;
        assert_eq!(steps.len(), 3, "{steps:?}");
    }
}

/// The one that was noted first comes first.
pub async fn a_key_is_noted_until_its_orgs_are_gone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (a, b) = (
        fixture.key(&partner).await.id,
        fixture.key(&partner).await.id,
    );
    let noted = || fixture.read(|view| view.key_with_orgs_pending_deletion());
    let note =
        |id: KeyId, since| fixture.write(move |tx| tx.key_set_orgs_pending_deletion(id, since));
    assert_eq!(noted().await, None);
    note(a, Some(at(2))).await;
    note(b, Some(at(1))).await;
    assert_eq!(noted().await, Some(b));
    note(b, None).await;
    assert_eq!(noted().await, Some(a));
    let stale = fixture.stored_key(a).await;
    fixture.write(move |tx| tx.key_update(&stale)).await;
    assert_eq!(
        noted().await,
        Some(a),
        "a change of the key leaves the note"
    );
    note(a, None).await;
    assert_eq!(noted().await, None);
}

/// The revocation itself waits for nobody who uses the key.
pub async fn whoever_awaits_the_uses_of_a_revoked_key_sees_every_org_of_its_making<D: Database>(
    db: D,
) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let id = key.id;
    let orgs: Vec<Org> = (0..12).map(|_| fixture.build.org(&key)).collect();
    let actual = at_once(orgs.len() + 1, |n| {
        let (db, org) = (fixture.db.clone(), orgs.get(n).cloned());
        async move {
            let Some(org) = org else {
                let revoked = db.write(move |tx| {
                    tx.key_for_update(id)?;
                    tx.key_revoke(id, START, RevocationReason::Unspecified, OnRevoke::Keep)
                });
                assert!(Result::<bool, StoreError>::unwrap(revoked.await));
                let awaited = db.write(move |tx| tx.key_wait_for_inflight(id));
                Result::<(), StoreError>::unwrap(awaited.await);
                let seen =
                    db.read(move |view| view.orgs_to_delete(&DeletionSelector::MadeBy(id), MANY));
                return Result::<Vec<Org>, StoreError>::unwrap(seen.await).len();
            };
            let made = db.write(move |tx| {
                let held = tx.key_for_use(id)?.unwrap();
                thread::sleep(Duration::from_millis(3));
                if held.key.status(START) == KeyStatus::Active {
                    acquire_slug_and_insert(tx, &org, START)?;
                }
                Ok::<_, StoreError>(())
            });
            made.await.unwrap();
            0
        }
    });
    let seen: usize = actual.await.into_iter().sum();
    let made = doomed(&fixture, &DeletionSelector::MadeBy(id)).await;
    assert_eq!(made.len(), seen);
}

/// With the revocation, and once.
pub async fn a_revocation_notes_the_orgs_that_are_to_go<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let [going, keeping] = [
        fixture.key(&partner).await.id,
        fixture.key(&partner).await.id,
    ];
    let why = RevocationReason::Unspecified;
    let revoke = |id, orgs| fixture.write(move |tx| tx.key_revoke(id, at(1), why, orgs));
    let noted = || fixture.read(|view| view.key_with_orgs_pending_deletion());
    assert!(revoke(keeping, OnRevoke::Keep).await);
    assert_eq!(noted().await, None);
    assert!(revoke(going, OnRevoke::Delete).await);
    assert_eq!(noted().await, Some(going));
    fixture
        .write(move |tx| tx.key_set_orgs_pending_deletion(going, None))
        .await;
    for id in [going, keeping] {
        assert!(!revoke(id, OnRevoke::Delete).await);
    }
    assert_eq!(noted().await, None);
}
