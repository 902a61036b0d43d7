//! Kept answers: given back to the same call, erased, forgotten.

use ids::{AdminKeyId, KeyId};
use stores::{Database, IdempotencyId, IssuedSecret, StoreError, StoredResponse, prelude::*};
use time::Duration;

use super::fixture::{Fixture, at};

const BODY: [u8; 32] = [7; 32];
const OTHER_BODY: [u8; 32] = [8; 32];

async fn begin<D: Database>(
    fixture: &Fixture<D>,
    id: &IdempotencyId,
    micros: i64,
) -> Option<StoredResponse> {
    let id = id.clone();
    // An answer is kept for ten microseconds here.
    let since = at(micros) - Duration::microseconds(10);
    fixture
        .write(move |tx| tx.idempotency_begin(&id, &BODY, at(micros), since))
        .await
}

async fn keep<D: Database>(fixture: &Fixture<D>, id: &IdempotencyId, issued: Option<KeyId>) {
    let id = id.clone();
    let issued = issued.map(|key| secret(key, 0));
    fixture
        .write(move |tx| tx.idempotency_store(&id, b"sealed", issued))
        .await;
}

/// The secret of a key that was made after so many microseconds.
fn secret(key: KeyId, micros: i64) -> IssuedSecret {
    IssuedSecret {
        key,
        created_at: at(micros),
    }
}

fn kept() -> Option<StoredResponse> {
    Some(StoredResponse {
        body: BODY,
        sealed: Some(b"sealed".to_vec()),
    })
}

/// Of this credential, with this name.
pub async fn a_kept_answer_comes_back_to_the_same_call_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (key, other): (KeyId, KeyId) = (fixture.build.id(), fixture.build.id());
    let id = IdempotencyId::of_key(key, [1; 32]);
    assert_eq!(begin(&fixture, &id, 0).await, None);
    keep(&fixture, &id, None).await;
    assert_eq!(begin(&fixture, &id, 1).await, kept());
    assert_eq!(
        begin(&fixture, &IdempotencyId::of_key(key, [2; 32]), 1).await,
        None
    );
    assert_eq!(
        begin(&fixture, &IdempotencyId::of_key(other, [1; 32]), 1).await,
        None
    );
    let admin: AdminKeyId = fixture.build.id();
    assert_eq!(
        begin(&fixture, &IdempotencyId::of_admin(admin, [1; 32]), 1).await,
        None
    );
    // Another body does not take the place; it is for the caller to compare.
    let same = id.clone();
    let actual = fixture
        .write(move |tx| tx.idempotency_begin(&same, &OTHER_BODY, at(2), at(-9)))
        .await;
    assert_eq!(actual, kept());
}

/// One begun at `since` is still kept, one begun earlier is not.
pub async fn an_outdated_answer_makes_room<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let id = IdempotencyId::of_key(fixture.build.id(), [1; 32]);
    begin(&fixture, &id, 0).await;
    keep(&fixture, &id, Some(fixture.build.id())).await;
    assert_eq!(begin(&fixture, &id, 10).await, kept());
    assert_eq!(begin(&fixture, &id, 11).await, None);
    let empty = Some(StoredResponse {
        body: BODY,
        sealed: None,
    });
    assert_eq!(
        begin(&fixture, &id, 12).await,
        empty,
        "the old answer is gone"
    );
}

/// So that the call is not carried out a second time.
pub async fn an_erased_answer_keeps_its_place<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (issued, other): (KeyId, KeyId) = (fixture.build.id(), fixture.build.id());
    let first = IdempotencyId::of_admin(fixture.build.id(), [1; 32]);
    let second = IdempotencyId::of_admin(fixture.build.id(), [1; 32]);
    for (id, key) in [(&first, issued), (&second, other)] {
        begin(&fixture, id, 0).await;
        keep(&fixture, id, Some(key)).await;
    }
    fixture.write(move |tx| tx.idempotency_erase(issued)).await;
    assert_eq!(
        begin(&fixture, &first, 1).await,
        Some(StoredResponse {
            body: BODY,
            sealed: None
        })
    );
    assert_eq!(begin(&fixture, &second, 1).await, kept());
}

/// The answers that show a key's other secrets stay.
pub async fn the_answer_of_one_secret_is_erased_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let key: KeyId = fixture.build.id();
    let [first, second] =
        [1, 2].map(|byte| IdempotencyId::of_admin(fixture.build.id(), [byte; 32]));
    for (id, micros) in [(&first, 0), (&second, 5)] {
        begin(&fixture, id, 0).await;
        let (place, issued) = (id.clone(), secret(key, micros));
        fixture
            .write(move |tx| tx.idempotency_store(&place, b"sealed", Some(issued)))
            .await;
    }
    fixture
        .write(move |tx| tx.idempotency_erase_secret(secret(key, 5)))
        .await;
    assert_eq!(begin(&fixture, &first, 1).await, kept());
    assert_eq!(begin(&fixture, &second, 1).await.unwrap().sealed, None);
    fixture.write(move |tx| tx.idempotency_erase(key)).await;
    assert_eq!(begin(&fixture, &first, 1).await.unwrap().sealed, None);
}

/// Then the call may be tried again.
pub async fn a_rolled_back_call_leaves_no_place_taken<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let id = IdempotencyId::of_key(fixture.build.id(), [1; 32]);
    let tried = id.clone();
    let failed: Result<(), StoreError> = fixture
        .db
        .write(move |tx| {
            tx.idempotency_begin(&tried, &BODY, at(0), at(-10))?;
            Err(StoreError::Corrupt { what: "a test" })
        })
        .await;
    failed.unwrap_err();
    assert_eq!(begin(&fixture, &id, 1).await, None);
}

/// The others wait for it and are given its answer.
pub async fn of_many_who_take_one_place_one_gets_it<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let id = IdempotencyId::of_key(fixture.build.id(), [1; 32]);
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let (db, id) = (fixture.db.clone(), id.clone());
            tokio::spawn(async move {
                db.write(move |tx| {
                    let found = tx.idempotency_begin(&id, &BODY, at(0), at(-10))?;
                    if found.is_none() {
                        tx.idempotency_store(&id, b"sealed", None)?;
                    }
                    Ok::<_, StoreError>(found)
                })
                .await
            })
        })
        .collect();
    let mut first = 0;
    for call in calls {
        match call.await.unwrap().unwrap() {
            None => first += 1,
            found => assert_eq!(found, kept()),
        }
    }
    assert_eq!(first, 1);
}

/// The oldest first.
pub async fn outdated_answers_are_forgotten_up_to_the_limit<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let ids: Vec<_> = (0..5)
        .map(|_| IdempotencyId::of_key(fixture.build.id(), [1; 32]))
        .collect();
    for (id, micros) in ids.iter().zip(0..) {
        begin(&fixture, id, micros).await;
        keep(&fixture, id, None).await;
    }
    let forget = async |limit| {
        fixture
            .write(move |tx| tx.idempotency_expire(at(3), limit))
            .await
    };
    assert_eq!(forget(2).await, 2);
    assert_eq!(forget(10).await, 1);
    assert_eq!(forget(10).await, 0);
    for (id, is_kept) in ids.iter().zip([false, false, false, true, true]) {
        assert_eq!(begin(&fixture, id, 5).await.is_some(), is_kept);
    }
}

/// Of all credentials; those that were erased are left out.
pub async fn kept_answers_are_read_page_by_page<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (key, admin): (KeyId, AdminKeyId) = (fixture.build.id(), fixture.build.id());
    let other: KeyId = fixture.build.id();
    // In the order of the texts: `adm_`, then `pak_`.
    let mut ids = vec![IdempotencyId::of_admin(admin, [9; 32])];
    ids.extend([1, 0x7f, 0x80, 0xff].map(|byte| IdempotencyId::of_key(key, [byte; 32])));
    ids.push(IdempotencyId::of_key(other, [0; 32]));
    for id in &ids {
        begin(&fixture, id, 0).await;
        keep(&fixture, id, None).await;
    }
    let issued: KeyId = fixture.build.id();
    let erased = IdempotencyId::of_key(key, [2; 32]);
    begin(&fixture, &erased, 0).await;
    keep(&fixture, &erased, Some(issued)).await;
    fixture.write(move |tx| tx.idempotency_erase(issued)).await;
    for limit in [1, 2, 5, 6, 7] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let behind = after.clone();
            let page = fixture
                .read(move |view| view.sealed_responses(behind.as_ref(), limit))
                .await;
            let Some((last, _)) = page.last() else { break };
            assert!(page.len() <= limit);
            after = Some(last.clone());
            found.extend(page);
        }
        let expect: Vec<_> = ids
            .iter()
            .map(|id| (id.clone(), b"sealed".to_vec()))
            .collect();
        assert_eq!(found, expect, "{limit} a page");
    }
}

/// So that nothing that was erased or replaced comes back.
pub async fn an_answer_is_resealed_only_from_what_is_kept<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let issued: KeyId = fixture.build.id();
    let id = IdempotencyId::of_admin(fixture.build.id(), [1; 32]);
    begin(&fixture, &id, 0).await;
    keep(&fixture, &id, Some(issued)).await;
    let reseal = |expected: &'static [u8], new: &'static [u8]| {
        let id = id.clone();
        fixture.write(move |tx| tx.idempotency_reseal(&id, expected, new))
    };
    assert!(!reseal(b"seale", b"anew").await);
    assert!(reseal(b"sealed", b"anew").await);
    assert!(!reseal(b"sealed", b"anew").await);
    let found = begin(&fixture, &id, 1).await.unwrap();
    assert_eq!((found.body, found.sealed), (BODY, Some(b"anew".to_vec())));
    fixture.write(move |tx| tx.idempotency_erase(issued)).await;
    assert!(!reseal(b"anew", b"sealed").await);
    assert_eq!(begin(&fixture, &id, 1).await.unwrap().sealed, None);
}
