//! What is noted of attempts: their numbers, and the event of an endpoint that they end or revive.

use std::sync::atomic::{AtomicU64, Ordering};

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::EventId;
use time::OffsetDateTime;
use webhooks::{Attempted, Delivery, Endpoint};

/// How attempts have ended since the process began.
#[derive(Debug, Default)]
pub(crate) struct Tally([AtomicU64; Attempted::ALL.len()]);

impl Tally {
    pub(super) fn count(&self, attempted: Attempted) {
        for (kind, counter) in Attempted::ALL.iter().zip(&self.0) {
            if *kind == attempted {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Each way in which attempts end, and how many did.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Attempted, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        Attempted::ALL.into_iter().zip(counts)
    }
}

/// The event of an endpoint that the system has disabled or enabled.
pub(super) fn event_of(
    endpoint: &Endpoint,
    delivery: &Delivery,
    action: Action,
    id: EventId,
    now: OffsetDateTime,
) -> Event {
    let mut details = Details::new();
    details.insert("delivery_id".to_owned(), delivery.id.to_string().into());
    Event {
        id,
        occurred_at: now,
        actor: Actor::System {
            partner_id: Some(endpoint.partner_id),
        },
        action,
        target: Target::one(TargetKind::WebhookEndpoint, endpoint.id),
        org_id: None,
        outcome: Outcome::Success,
        request: None,
        details,
    }
}
