//! Expiry: deletes orgs whose lease has run out, and those whose key was revoked with `on_revoke: delete`.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, KeyId, OrgId, PartnerId};
use orgs::{DeletionSelector, DueLimits, ExpiredOrgs, Org};
use ratelimit::Limiter;
use stores::{Database, Queries, StoreError, prelude::*};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{Service, orgs::begin_deprovision, runtime::periodic::Next};

/// How many orgs are deleted in one transaction, so that nobody waits long for it.
const BATCH: usize = 200;
/// How many partners one search sees.
const PARTNERS_PER_SEARCH: usize = 64;
/// The longest pause between two batches. Each is as long as the batch took, so that a hundred thousand orgs
/// of one key leave the writer to others half of the time.
const MAX_PAUSE: StdDuration = StdDuration::from_millis(500);

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Begins to delete a batch of expired orgs; when to go on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expire_orgs(&self) -> Result<Next, StoreError> {
        let began = Instant::now();
        Ok(match self.expire_orgs_due().await? {
            0 => Next::Idle,
            _ => Next::After(began.elapsed().min(MAX_PAUSE)),
        })
    }

    /// Begins to delete up to a batch of orgs whose lease has run out, and one of those that a revoked key
    /// leaves behind; how many there were. Partners take turns: the leases of one keep nobody else's waiting.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expire_orgs_due(&self) -> Result<usize, StoreError> {
        let now = self.env.now();
        let after = *self.expired_cursor();
        let (expired, key) = self
            .db
            .read(move |view| {
                let expired = expired_orgs(view, now, after)?;
                Ok::<_, StoreError>((expired, view.key_with_orgs_pending_deletion()?))
            })
            .await?;
        *self.expired_cursor() = expired.after;
        let mut deleted = 0;
        if !expired.orgs.is_empty() {
            let selector = DeletionSelector::ExpiredAmong(now, expired.orgs);
            deleted += self.delete_batch(selector, None, now).await?;
        }
        if let Some(key) = key {
            // A creation that began before the revocation may be about to add an org.
            self.db
                .write(move |tx| tx.key_wait_for_inflight(key))
                .await?;
            deleted += self
                .delete_batch(DeletionSelector::MadeBy(key), Some(key), now)
                .await?;
        }
        if deleted > 0 {
            tracing::info!(orgs = deleted, "deletion of expired orgs begun");
            self.due.notify_one();
        }
        Ok(deleted)
    }

    fn expired_cursor(&self) -> MutexGuard<'_, Option<PartnerId>> {
        self.expired_cursor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to delete up to a batch, each org with its event. With the last org of a revoked key, the key is
    /// no longer pending; until then it goes behind the others that are.
    async fn delete_batch(
        &self,
        selector: DeletionSelector,
        revoked: Option<KeyId>,
        now: OffsetDateTime,
    ) -> Result<usize, StoreError> {
        let events: Vec<EventId> = (0..BATCH).map(|_| self.env.id()).collect();
        let deleted: Vec<OrgId> = self
            .db
            .write(move |tx| {
                if let Some(key) = revoked {
                    tx.key_for_update(key)?;
                }
                let mut orgs = tx.orgs_to_delete_for_update(&selector, BATCH)?;
                begin_deprovision(tx, &mut orgs, now)?;
                for (org, &id) in orgs.iter().zip(&events) {
                    tx.event_record(&audit_event(org, revoked, id, now))?;
                }
                if let Some(key) = revoked {
                    let pending_since = (orgs.len() == BATCH).then_some(now);
                    tx.key_set_orgs_pending_deletion(key, pending_since)?;
                }
                Ok::<_, StoreError>(orgs.iter().map(|org| org.id).collect())
            })
            .await?;
        for &id in &deleted {
            self.statuses.invalidate(id);
        }
        Ok(deleted.len())
    }
}

/// A batch of orgs whose lease has run out, of the first partners after one that have any.
fn expired_orgs<V: Queries>(
    view: &mut V,
    now: OffsetDateTime,
    after: Option<PartnerId>,
) -> Result<ExpiredOrgs, StoreError> {
    // One look by time spares the search over all partners while nothing has run out.
    let first = view.orgs_to_delete(&DeletionSelector::Expired(now), 1)?;
    if first.is_empty() {
        return Ok(ExpiredOrgs::default());
    }
    let limits = DueLimits {
        partners: PARTNERS_PER_SEARCH,
        orgs: BATCH,
    };
    let mut found = view.expired_orgs(now, after, limits)?;
    let mut is_first_round = after.is_some();
    while found.orgs.is_empty() && (found.after.is_some() || is_first_round) {
        is_first_round &= found.after.is_some();
        found = view.expired_orgs(now, found.after, limits)?;
    }
    Ok(found)
}

/// The event of an org that the system deletes: its lease has run out, or its key was revoked.
fn audit_event(org: &Org, revoked: Option<KeyId>, id: EventId, now: OffsetDateTime) -> Event {
    let mut details = Details::new();
    details.insert("slug".to_owned(), org.slug.as_str().into());
    let action = match revoked {
        None => Action::OrgExpired,
        Some(key) => {
            details.insert("reason".to_owned(), "key-revoked".into());
            details.insert("key_id".to_owned(), key.to_string().into());
            Action::OrgDelete
        }
    };
    Event {
        id,
        occurred_at: now,
        actor: Actor::System {
            partner_id: Some(org.partner_id),
        },
        action,
        target: Target::one(TargetKind::Org, org.id),
        org_id: Some(org.id),
        outcome: Outcome::Success,
        request: None,
        details,
    }
}
