//! What a partner is told ahead of time: that an org or a key will end by itself soon.

use ids::{KeyId, OrgId};
use orgs::OrgVisibility;
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use time::{Duration, OffsetDateTime};
use webhooks::{EventKind, WebhookQueries as _, WebhookStore as _};

use crate::{Service, outbox::Outbox};

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
    /// more. An end that is put off again and again, by less than that, is announced when the one
    /// that was told has passed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announce_ends(&self) -> Result<bool, StoreError> {
        let now = self.env.now();
        let (mut keys, mut orgs) = self
            .db
            .read(move |view| {
                let until = now + AHEAD;
                Ok::<_, StoreError>((
                    view.keys_to_announce(now, until, AT_ONCE)?,
                    view.orgs_to_announce(now, until, AT_ONCE)?,
                ))
            })
            .await?;
        if keys.is_empty() && orgs.is_empty() {
            return Ok(false);
        }
        let more = keys.len().max(orgs.len()) == AT_ONCE;
        // In one order, so that two processes don't wait for each other in a circle.
        keys.sort_unstable();
        orgs.sort_unstable();
        let outbox = self.outbox.clone();
        let told: Result<(), StoreError> = self
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
        told?;
        self.outgoing.notify_one();
        Ok(more)
    }

    /// Forgets deliveries that ended a month ago or have lost their endpoint, a bounded number at a
    /// time; tells whether there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_deliveries(&self) -> Result<bool, StoreError> {
        let since = self.env.now() - KEPT;
        let forgotten = self
            .db
            .write(move |tx| tx.webhooks_forget(since, FORGET_AT_ONCE))
            .await?;
        Ok(forgotten == FORGET_AT_ONCE)
    }
}

/// Tells of a key's end, unless somebody was quicker to tell, or to end or prolong the key.
fn announce_key<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    id: KeyId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let key = tx.key(id)?.map(|held| held.key);
    if let Some(key) = key.filter(|key| key.revoked_at.is_none())
        && is_news(tx, &id.to_string(), key.expires_at, now)?
    {
        outbox.key(tx, EventKind::KeyExpiring, &key, now)?;
    }
    Ok(())
}

/// Tells of an org's end, unless somebody was quicker to tell, or to delete or renew the org.
fn announce_org<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    id: OrgId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let org = tx.org(OrgVisibility::All, id)?;
    if let Some(org) = org.filter(|org| org.status.is_staying())
        && is_news(tx, &id.to_string(), org.expires_at, now)?
    {
        outbox.org(tx, EventKind::OrgExpiring, &org, now)?;
    }
    Ok(())
}

/// Whether the end is near and has not been told; from then on it has.
fn is_news<T: Transaction>(
    tx: &mut T,
    subject: &str,
    end: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    match end.filter(|&end| end <= now + AHEAD) {
        Some(end) => tx.announcement_insert(subject, end),
        None => Ok(false),
    }
}
