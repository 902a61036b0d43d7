//! What a partner is told ahead of time: that a key will end by itself soon.

use keys::KeyQueries as _;
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::Duration;
use webhooks::{EventKind, WebhookQueries as _, WebhookStore as _};

use crate::Service;

/// How long ahead of an end it is announced.
const AHEAD: Duration = Duration::minutes(10);
/// How many ends are announced in one transaction.
const AT_ONCE: usize = 100;
/// How long deliveries are kept after their end.
const KEPT: Duration = Duration::days(30);
/// How many outdated deliveries are forgotten in one transaction.
const FORGET_AT_ONCE: usize = 500;

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Announces ends that are near, each once, a bounded number at a time; tells whether there may be
    /// more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announce_ends(&self) -> Result<bool, StoreError> {
        let now = self.world.now();
        let keys = self
            .db
            .read(move |view| view.keys_to_announce(now, now + AHEAD, AT_ONCE))
            .await?;
        let more = keys.len() == AT_ONCE;
        if !keys.is_empty() {
            let outbox = self.outbox.clone();
            let told: Result<(), StoreError> = self
                .db
                .write(move |tx| {
                    for id in &keys {
                        let key = tx.key(*id)?.map(|held| held.key);
                        // Whoever was quicker has told of it, or has ended or prolonged the key.
                        if let Some(key) = key.filter(|key| key.revoked_at.is_none())
                            && let Some(end) = key.expires_at
                            && end <= now + AHEAD
                            && tx.announcement_insert(&id.to_string(), end)?
                        {
                            outbox.key(tx, EventKind::KeyExpiring, &key, now)?;
                        }
                    }
                    Ok(())
                })
                .await;
            told?;
            self.outgoing.notify_one();
        }
        Ok(more)
    }

    /// Forgets deliveries that ended a month ago or have lost their endpoint, a bounded number at a
    /// time; tells whether there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_deliveries(&self) -> Result<bool, StoreError> {
        let since = self.world.now() - KEPT;
        let forgotten = self
            .db
            .write(move |tx| tx.webhooks_forget(since, FORGET_AT_ONCE))
            .await?;
        Ok(forgotten == FORGET_AT_ONCE)
    }
}
