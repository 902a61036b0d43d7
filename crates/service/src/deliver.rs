//! The deliverer: takes endpoints that have messages due, sends them, and writes down how it went.
//!
//! An endpoint is held while messages are sent to it, and every commit asks for the hold's token. So
//! an endpoint gets a few messages at a time, whatever the number of workers, and one that is slow
//! holds up no other. A message is sent again until the receiver's 2xx is on record: at least once.

mod record;

use std::{sync::Arc, time::Duration as StdDuration};

use audit::{Action, AuditStore as _};
use ids::{EndpointId, EventId, TypedId as _, Ulid};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::Duration;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use webhooks::{
    Attempted, Backlog, Delivery, Endpoint, Hold, Message, Posting, Reception, SealedSecrets,
    Sender, WebhookQueries as _, WebhookStore as _,
};

pub(crate) use self::record::Tally;
use self::record::event_of;
use crate::{Service, webhooks::open};

/// How long an endpoint is held without a sign of life.
const HOLD: Duration = Duration::seconds(10);
/// How often a hold is prolonged.
const RENEWAL: StdDuration = StdDuration::from_secs(3);
/// How many endpoints are served at once.
const ENDPOINTS: usize = 64;
/// How many messages are on their way to one endpoint at once.
const PER_ENDPOINT: usize = 2;
/// How long an endpoint is served before others get their turn.
const TURN: StdDuration = StdDuration::from_secs(5);
/// How long a receiver may take to answer.
const ANSWER_WITHIN: StdDuration = StdDuration::from_secs(20);
/// How long to sleep at the least: another worker may be just about to take what is due.
const BREATH: StdDuration = StdDuration::from_millis(10);
/// How long to sleep at the most: another process may have written a message.
const NAP: StdDuration = StdDuration::from_secs(1);

/// What is to be sent to one endpoint now.
struct Batch {
    endpoint: Endpoint,
    secrets: SealedSecrets,
    deliveries: Vec<Delivery>,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// How attempts have ended since the process began.
    pub fn attempts(&self) -> impl Iterator<Item = (Attempted, u64)> {
        self.tally.counts()
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// When storage can't say.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let now = self.world.now();
        self.db.read(move |view| view.backlog(now)).await
    }

    /// Works until `stop` turns true. What is on its way then is sent again by whoever goes on.
    pub async fn deliver<S: Sender>(
        self: Arc<Self>,
        sender: Arc<S>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut turns = JoinSet::new();
        while !*stop.borrow() {
            let pause = match self.begin_turns(&sender, &stop, &mut turns).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(
                        error = error.as_dyn(),
                        "messages that are due can't be sent; trying again"
                    );
                    NAP
                }
            };
            tokio::select! {
                () = self.outgoing.notified() => {}
                Some(_) = turns.join_next() => {}
                () = sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
        while turns.join_next().await.is_some() {}
    }

    /// Sends what is due, and tells how many endpoints had something.
    ///
    /// # Errors
    /// When storage can't say what is due, or can't take that it is worked on.
    pub async fn deliver_due<S: Sender>(
        self: &Arc<Self>,
        sender: &Arc<S>,
    ) -> Result<usize, StoreError> {
        let (_go_on, stop) = watch::channel(false);
        let mut turns = JoinSet::new();
        self.begin_turns(sender, &stop, &mut turns).await?;
        let begun = turns.len();
        while turns.join_next().await.is_some() {}
        Ok(begun)
    }

    /// Begins a turn for each endpoint with something due, as far as there is room; tells how long
    /// nothing more falls due, as far as this process can know.
    async fn begin_turns<S: Sender>(
        self: &Arc<Self>,
        sender: &Arc<S>,
        stop: &watch::Receiver<bool>,
        turns: &mut JoinSet<()>,
    ) -> Result<StdDuration, StoreError> {
        while turns.try_join_next().is_some() {}
        let room = ENDPOINTS.saturating_sub(turns.len());
        if room == 0 {
            return Ok(NAP);
        }
        let now = self.world.now();
        let next = self
            .db
            .read(move |view| view.next_delivery_due(now))
            .await?;
        let Some(next) = next else {
            return Ok(NAP);
        };
        if next > now {
            let pause = StdDuration::try_from(next - now).unwrap_or_default();
            return Ok(pause.clamp(BREATH, NAP));
        }
        let hold = Hold {
            token: self.world.id::<EventId>().ulid(),
            until: now + HOLD,
        };
        let held = self
            .db
            .write(move |tx| tx.endpoints_hold(now, hold, room))
            .await?;
        for id in held {
            // A hold is renewed for each endpoint alone, so that none outlives its turn.
            let turn = Turn {
                service: Arc::clone(self),
                sender: Arc::clone(sender),
                id,
                token: hold.token,
            };
            let stop = stop.clone();
            turns.spawn(async move { turn.run(stop).await });
        }
        Ok(BREATH)
    }
}

/// A while in which one endpoint is served.
struct Turn<D, L, P, S> {
    service: Arc<Service<D, L, P>>,
    sender: Arc<S>,
    id: EndpointId,
    token: Ulid,
}

impl<D, L, P, S> Clone for Turn<D, L, P, S> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            sender: Arc::clone(&self.sender),
            ..*self
        }
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static, S: Sender> Turn<D, L, P, S> {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let work = self.work();
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => match outcome {
                    Ok(()) => break,
                    Err(error) => {
                        // Nor is it released: what was not recorded is not to be sent at once again.
                        return self.warn(&error, "an endpoint was not served; it waits until its hold ends");
                    }
                },
                () = sleep(RENEWAL) => self.renew().await,
                _ = stop.changed() => break,
            }
        }
        let (id, token) = (self.id, self.token);
        let released = self.service.db.write(move |tx| tx.hold_release(id, token));
        if let Err(error) = released.await {
            self.warn(&error, "an endpoint is held until its hold ends");
        }
    }

    fn warn(&self, error: &StoreError, what: &'static str) {
        tracing::warn!(error = error.as_dyn(), endpoint_id = %self.id, "{what}");
    }

    async fn renew(&self) {
        let hold = Hold {
            token: self.token,
            until: self.service.world.now() + HOLD,
        };
        if let Err(error) = self.service.db.write(move |tx| tx.hold_renew(hold)).await {
            self.warn(&error, "the hold on an endpoint was not prolonged");
        }
    }

    /// Sends what is due, a few at a time, until nothing is or the time is up.
    async fn work(&self) -> Result<(), StoreError> {
        let end = Instant::now() + TURN;
        loop {
            let Some(batch) = self.batch().await? else {
                return Ok(());
            };
            let mut attempts = JoinSet::new();
            for delivery in batch.deliveries {
                let turn = self.clone();
                let (endpoint, secrets) = (batch.endpoint.clone(), batch.secrets.clone());
                attempts.spawn(async move { turn.attempt(endpoint, secrets, delivery).await });
            }
            let mut failed = None;
            while let Some(done) = attempts.join_next().await {
                let outcome = done.unwrap_or(Err(StoreError::Panicked));
                failed = outcome.err().or(failed);
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// What is due now; `None` when nothing is, or the hold is lost.
    async fn batch(&self) -> Result<Option<Batch>, StoreError> {
        let (id, token, now) = (self.id, self.token, self.service.world.now());
        let found = self.service.db.write(move |tx| {
            let Some((endpoint, secrets)) = tx.endpoint_held(id, token)? else {
                return Ok(None);
            };
            let deliveries = tx.deliveries_due(id, now, PER_ENDPOINT)?;
            Ok::<_, StoreError>(Some(Batch {
                endpoint,
                secrets,
                deliveries,
            }))
        });
        Ok(found.await?.filter(|batch| !batch.deliveries.is_empty()))
    }

    async fn attempt(
        &self,
        endpoint: Endpoint,
        secrets: SealedSecrets,
        delivery: Delivery,
    ) -> Result<(), StoreError> {
        let id = delivery.id;
        let reception = match self.posting(&endpoint, &secrets, &delivery) {
            None => Reception::Unanswered(
                "the endpoint's secret can't be read any more; rotate it".to_owned(),
            ),
            Some(posting) => {
                let sent = timeout(ANSWER_WITHIN, self.sender.send(posting)).await;
                sent.unwrap_or_else(|_elapsed| {
                    let seconds = ANSWER_WITHIN.as_secs();
                    Reception::Unanswered(format!("no answer within {seconds} seconds"))
                })
            }
        };
        match self.record(&endpoint, delivery, reception).await? {
            Some(attempted) => {
                self.service.tally.count(attempted);
                tracing::debug!(
                    delivery_id = %id,
                    endpoint_id = %self.id,
                    outcome = attempted.as_str(),
                    "message sent"
                );
            }
            None => tracing::warn!(
                delivery_id = %id,
                endpoint_id = %self.id,
                "the endpoint is deleted, or held by another worker, who goes on"
            ),
        }
        Ok(())
    }

    /// The message as it is sent now, signed with each secret in force, the newest first.
    fn posting(
        &self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
        delivery: &Delivery,
    ) -> Option<Posting> {
        let (peppers, now) = (&self.service.settings.peppers, self.service.world.now());
        let current = open(peppers, endpoint.id, &secrets.current)?;
        let old: Vec<_> = secrets
            .overlapping(endpoint.overlap(now), now)
            .filter_map(|sealed| open(peppers, endpoint.id, sealed))
            .collect();
        let id = delivery.id.to_string();
        let message = Message {
            id: &id,
            timestamp: now,
            body: delivery.body.as_bytes(),
        };
        Some(Posting {
            url: endpoint.url.clone(),
            timestamp: message.timestamp_header(),
            signature: message.signature_header([&current].into_iter().chain(&old)),
            body: delivery.body.clone(),
            id,
        })
    }

    /// Writes down what an attempt brought; `None` when the hold is lost.
    async fn record(
        &self,
        before: &Endpoint,
        delivery: Delivery,
        reception: Reception,
    ) -> Result<Option<Attempted>, StoreError> {
        let (id, token) = (self.id, self.token);
        let world = &self.service.world;
        let (now, random, event): (_, _, EventId) = (world.now(), world.number(), world.id());
        let was_disabled = before.disabled_at.is_some();
        let written = self.service.db.write(move |tx| {
            let Some((mut endpoint, secrets)) = tx.endpoint_held(id, token)? else {
                return Ok(None);
            };
            let to = (endpoint.partner_id, endpoint.id);
            let Some(mut delivery) = tx.delivery(to, delivery.id)? else {
                return Ok(None);
            };
            let attempted = delivery.record(reception.clone(), now, random);
            tx.delivery_update(&delivery)?;
            let action = match attempted {
                Attempted::Gone => {
                    tx.deliveries_give_up(id, now)?;
                    let first = endpoint.disabled_at.is_none();
                    endpoint.disabled_at = endpoint.disabled_at.or(Some(now));
                    first.then_some(Action::WebhookDisabled)
                }
                // Only a message that was asked for gets to an endpoint that is disabled.
                Attempted::Delivered if was_disabled => {
                    endpoint.disabled_at.take().map(|_| Action::WebhookEnabled)
                }
                Attempted::Delivered | Attempted::Again | Attempted::GivenUp => None,
            };
            if let Some(action) = action {
                tx.endpoint_update(&endpoint, &secrets)?;
                tx.event_insert(&event_of(&endpoint, &delivery, action, event, now))?;
            }
            Ok::<_, StoreError>(Some(attempted))
        });
        written.await
    }
}
