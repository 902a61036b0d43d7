//! Stored responses, which duplicates of a request get.

use diesel::prelude::*;
use ids::KeyId;
use stores::{IdempotencyId, IdempotencyStore, StoreError, StoredResponse};
use time::OffsetDateTime;

use super::{locks::load_unlocked, values};
use crate::{
    connection::{
        AnyConnection, on_both,
        prepared::{self, Prepared},
    },
    session::{Session, Writing},
};

diesel::table! {
    replies (credential, call) {
        credential -> Text,
        call -> Binary,
        body -> Binary,
        sealed -> Nullable<Binary>,
        issued_key -> Nullable<Text>,
        begun_at -> BigInt,
    }
}

#[derive(Insertable)]
#[diesel(table_name = replies)]
struct ReplyRow {
    credential: String,
    call: Vec<u8>,
    body: Vec<u8>,
    begun_at: i64,
}

fn kept((body, sealed): (Vec<u8>, Option<Vec<u8>>)) -> Result<StoredResponse, StoreError> {
    let body = body
        .try_into()
        .map_err(|_| values::corrupt("the body of a kept answer"))?;
    Ok(StoredResponse { body, sealed })
}

impl IdempotencyStore for Session<Writing> {
    fn idempotency_begin(
        &mut self,
        id: &IdempotencyId,
        body: &[u8; 32],
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let row = ReplyRow {
            credential: id.credential().to_owned(),
            call: id.request().to_vec(),
            body: body.to_vec(),
            begun_at: values::micros(now),
        };
        if self.run(|connection| insert(connection, &row))? {
            return Ok(None);
        }
        let place = replies::table.find((&row.credential, &row.call));
        let outdated = place.filter(replies::begun_at.lt(values::micros(since)));
        let taken_over = self.run(|connection| {
            diesel::update(outdated)
                .set((
                    replies::body.eq(&row.body),
                    replies::sealed.eq(None::<Vec<u8>>),
                    replies::issued_key.eq(None::<String>),
                    replies::begun_at.eq(row.begun_at),
                ))
                .execute(connection)
        })?;
        if taken_over > 0 {
            return Ok(None);
        }
        let found = self.run(|connection| {
            place
                .select((replies::body, replies::sealed))
                .first(connection)
                .optional()
        })?;
        found.map(kept).transpose()
    }

    fn idempotency_store(
        &mut self,
        id: &IdempotencyId,
        sealed: &[u8],
        issued: Option<KeyId>,
    ) -> Result<(), StoreError> {
        let place = replies::table.find((id.credential(), id.request().as_slice()));
        let kept = diesel::update(place).set((
            replies::sealed.eq(sealed),
            replies::issued_key.eq(issued.map(|id| id.to_string())),
        ));
        self.run(|connection| prepared::execute(connection, kept))?;
        Ok(())
    }

    fn idempotency_erase(&mut self, issued: KeyId) -> Result<(), StoreError> {
        let shown = replies::table.filter(replies::issued_key.eq(issued.to_string()));
        let erased = diesel::update(shown).set(replies::sealed.eq(None::<Vec<u8>>));
        self.run(|connection| prepared::execute(connection, erased))?;
        Ok(())
    }

    fn idempotency_expire(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let outdated = replies::table
            .filter(replies::begun_at.lt(values::micros(since)))
            .order(replies::begun_at)
            .limit(values::row_count(limit))
            .select((replies::credential, replies::call));
        // Those that another transaction has locked are left, so that whoever deletes many waits for nobody.
        let outdated: Vec<(String, Vec<u8>)> =
            self.run(|connection| load_unlocked!(connection, outdated, for_update))?;
        let mut forgotten = 0;
        for (credential, call) in outdated {
            let place = replies::table
                .find((credential, call))
                .filter(replies::begun_at.lt(values::micros(since)));
            forgotten += self.run(|connection| diesel::delete(place).execute(connection))?;
        }
        Ok(forgotten)
    }
}

/// Adds the place for a response unless it is there; whether it was added.
///
/// On PostgreSQL it waits for whoever adds the same one at the same time.
fn insert(connection: &mut AnyConnection, row: &ReplyRow) -> QueryResult<bool> {
    on_both!(connection, |inner| Prepared(
        diesel::insert_into(replies::table)
            .values(row)
            .on_conflict((replies::credential, replies::call))
            .do_nothing()
    )
    .execute(inner))
    .map(|rows| rows > 0)
}
