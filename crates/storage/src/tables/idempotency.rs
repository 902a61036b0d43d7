//! Stored responses, which duplicates of a request get.

use diesel::prelude::*;
use ids::KeyId;
use stores::{
    IdempotencyId, IdempotencyQueries, IdempotencyStore, IssuedSecret, StoreError, StoredResponse,
};
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
        issued_at -> Nullable<BigInt>,
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

type SealedRow = (String, Vec<u8>, Option<Vec<u8>>);

fn sealed(
    (credential, call, sealed): SealedRow,
) -> Option<Result<(IdempotencyId, Vec<u8>), StoreError>> {
    let call = call.try_into();
    let call = call.map_err(|_| values::corrupt("the call of a kept answer"));
    let sealed = sealed?;
    Some(call.map(|call| (IdempotencyId::stored(credential, call), sealed)))
}

impl<M> IdempotencyQueries for Session<M> {
    fn sealed_responses(
        &mut self,
        after: Option<&IdempotencyId>,
        limit: usize,
    ) -> Result<Vec<(IdempotencyId, Vec<u8>)>, StoreError> {
        let (credential, call) = after.map_or((String::new(), Vec::new()), |id| {
            (id.credential().to_owned(), id.request().to_vec())
        });
        let kept = replies::table
            .filter(replies::sealed.is_not_null())
            .select((replies::credential, replies::call, replies::sealed));
        // Two searches, each along the primary key.
        let same = kept
            .filter(replies::credential.eq(&credential))
            .filter(replies::call.gt(call))
            .order(replies::call)
            .limit(values::row_count(limit));
        let mut rows: Vec<SealedRow> = self.run(|connection| same.load(connection))?;
        let others = kept
            .filter(replies::credential.gt(credential))
            .order((replies::credential, replies::call))
            .limit(values::row_count(limit.saturating_sub(rows.len())));
        rows.extend(self.run(|connection| others.load::<SealedRow>(connection))?);
        rows.into_iter().filter_map(sealed).collect()
    }
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
                    replies::issued_at.eq(None::<i64>),
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
        issued: Option<IssuedSecret>,
    ) -> Result<(), StoreError> {
        let place = replies::table.find((id.credential(), id.request().as_slice()));
        let kept = diesel::update(place).set((
            replies::sealed.eq(sealed),
            replies::issued_key.eq(issued.map(|issued| issued.key.to_string())),
            replies::issued_at.eq(issued.map(|issued| values::micros(issued.created_at))),
        ));
        self.run(|connection| prepared::execute(connection, kept))?;
        Ok(())
    }

    fn idempotency_erase(&mut self, key: KeyId) -> Result<(), StoreError> {
        let shown = replies::table.filter(replies::issued_key.eq(key.to_string()));
        let erased = diesel::update(shown).set(replies::sealed.eq(None::<Vec<u8>>));
        self.run(|connection| prepared::execute(connection, erased))?;
        Ok(())
    }

    fn idempotency_erase_secret(&mut self, issued: IssuedSecret) -> Result<(), StoreError> {
        let shown = replies::table
            .filter(replies::issued_key.eq(issued.key.to_string()))
            .filter(replies::issued_at.eq(values::micros(issued.created_at)));
        let erased = diesel::update(shown).set(replies::sealed.eq(None::<Vec<u8>>));
        self.run(|connection| prepared::execute(connection, erased))?;
        Ok(())
    }

    fn idempotency_reseal(
        &mut self,
        id: &IdempotencyId,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError> {
        let unchanged = replies::table
            .find((id.credential(), id.request().as_slice()))
            .filter(replies::sealed.eq(expected));
        // Whoever waited for one response with another one in hand could wait in a circle.
        let place = unchanged.select(replies::credential);
        let free: Vec<String> =
            self.run(|connection| load_unlocked!(connection, place, for_update))?;
        if free.is_empty() {
            return Ok(false);
        }
        let resealed = diesel::update(unchanged).set(replies::sealed.eq(new));
        let rows = self.run(|connection| prepared::execute(connection, resealed))?;
        Ok(rows > 0)
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
