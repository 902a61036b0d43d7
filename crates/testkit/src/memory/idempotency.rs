//! Kept answers in memory.

use ids::KeyId;
use stores::{
    IdempotencyId, IdempotencyQueries, IdempotencyStore, IssuedSecret, StoreError, StoredResponse,
};
use time::OffsetDateTime;

use super::session::{MemoryTx, ReplyRow, Session};

fn place(id: &IdempotencyId) -> (String, [u8; 32]) {
    (id.credential().to_owned(), *id.request())
}

impl<Mode> IdempotencyQueries for Session<Mode> {
    fn sealed_responses(
        &mut self,
        after: Option<&IdempotencyId>,
        limit: usize,
    ) -> Result<Vec<(IdempotencyId, Vec<u8>)>, StoreError> {
        let after = after.map(place);
        let rows = self.state.replies.entries();
        let behind = rows.filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after));
        let sealed = behind.filter_map(|((credential, request), row)| {
            let id = IdempotencyId::stored(credential.clone(), *request);
            Some((id, row.kept.sealed.clone()?))
        });
        Ok(sealed.take(limit).collect())
    }
}

impl IdempotencyStore for MemoryTx {
    fn idempotency_begin(
        &mut self,
        id: &IdempotencyId,
        body: &[u8; 32],
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let found = self.state.replies.get(&place(id));
        if let Some(row) = found.filter(|row| row.begun_at >= since) {
            return Ok(Some(row.kept.clone()));
        }
        let kept = StoredResponse {
            body: *body,
            sealed: None,
        };
        self.state.replies.put(
            place(id),
            ReplyRow {
                kept,
                issued: None,
                begun_at: now,
            },
        );
        Ok(None)
    }

    fn idempotency_store(
        &mut self,
        id: &IdempotencyId,
        sealed: &[u8],
        issued: Option<IssuedSecret>,
    ) -> Result<(), StoreError> {
        if let Some(row) = self.state.replies.get_mut(&place(id)) {
            row.kept.sealed = Some(sealed.to_vec());
            row.issued = issued;
        }
        Ok(())
    }

    fn idempotency_erase(&mut self, key: KeyId) -> Result<(), StoreError> {
        self.state.replies.change(
            |row| row.issued.is_some_and(|issued| issued.key == key),
            |row| row.kept.sealed = None,
        );
        Ok(())
    }

    fn idempotency_erase_secret(&mut self, issued: IssuedSecret) -> Result<(), StoreError> {
        self.state.replies.change(
            |row| row.issued == Some(issued),
            |row| row.kept.sealed = None,
        );
        Ok(())
    }

    fn idempotency_reseal(
        &mut self,
        id: &IdempotencyId,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError> {
        let row = self.state.replies.get_mut(&place(id));
        let row = row.filter(|row| row.kept.sealed.as_deref() == Some(expected));
        let is_unchanged = row.is_some();
        if let Some(row) = row {
            row.kept.sealed = Some(new.to_vec());
        }
        Ok(is_unchanged)
    }

    fn idempotency_expire(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut outdated: Vec<_> = self
            .state
            .replies
            .rows()
            .map(|row| row.begun_at)
            .filter(|&at| at < since)
            .collect();
        outdated.sort_unstable();
        outdated.truncate(limit);
        let count = outdated.len();
        if let Some(&last) = outdated.last() {
            self.state.replies.retain(|row| row.begun_at > last);
        }
        Ok(count)
    }
}
