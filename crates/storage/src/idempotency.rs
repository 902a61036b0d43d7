//! Rows of kept answers.

use diesel::prelude::*;
use ids::KeyId;
use stores::{IdempotencyId, IdempotencyStore, StoreError, StoredResponse};
use time::OffsetDateTime;

use crate::{
    dialect::{self, same},
    schema::replies,
    session::{Session, Writing},
    values,
};

#[derive(Insertable)]
#[diesel(table_name = replies)]
pub(crate) struct ReplyRow {
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
        if self.run(|connection| dialect::reply_insert(connection, &row))? {
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
        self.run(|connection| same::change(connection, kept))?;
        Ok(())
    }

    fn idempotency_erase(&mut self, issued: KeyId) -> Result<(), StoreError> {
        let shown = replies::table.filter(replies::issued_key.eq(issued.to_string()));
        let erased = diesel::update(shown).set(replies::sealed.eq(None::<Vec<u8>>));
        self.run(|connection| same::change(connection, erased))?;
        Ok(())
    }

    fn idempotency_expire(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let outdated = self.run(|connection| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            dialect::outdated_replies(connection, values::micros(since), limit)
        })?;
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
