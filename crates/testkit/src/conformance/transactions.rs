//! Transactions: all or nothing, one after another.

use ids::{Labels, PartnerId};
use keys::{OnRevoke, Partner, RevocationReason};
use orgs::OrgVisibility;
use stores::{Database, StoreError, Transaction, prelude::*};

use super::fixture::{Fixture, at_once};
use crate::build::labels;

/// How many writers there are at once.
const WRITERS: usize = 64;

/// What a use case's own error looks like to a store.
#[derive(Debug)]
enum Failure {
    Refused,
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Checks which of these partners are stored.
async fn check_stored<D: Database>(fixture: &Fixture<D>, expect: &[(&Partner, bool)]) {
    for (n, (partner, stored)) in expect.iter().enumerate() {
        let id: PartnerId = partner.id;
        let actual = fixture.read(move |view| view.partner(id)).await;
        assert_eq!(actual.is_some(), *stored, "partner {n}");
    }
}

/// The closure's own error comes back as it is, and nothing that came before it is there.
pub async fn an_error_rolls_everything_back<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (before, new) = (fixture.partner().await, fixture.build.partner());
    let mut changed = before.clone();
    changed.max_orgs = Some(7);
    let (id, inserted) = (before.id, new.clone());
    let refused = fixture.db.write(move |tx| {
        tx.partner_insert(&inserted)?;
        tx.partner_update(&changed)?;
        Err::<(), _>(Failure::Refused)
    });
    let error = refused.await.unwrap_err();
    assert!(matches!(error, Failure::Refused), "{error:?}");
    check_stored(&fixture, &[(&new, false)]).await;
    let actual = fixture.read(move |view| view.partner(id)).await;
    assert_eq!(actual, Some(before));
    // And so does a reader's.
    let refused = fixture.db.read(|_| Err::<(), _>(Failure::Refused)).await;
    assert!(matches!(refused, Err(Failure::Refused)));
}

/// Neither a writer's nor a reader's panic reaches anybody else.
pub async fn a_panic_changes_nothing_and_the_database_goes_on<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    for _ in 0..20 {
        let lost = fixture.build.partner();
        let inserted = lost.clone();
        let failed = fixture.db.write(move |tx| {
            tx.partner_insert(&inserted)?;
            panic!("a panic that this test is about: writer")
        });
        let failed: Result<(), Failure> = failed.await;
        assert!(matches!(failed, Err(Failure::Store(StoreError::Panicked))));
        check_stored(&fixture, &[(&lost, false)]).await;
    }
    for _ in 0..20 {
        let failed = fixture
            .db
            .read(|_| panic!("a panic that this test is about: reader"));
        let failed: Result<(), StoreError> = failed.await;
        assert!(matches!(failed, Err(StoreError::Panicked)));
    }
    let kept = fixture.partner().await;
    check_stored(&fixture, &[(&kept, true)]).await;
}

/// Before anybody else does.
pub async fn a_writer_sees_its_own_changes<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.build.partner();
    let key = fixture.build.key(&partner);
    let (id, digest) = (key.id, fixture.build.digest());
    let actual = fixture.write(move |tx| {
        tx.partner_insert(&partner)?;
        tx.key_insert(&key, &digest)?;
        let held = tx.key_by_digest(&[digest])?;
        tx.key_revoke(
            id,
            partner.created_at,
            RevocationReason::Unspecified,
            OnRevoke::Keep,
        )?;
        Ok((held, tx.key(id)?))
    });
    let (before, after) = actual.await;
    assert_eq!(before.unwrap().held.key.revoked_at, None);
    assert!(after.unwrap().key.revoked_at.is_some());
}

/// The refusal's own event is written after it.
pub async fn a_failed_savepoint_is_undone_and_the_rest_is_kept<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let [before, within, after] = [(); 3].map(|()| fixture.build.partner());
    let parts = (before.clone(), within.clone(), after.clone());
    let actual = fixture.write(move |tx| {
        let (before, within, after) = &parts;
        tx.partner_insert(before)?;
        let part = tx.savepoint(|tx| {
            tx.partner_insert(within)?;
            let mut changed = before.clone();
            changed.max_orgs = Some(7);
            tx.partner_update(&changed)?;
            Err::<(), _>(Failure::Refused)
        });
        assert!(matches!(part, Err(Failure::Refused)));
        let unchanged = tx.partner(before.id)? == Some(before.clone());
        tx.partner_insert(after)?;
        Ok(unchanged)
    });
    assert!(actual.await, "a change within the savepoint stayed");
    check_stored(
        &fixture,
        &[(&before, true), (&within, false), (&after, true)],
    )
    .await;
}

/// On PostgreSQL a refused statement ends the transaction, unless it was in a savepoint.
pub async fn a_violated_constraint_in_a_savepoint_leaves_the_rest_of_the_transaction<
    D: Database,
>(
    db: D,
) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let digest = fixture.add_key(&fixture.build.key(&partner)).await;
    let [before, within, after] = [(); 3].map(|()| fixture.build.partner());
    let twin = fixture.build.key(&partner);
    let parts = (before.clone(), within.clone(), after.clone());
    let actual = fixture.write(move |tx| {
        let (before, within, after) = &parts;
        tx.partner_insert(before)?;
        let part = tx.savepoint(|tx| {
            tx.partner_insert(within)?;
            tx.key_insert(&twin, &digest)
        });
        let asked = tx.partner(before.id)?.is_some();
        tx.partner_insert(after)?;
        Ok((part.is_err(), asked))
    });
    assert_eq!(actual.await, (true, true));
    check_stored(
        &fixture,
        &[(&before, true), (&within, false), (&after, true)],
    )
    .await;
}

/// A savepoint is a part, not a transaction of its own.
pub async fn a_kept_savepoint_is_rolled_back_with_its_transaction<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let within = fixture.build.partner();
    let inserted = within.clone();
    let refused = fixture.db.write(move |tx| {
        tx.savepoint(|tx| tx.partner_insert(&inserted).map_err(Failure::Store))?;
        Err::<(), _>(Failure::Refused)
    });
    assert!(refused.await.is_err());
    check_stored(&fixture, &[(&within, false)]).await;
}

/// An inner failure leaves the outer part, an outer failure takes the inner part with it.
pub async fn savepoints_nest<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let [a, b, c, d, e] = [(); 5].map(|()| fixture.build.partner());
    let parts = [&a, &b, &c, &d, &e].map(Clone::clone);
    fixture
        .write(move |tx| {
            let [a, b, c, d, e] = &parts;
            tx.savepoint(|tx| {
                tx.partner_insert(a)?;
                let inner = tx.savepoint(|tx| {
                    tx.partner_insert(b)?;
                    Err::<(), _>(StoreError::Overloaded)
                });
                assert!(inner.is_err());
                tx.partner_insert(c)
            })?;
            let outer = tx.savepoint(|tx| {
                tx.savepoint(|tx| tx.partner_insert(d))?;
                Err::<(), _>(StoreError::Overloaded)
            });
            assert!(outer.is_err());
            tx.savepoint(|tx| tx.partner_insert(e))
        })
        .await;
    let expect = [(&a, true), (&b, false), (&c, true), (&d, false), (&e, true)];
    check_stored(&fixture, &expect).await;
}

/// Runs the same change by many writers at once.
async fn change_at_once<D: Database>(
    fixture: &Fixture<D>,
    change: impl Fn(&mut D::Tx) -> Result<(), StoreError> + Clone + Send + 'static,
) {
    let results = at_once(WRITERS, |_| {
        let (db, change) = (fixture.db.clone(), change.clone());
        async move { db.write(change).await }
    });
    for result in results.await {
        result.unwrap();
    }
}

/// Each reads the row for an update, adds one and writes it.
pub async fn changes_of_one_partner_at_once_lose_none<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let id = fixture.partner().await.id;
    change_at_once(&fixture, move |tx| {
        let mut partner = tx.partner_for_update(id)?.unwrap();
        partner.max_orgs = Some(partner.max_orgs.unwrap_or(0) + 1);
        tx.partner_update(&partner)
    })
    .await;
    let actual = fixture.read(move |view| view.partner(id)).await;
    assert_eq!(actual.unwrap().max_orgs, WRITERS.try_into().ok());
}

fn counted(before: &Labels) -> Labels {
    let count: usize = before.get("count").map_or(0, |text| text.parse().unwrap());
    labels(&[("count", &(count + 1).to_string())])
}

/// Each reads the row for an update, adds one and writes it.
pub async fn changes_of_one_key_at_once_lose_none<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let id = fixture.key(&partner).await.id;
    change_at_once(&fixture, move |tx| {
        let mut key = tx.key_for_update(id)?.unwrap().key;
        key.labels = counted(&key.labels);
        tx.key_update(&key)
    })
    .await;
    let actual = fixture.stored_key(id).await.labels;
    assert_eq!(actual.get("count"), Some(WRITERS.to_string().as_str()));
}

/// Each reads the row for an update, adds one and writes it.
pub async fn changes_of_one_org_at_once_lose_none<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let id = fixture.any_org().await.id;
    change_at_once(&fixture, move |tx| {
        let mut org = tx.org_for_update(OrgVisibility::All, id)?.unwrap();
        org.attempts += 1;
        tx.org_update(&org, None)
    })
    .await;
    let actual = fixture.stored_org(id).await.attempts;
    assert_eq!(usize::try_from(actual), Ok(WRITERS));
}
