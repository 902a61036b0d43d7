//! What turns read and write, many in one transaction; counts of attempts, and the event of an endpoint that an
//! attempt disables or enables.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{DeliveryId, EndpointId, EventId, Ulid};
use stores::{Database, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;
use webhooks::{
    AttemptOutcome, Delivery, DisabledReason, Endpoint, EndpointUrl, Lease, SealedSecrets,
    SendOutcome,
};

use crate::{runtime::batcher::all_or_each, webhooks::outbox::Outbox};

/// How many messages to a receiver that is gone are given up in one transaction.
const GIVE_UP_BATCH: usize = 200;
/// The last error of a delivery that was given up with its endpoint.
const FAILING: &str = "given up: the endpoint is disabled, for nothing was delivered for a day; enable it, then \
                       ask for what it needs again";

/// A query for what is due to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub(super) id: EndpointId,
    pub(super) token: Ulid,
    pub(super) now: OffsetDateTime,
    pub(super) limit: usize,
}

/// What is due to an endpoint.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) endpoint: Endpoint,
    pub(super) secrets: SealedSecrets,
    pub(super) deliveries: Vec<Delivery>,
}

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub(super) struct FinishedAttempt {
    pub(super) id: EndpointId,
    pub(super) token: Ulid,
    pub(super) delivery: DeliveryId,
    /// Where it was sent.
    pub(super) url: EndpointUrl,
    /// Whether the endpoint was disabled when the attempt began.
    pub(super) was_disabled: bool,
    pub(super) outcome: SendOutcome,
    pub(super) now: OffsetDateTime,
    pub(super) random: u32,
    /// The id of the event that may have to be written.
    pub(super) event: EventId,
}

/// A write about an endpoint that is leased.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Attempt(Box<FinishedAttempt>),
    /// More of what waits for a receiver that is gone is to be given up.
    GiveUp(EndpointId, Ulid, OffsetDateTime),
    Renew(EndpointId, Lease),
    Release(EndpointId, Ulid),
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// The outcome of an attempt; `None` when the lease was lost.
    pub(super) outcome: Option<AttemptOutcome>,
    /// Whether there may be more to give up.
    pub(super) more: bool,
}

impl Write {
    const fn endpoint(&self) -> EndpointId {
        match self {
            Self::Attempt(attempt) => attempt.id,
            Self::GiveUp(id, ..) | Self::Renew(id, _) | Self::Release(id, _) => *id,
        }
    }
}

/// Reads for many turns by one query.
pub(super) async fn read_all<D: Database>(
    db: D,
    fetches: Vec<Fetch>,
) -> Vec<Result<Option<Fetched>, StoreError>> {
    let count = fetches.len();
    let read = db.read(move |view| {
        let fetch = |fetch: Fetch| {
            let Some((endpoint, secrets)) = view.endpoint_leased(fetch.id, fetch.token)? else {
                return Ok(None);
            };
            let deliveries = view.deliveries_due(fetch.id, fetch.now, fetch.limit)?;
            Ok((!deliveries.is_empty()).then_some(Fetched {
                endpoint,
                secrets,
                deliveries,
            }))
        };
        fetches
            .into_iter()
            .map(fetch)
            .collect::<Result<Vec<_>, StoreError>>()
    });
    match read.await {
        Ok(fetched) => fetched.into_iter().map(Ok).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}

/// Writes for many turns in one transaction.
pub(super) async fn write_all<D: Database>(
    db: D,
    outbox: Outbox,
    writes: Vec<Write>,
) -> Vec<Result<Written, StoreError>> {
    let transaction = |writes: Arc<[Write]>| {
        // In the order of the endpoints, so that no two transactions deadlock.
        let mut order: Vec<(EndpointId, usize)> = writes
            .iter()
            .enumerate()
            .map(|(place, write)| (write.endpoint(), place))
            .collect();
        order.sort_unstable();
        let outbox = outbox.clone();
        db.write(move |tx| {
            let mut written = vec![Written::default(); writes.len()];
            for &(_, place) in &order {
                if let (Some(write), Some(written)) = (writes.get(place), written.get_mut(place)) {
                    *written = write_one(tx, &outbox, write)?;
                }
            }
            Ok(written)
        })
    };
    all_or_each(writes.into(), transaction).await
}

fn write_one<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    write: &Write,
) -> Result<Written, StoreError> {
    match *write {
        Write::Attempt(ref attempt) => return record(tx, outbox, attempt),
        Write::GiveUp(id, token, now) => {
            let leased = tx.endpoint_leased_for_update(id, token)?;
            let given_up = match leased.filter(|(endpoint, _)| endpoint.disabled_at.is_some()) {
                Some((endpoint, _)) => give_up(tx, &endpoint, now)?,
                None => 0,
            };
            return Ok(Written {
                outcome: None,
                more: given_up == GIVE_UP_BATCH,
            });
        }
        Write::Renew(id, lease) => tx.endpoint_lease_renew(id, lease)?,
        Write::Release(id, token) => tx.endpoint_lease_release(id, token)?,
    }
    Ok(Written::default())
}

/// Gives up what waits for an endpoint that is disabled, up to a batch; how many.
fn give_up<T: Transaction>(
    tx: &mut T,
    endpoint: &Endpoint,
    now: OffsetDateTime,
) -> Result<usize, StoreError> {
    let reason = match endpoint.disabled_reason {
        Some(DisabledReason::Failing) => Some(FAILING),
        Some(DisabledReason::Gone | DisabledReason::Paused) | None => None,
    };
    tx.deliveries_give_up(endpoint.id, (now, reason), GIVE_UP_BATCH)
}

fn record<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    attempt: &FinishedAttempt,
) -> Result<Written, StoreError> {
    let &FinishedAttempt { id, token, now, .. } = attempt;
    let Some((mut endpoint, secrets)) = tx.endpoint_leased_for_update(id, token)? else {
        return Ok(Written::default());
    };
    let to = (endpoint.partner_id, endpoint.id);
    let Some(mut delivery) = tx.delivery(to, attempt.delivery)? else {
        return Ok(Written::default());
    };
    let is_at_old_url = attempt.url != endpoint.url;
    let reception = attempt.outcome.clone();
    let outcome = if is_at_old_url {
        delivery.record_from_old_url(reception, now, attempt.random)
    } else {
        delivery.record(reception, now, attempt.random)
    };
    tx.delivery_update(&delivery)?;
    let failures = endpoint.failures;
    let action = if is_at_old_url {
        // It tells nothing of the receiver at the new one.
        None
    } else {
        consequence(&mut endpoint, attempt, outcome)
    };
    if let Some(action) = action {
        tx.endpoint_update(&endpoint, &secrets)?;
        let event = audit_event(&endpoint, &delivery, action, attempt.event, now);
        tx.event_record(&event)?;
    } else if endpoint.failures != failures {
        tx.endpoint_failures(&endpoint)?;
    }
    if action == Some(Action::WebhookDisabled) {
        outbox.disabled(tx, &endpoint, now)?;
    }
    let gives_up = outcome == AttemptOutcome::Gone || action == Some(Action::WebhookDisabled);
    let more = gives_up && give_up(tx, &endpoint, now)? == GIVE_UP_BATCH;
    Ok(Written {
        outcome: Some(outcome),
        more,
    })
}

/// Notes at its endpoint how an attempt ended; what the audit log says when that disables or enables it.
fn consequence(
    endpoint: &mut Endpoint,
    attempt: &FinishedAttempt,
    outcome: AttemptOutcome,
) -> Option<Action> {
    let now = attempt.now;
    match outcome {
        AttemptOutcome::Gone => endpoint
            .disable(DisabledReason::Gone, now)
            .then_some(Action::WebhookDisabled),
        AttemptOutcome::Retry | AttemptOutcome::Exhausted => {
            let is_dead = endpoint.failed(now);
            (is_dead && endpoint.disable(DisabledReason::Failing, now))
                .then_some(Action::WebhookDisabled)
        }
        // Only a message that was asked for gets to an endpoint that is disabled; one that was on its way when
        // that happened tells nothing.
        AttemptOutcome::Delivered if endpoint.disabled_at.is_none() || attempt.was_disabled => {
            endpoint.delivered().then_some(Action::WebhookEnabled)
        }
        AttemptOutcome::Delivered => None,
    }
}

/// How attempts have ended since the process began.
#[derive(Debug, Default)]
pub(crate) struct AttemptCounts([AtomicU64; AttemptOutcome::ALL.len()]);

impl AttemptCounts {
    pub(super) fn count(&self, outcome: AttemptOutcome) {
        for (kind, counter) in AttemptOutcome::ALL.iter().zip(&self.0) {
            if *kind == outcome {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (AttemptOutcome, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        AttemptOutcome::ALL.into_iter().zip(counts)
    }
}

/// The event of an endpoint that the system has disabled or enabled.
fn audit_event(
    endpoint: &Endpoint,
    delivery: &Delivery,
    action: Action,
    id: EventId,
    now: OffsetDateTime,
) -> Event {
    let mut details = Details::new();
    details.insert("delivery_id".to_owned(), delivery.id.to_string().into());
    if let Some(reason) = endpoint.disabled_reason {
        details.insert("reason".to_owned(), reason.as_str().into());
    }
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
