//! Bounded backlogs: when too many messages wait for an endpoint, the longest waiting are given up.

use std::sync::atomic::Ordering;

use audit::{Action, Actor, AuditStore as _, Details, Event, Outcome, Target, TargetKind};
use ids::{EndpointId, EventId, PartnerId};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::Duration;
use webhooks::{MAX_BACKLOG, WebhookQueries as _, WebhookStore as _};

use super::lock;
use crate::Service;

/// How many partners' endpoints are looked at in one transaction.
const PARTNERS_AT_ONCE: usize = 16;
/// How many messages are given up in one transaction.
const GIVEN_UP_AT_ONCE: usize = 200;
/// Leases end before this much has passed: whoever has leased an endpoint, it is looked at.
const ANY_LEASE: Duration = Duration::days(3650);
/// What a delivery that was given up says.
const REASON: &str = "given up: more than 10000 messages waited for this endpoint; see that its receiver \
                      answers, then ask for those that it needs again";

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Looks at the backlogs of the next partners' endpoints and gives up what is too much; whether it
    /// has more to do before it goes on to others.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trim_backlogs(&self) -> Result<bool, StoreError> {
        let after = *lock(&self.deliverer.trimmed);
        let any_lease = self.env.now() + ANY_LEASE;
        let seen = self.db.read(move |view| {
            let found = view.endpoints_pending(any_lease, after, PARTNERS_AT_ONCE)?;
            let mut overflowing = Vec::new();
            for endpoint in found.endpoints {
                let limit = MAX_BACKLOG + GIVEN_UP_AT_ONCE;
                let count = view.pending_count(endpoint.id, limit)?;
                if let Some(excess) = count.checked_sub(MAX_BACKLOG).filter(|&it| it > 0) {
                    overflowing.push((endpoint.partner_id, endpoint.id, excess));
                }
            }
            Ok::<_, StoreError>((overflowing, found.after))
        });
        let (overflowing, next) = seen.await?;
        let mut more = false;
        for (partner, endpoint, excess) in overflowing {
            more |= excess >= GIVEN_UP_AT_ONCE;
            self.trim(partner, endpoint, excess).await?;
        }
        if !more {
            *lock(&self.deliverer.trimmed) = next;
        }
        Ok(more)
    }

    async fn trim(
        &self,
        partner: PartnerId,
        id: EndpointId,
        excess: usize,
    ) -> Result<(), StoreError> {
        let (event, now): (EventId, _) = (self.env.id(), self.env.now());
        let given_up = self.db.write(move |tx| {
            // The endpoint's row is held, so that no worker writes beside this.
            if tx.endpoint_for_update(partner, id)?.is_none() {
                return Ok(0);
            }
            let count = tx.deliveries_give_up(id, (now, Some(REASON)), excess)?;
            let mut details = Details::new();
            details.insert("count".to_owned(), count.into());
            tx.event_insert(&Event {
                id: event,
                occurred_at: now,
                actor: Actor::System {
                    partner_id: Some(partner),
                },
                action: Action::WebhookOverflowed,
                target: Target::one(TargetKind::WebhookEndpoint, id),
                org_id: None,
                outcome: Outcome::Failed,
                request: None,
                details,
            })?;
            Ok::<_, StoreError>(count)
        });
        let count = u64::try_from(given_up.await?).unwrap_or(u64::MAX);
        self.deliverer
            .overflowed
            .fetch_add(count, Ordering::Relaxed);
        tracing::warn!(endpoint_id = %id, count, "messages were given up: too many wait for their endpoint");
        Ok(())
    }
}
