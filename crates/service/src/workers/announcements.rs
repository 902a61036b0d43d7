//! Announcements: webhooks that an org or a key is about to expire.

use ids::{KeyId, OrgId};
use orgs::OrgVisibility;
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction, prelude::*};
use time::{Duration, OffsetDateTime};
use webhooks::{ANNOUNCED_AHEAD, EventKind};

use crate::{Service, webhooks::outbox::Outbox};

/// How many expirations are announced in one transaction.
const BATCH: usize = 100;
/// How long deliveries are kept after their last attempt.
const RETENTION: Duration = Duration::days(30);
/// How many old deliveries are deleted in one transaction.
const PRUNE_BATCH: usize = 500;

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Announces expirations that are near, each once, a bounded number at a time; whether there may be more. An
    /// end that is put off again and again, by less than that, is announced when the announced one has passed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announce_expirations(&self) -> Result<bool, StoreError> {
        let now = self.env.now();
        let (mut keys, mut orgs) = self
            .db
            .read(move |view| {
                let until = now + ANNOUNCED_AHEAD;
                Ok::<_, StoreError>((
                    view.keys_to_announce(now, until, BATCH)?,
                    view.orgs_to_announce(now, until, BATCH)?,
                ))
            })
            .await?;
        if keys.is_empty() && orgs.is_empty() {
            return Ok(false);
        }
        let more = keys.len().max(orgs.len()) == BATCH;
        // Always in one order, so that two processes don't deadlock.
        keys.sort_unstable();
        orgs.sort_unstable();
        let outbox = self.outbox.clone();
        let announced: Result<(), StoreError> = self
            .db
            .write(move |tx| {
                for &id in &keys {
                    announce_key(tx, &outbox, id, now)?;
                }
                for &id in &orgs {
                    announce_org(tx, &outbox, id, now)?;
                }
                Ok(())
            })
            .await;
        announced?;
        self.outgoing.notify_one();
        Ok(more)
    }

    /// Deletes deliveries that ended a month ago or have lost their endpoint, a bounded number at a time; whether
    /// there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_deliveries(&self) -> Result<bool, StoreError> {
        let since = self.env.now() - RETENTION;
        let deleted = self
            .db
            .write(move |tx| tx.webhooks_forget(since, PRUNE_BATCH))
            .await?;
        Ok(deleted == PRUNE_BATCH)
    }
}

/// Announces a key's end, unless another process was quicker, or the key was revoked or renewed.
fn announce_key<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    id: KeyId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let key = tx.key(id)?.map(|held| held.key);
    if let Some(key) = key.filter(|key| key.revoked_at.is_none())
        && is_new(tx, &id.to_string(), key.expires_at, now)?
    {
        outbox.key(tx, EventKind::KeyExpiring, &key, now)?;
    }
    Ok(())
}

/// Announces an org's end, unless another process was quicker, or the org was deleted or renewed.
fn announce_org<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    id: OrgId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let org = tx.org(OrgVisibility::All, id)?;
    if let Some(org) = org.filter(|org| org.status.is_deletable())
        && is_new(tx, &id.to_string(), org.expires_at, now)?
    {
        outbox.org(tx, EventKind::OrgExpiring, &org, now)?;
    }
    Ok(())
}

/// Whether the end is near and has not been announced; from then on it has.
fn is_new<T: Transaction>(
    tx: &mut T,
    subject: &str,
    end: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    match end.filter(|&end| end <= now + ANNOUNCED_AHEAD) {
        Some(end) => tx.announcement_insert(subject, end),
        None => Ok(false),
    }
}
