//! Kept answers: given back to the same call, erased, forgotten.

use ids::{AdminKeyId, KeyId};
use stores::{Database, KeptReply, ReplyId, ReplyStore as _, StoreError};
use time::Duration;

use super::world::{World, at};

const BODY: [u8; 32] = [7; 32];
const OTHER_BODY: [u8; 32] = [8; 32];

async fn begin<D: Database>(world: &World<D>, id: &ReplyId, micros: i64) -> Option<KeptReply> {
    let id = id.clone();
    // An answer is kept for ten microseconds here.
    let since = at(micros) - Duration::microseconds(10);
    world
        .write(move |tx| tx.reply_begin(&id, &BODY, at(micros), since))
        .await
}

async fn keep<D: Database>(world: &World<D>, id: &ReplyId, issued: Option<KeyId>) {
    let id = id.clone();
    world
        .write(move |tx| tx.reply_keep(&id, b"sealed", issued))
        .await;
}

fn kept() -> Option<KeptReply> {
    Some(KeptReply {
        body: BODY,
        sealed: Some(b"sealed".to_vec()),
    })
}

/// Of this credential, with this name.
pub async fn a_kept_answer_comes_back_to_the_same_call_alone<D: Database>(db: D) {
    let world = World::new(db);
    let (key, other): (KeyId, KeyId) = (world.build.id(), world.build.id());
    let id = ReplyId::of_key(key, [1; 32]);
    assert_eq!(begin(&world, &id, 0).await, None);
    keep(&world, &id, None).await;
    assert_eq!(begin(&world, &id, 1).await, kept());
    assert_eq!(begin(&world, &ReplyId::of_key(key, [2; 32]), 1).await, None);
    assert_eq!(
        begin(&world, &ReplyId::of_key(other, [1; 32]), 1).await,
        None
    );
    let admin: AdminKeyId = world.build.id();
    assert_eq!(
        begin(&world, &ReplyId::of_admin(admin, [1; 32]), 1).await,
        None
    );
    // Another body does not take the place; it is for the caller to compare.
    let same = id.clone();
    let told = world
        .write(move |tx| tx.reply_begin(&same, &OTHER_BODY, at(2), at(-9)))
        .await;
    assert_eq!(told, kept());
}

/// One begun at `since` is still kept, one begun earlier is not.
pub async fn an_outdated_answer_makes_room<D: Database>(db: D) {
    let world = World::new(db);
    let id = ReplyId::of_key(world.build.id(), [1; 32]);
    begin(&world, &id, 0).await;
    keep(&world, &id, Some(world.build.id())).await;
    assert_eq!(begin(&world, &id, 10).await, kept());
    assert_eq!(begin(&world, &id, 11).await, None);
    let empty = Some(KeptReply {
        body: BODY,
        sealed: None,
    });
    assert_eq!(
        begin(&world, &id, 12).await,
        empty,
        "the old answer is gone"
    );
}

/// So that the call is not carried out a second time.
pub async fn an_erased_answer_keeps_its_place<D: Database>(db: D) {
    let world = World::new(db);
    let (issued, other): (KeyId, KeyId) = (world.build.id(), world.build.id());
    let first = ReplyId::of_admin(world.build.id(), [1; 32]);
    let second = ReplyId::of_admin(world.build.id(), [1; 32]);
    for (id, key) in [(&first, issued), (&second, other)] {
        begin(&world, id, 0).await;
        keep(&world, id, Some(key)).await;
    }
    world.write(move |tx| tx.reply_erase(issued)).await;
    assert_eq!(
        begin(&world, &first, 1).await,
        Some(KeptReply {
            body: BODY,
            sealed: None
        })
    );
    assert_eq!(begin(&world, &second, 1).await, kept());
}

/// Then the call may be tried again.
pub async fn a_rolled_back_call_leaves_no_place_taken<D: Database>(db: D) {
    let world = World::new(db);
    let id = ReplyId::of_key(world.build.id(), [1; 32]);
    let tried = id.clone();
    let failed: Result<(), StoreError> = world
        .db
        .write(move |tx| {
            tx.reply_begin(&tried, &BODY, at(0), at(-10))?;
            Err(StoreError::Corrupt { what: "a test" })
        })
        .await;
    failed.unwrap_err();
    assert_eq!(begin(&world, &id, 1).await, None);
}

/// The others wait for it and are given its answer.
pub async fn of_many_who_take_one_place_one_gets_it<D: Database>(db: D) {
    let world = World::new(db);
    let id = ReplyId::of_key(world.build.id(), [1; 32]);
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let (db, id) = (world.db.clone(), id.clone());
            tokio::spawn(async move {
                db.write(move |tx| {
                    let found = tx.reply_begin(&id, &BODY, at(0), at(-10))?;
                    if found.is_none() {
                        tx.reply_keep(&id, b"sealed", None)?;
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
    let world = World::new(db);
    let ids: Vec<_> = (0..5)
        .map(|_| ReplyId::of_key(world.build.id(), [1; 32]))
        .collect();
    for (id, micros) in ids.iter().zip(0..) {
        begin(&world, id, micros).await;
        keep(&world, id, None).await;
    }
    let forget = async |limit| world.write(move |tx| tx.replies_forget(at(3), limit)).await;
    assert_eq!(forget(2).await, 2);
    assert_eq!(forget(10).await, 1);
    assert_eq!(forget(10).await, 0);
    for (id, is_kept) in ids.iter().zip([false, false, false, true, true]) {
        assert_eq!(begin(&world, id, 5).await.is_some(), is_kept);
    }
}
