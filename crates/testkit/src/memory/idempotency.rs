//! Kept answers in memory.

use ids::KeyId;
use stores::{IdempotencyId, IdempotencyStore, StoreError, StoredResponse};
use time::OffsetDateTime;

use super::session::{MemoryTx, ReplyRow};

fn place(id: &IdempotencyId) -> (String, [u8; 32]) {
    (id.credential().to_owned(), *id.request())
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
        issued: Option<KeyId>,
    ) -> Result<(), StoreError> {
        if let Some(row) = self.state.replies.get_mut(&place(id)) {
            row.kept.sealed = Some(sealed.to_vec());
            row.issued = issued;
        }
        Ok(())
    }

    fn idempotency_erase(&mut self, issued: KeyId) -> Result<(), StoreError> {
        self.state.replies.change(
            |row| row.issued == Some(issued),
            |row| row.kept.sealed = None,
        );
        Ok(())
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
