//! Bounded backlogs: when too many messages wait for an endpoint, the longest waiting are given up.

use std::{sync::atomic::Ordering, time::Duration as StdDuration};

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{EndpointId, EventId, PartnerId};
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use time::Duration;
use webhooks::MAX_BACKLOG;

use super::lock;
use crate::{Service, runtime::periodic::Next};

/// How many partners' endpoints one search sees.
const PARTNERS_PER_SEARCH: usize = 16;
/// How long other writers have the database to themselves between two transactions.
const PAUSE: StdDuration = StdDuration::from_millis(50);
/// How many messages are given up in one transaction.
const GIVE_UP_BATCH: usize = 200;
/// No lease lasts so long: an endpoint is checked whoever has leased it.
const ANY_LEASE: Duration = Duration::days(3650);
/// The last error of a delivery that was given up.
const REASON: &str = "given up: more than 10000 messages waited for this endpoint; see that its receiver \
                      answers, then ask for those that it needs again";

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Gives up the longest waiting messages of endpoints with too long a backlog, of the next partners; whether
    /// there is more to do before it goes on to others.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trim_backlogs(&self) -> Result<Next, StoreError> {
        let after = *lock(&self.deliverer.trim_cursor);
        let any_lease = self.env.now() + ANY_LEASE;
        let seen = self.db.read(move |view| {
            let found = view.endpoints_pending(any_lease, after, PARTNERS_PER_SEARCH)?;
            let mut overflowing = Vec::new();
            for endpoint in found.endpoints {
                let limit = MAX_BACKLOG + GIVE_UP_BATCH;
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
            more |= excess >= GIVE_UP_BATCH;
            self.trim(partner, endpoint, excess).await?;
        }
        if !more {
            *lock(&self.deliverer.trim_cursor) = next;
        }
        Ok(if more { Next::After(PAUSE) } else { Next::Idle })
    }

    async fn trim(
        &self,
        partner: PartnerId,
        id: EndpointId,
        excess: usize,
    ) -> Result<(), StoreError> {
        let (event, now): (EventId, _) = (self.env.id(), self.env.now());
        let given_up = self.db.write(move |tx| {
            // The endpoint's row is locked, so that no worker writes beside this.
            if tx.endpoint_for_update(partner, id)?.is_none() {
                return Ok(0);
            }
            let count = tx.deliveries_give_up(id, (now, Some(REASON)), excess)?;
            let mut details = Details::new();
            details.insert("count".to_owned(), count.into());
            tx.event_record(&Event {
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
        tracing::warn!(endpoint_id = %id, count, "messages given up: the backlog of their endpoint is too long");
        Ok(())
    }
}
