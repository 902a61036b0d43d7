//! What turns read and write, that of many in one transaction; what is noted of attempts: their numbers,
//! and the event of an endpoint that they end or revive.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{DeliveryId, EndpointId, EventId, Ulid};
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;
use webhooks::{
    Attempted, Delivery, Endpoint, Lease, Reception, SealedSecrets, WebhookQueries as _,
};

/// How many messages to a receiver that is gone are given up in one transaction.
const GIVEN_UP_AT_ONCE: usize = 200;

/// A question for what is to be sent to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub(super) id: EndpointId,
    pub(super) token: Ulid,
    pub(super) now: OffsetDateTime,
    pub(super) limit: usize,
}

/// What is to be sent to one endpoint now.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) endpoint: Endpoint,
    pub(super) secrets: SealedSecrets,
    pub(super) deliveries: Vec<Delivery>,
}

/// An attempt that has come to its end.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) id: EndpointId,
    pub(super) token: Ulid,
    pub(super) delivery: DeliveryId,
    /// What the endpoint was when the attempt began.
    pub(super) was_disabled: bool,
    pub(super) reception: Reception,
    pub(super) now: OffsetDateTime,
    pub(super) random: u32,
    /// The id of what may have to be written.
    pub(super) event: EventId,
}

/// Something to write about an endpoint that is leased.
#[derive(Clone, Debug)]
pub(super) enum Job {
    Attempt(Box<Finished>),
    /// More of what waits for a receiver that is gone is to be given up.
    GiveUp(EndpointId, Ulid, OffsetDateTime),
    Renew(EndpointId, Lease),
    Release(EndpointId, Ulid),
}

/// What has become of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    /// What an attempt has led to; nothing when the lease was lost.
    pub(super) attempted: Option<Attempted>,
    /// Whether there may be more to give up.
    pub(super) more: bool,
}

impl Job {
    const fn endpoint(&self) -> EndpointId {
        match self {
            Self::Attempt(finished) => finished.id,
            Self::GiveUp(id, ..) | Self::Renew(id, _) | Self::Release(id, _) => *id,
        }
    }
}

/// Reads what is due for many turns at once.
pub(super) async fn read_all<D: Database>(
    db: D,
    fetches: Vec<Fetch>,
) -> Vec<Result<Option<Batch>, StoreError>> {
    let count = fetches.len();
    let read = db.read(move |view| {
        let batch = |fetch: Fetch| {
            let Some((endpoint, secrets)) = view.endpoint_leased(fetch.id, fetch.token)? else {
                return Ok(None);
            };
            let deliveries = view.deliveries_due(fetch.id, fetch.now, fetch.limit)?;
            Ok((!deliveries.is_empty()).then_some(Batch {
                endpoint,
                secrets,
                deliveries,
            }))
        };
        fetches
            .into_iter()
            .map(batch)
            .collect::<Result<Vec<_>, StoreError>>()
    });
    match read.await {
        Ok(batches) => batches.into_iter().map(Ok).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}

/// Writes all of it in one transaction.
pub(super) async fn write_all<D: Database>(
    db: D,
    jobs: Vec<Job>,
) -> Vec<Result<Ended, StoreError>> {
    let jobs: Arc<[Job]> = jobs.into();
    match write(&db, Arc::clone(&jobs)).await {
        Ok(ended) => ended.into_iter().map(Ok).collect(),
        Err(error) if jobs.len() > 1 && !error.is_temporary() => {
            // One of them is to blame; the others have done nothing wrong.
            let mut each = Vec::with_capacity(jobs.len());
            for job in jobs.iter() {
                let alone = write(&db, Arc::new([job.clone()])).await;
                each.push(alone.map(|mut ended| ended.pop().unwrap_or_default()));
            }
            each
        }
        Err(error) => jobs.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn write<D: Database>(db: &D, jobs: Arc<[Job]>) -> Result<Vec<Ended>, StoreError> {
    // In the order of the endpoints, so that two who write at once don't wait in a circle.
    let mut order: Vec<(EndpointId, usize)> = jobs
        .iter()
        .enumerate()
        .map(|(place, job)| (job.endpoint(), place))
        .collect();
    order.sort_unstable();
    db.write(move |tx| {
        let mut ended = vec![Ended::default(); jobs.len()];
        for &(_, place) in &order {
            if let (Some(job), Some(ended)) = (jobs.get(place), ended.get_mut(place)) {
                *ended = write_one(tx, job)?;
            }
        }
        Ok(ended)
    })
    .await
}

fn write_one<T: Transaction>(tx: &mut T, job: &Job) -> Result<Ended, StoreError> {
    match *job {
        Job::Attempt(ref finished) => return record(tx, finished),
        Job::GiveUp(id, token, now) => {
            let leased = tx.endpoint_leased_for_update(id, token)?;
            let given_up = match leased.filter(|(endpoint, _)| endpoint.disabled_at.is_some()) {
                Some(_) => tx.deliveries_give_up(id, (now, None), GIVEN_UP_AT_ONCE)?,
                None => 0,
            };
            return Ok(Ended {
                attempted: None,
                more: given_up == GIVEN_UP_AT_ONCE,
            });
        }
        Job::Renew(id, lease) => tx.endpoint_lease_renew(id, lease)?,
        Job::Release(id, token) => tx.endpoint_lease_release(id, token)?,
    }
    Ok(Ended::default())
}

/// Writes down what an attempt brought.
fn record<T: Transaction>(tx: &mut T, finished: &Finished) -> Result<Ended, StoreError> {
    let &Finished { id, token, now, .. } = finished;
    let Some((mut endpoint, secrets)) = tx.endpoint_leased_for_update(id, token)? else {
        return Ok(Ended::default());
    };
    let to = (endpoint.partner_id, endpoint.id);
    let Some(mut delivery) = tx.delivery(to, finished.delivery)? else {
        return Ok(Ended::default());
    };
    let attempted = delivery.record(finished.reception.clone(), now, finished.random);
    tx.delivery_update(&delivery)?;
    let mut more = false;
    let action = match attempted {
        Attempted::Gone => {
            more = tx.deliveries_give_up(id, (now, None), GIVEN_UP_AT_ONCE)? == GIVEN_UP_AT_ONCE;
            let first = endpoint.disabled_at.is_none();
            endpoint.disabled_at = endpoint.disabled_at.or(Some(now));
            first.then_some(Action::WebhookDisabled)
        }
        // Only a message that was asked for gets to an endpoint that is disabled.
        Attempted::Delivered if finished.was_disabled => {
            endpoint.disabled_at.take().map(|_| Action::WebhookEnabled)
        }
        Attempted::Delivered | Attempted::Again | Attempted::GivenUp => None,
    };
    if let Some(action) = action {
        tx.endpoint_update(&endpoint, &secrets)?;
        tx.event_insert(&event_of(&endpoint, &delivery, action, finished.event, now))?;
    }
    Ok(Ended {
        attempted: Some(attempted),
        more,
    })
}

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
