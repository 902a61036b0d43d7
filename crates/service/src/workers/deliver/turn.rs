//! A turn: the time for which one endpoint is served under one lease.

use std::{sync::Arc, time::Duration as StdDuration};

use ids::{EndpointId, Ulid};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use webhooks::{
    AttemptOutcome, Delivery, Endpoint, Lease, Message, OutgoingMessage, SealedSecrets,
    SendOutcome, Sender,
};

use super::record::{Fetch, Fetched, FinishedAttempt, Write, Written, read_all, write_all};
use crate::{
    Service,
    runtime::lease::{LEASE_DURATION, keep},
    webhooks::open,
};

/// How many messages are on their way to one endpoint at once.
const PER_ENDPOINT: usize = 2;
/// How long an endpoint is served before others get their turn.
const TURN_DURATION: StdDuration = StdDuration::from_secs(5);
/// How long a receiver may take to answer, from the lookup of its host to the end of the response.
const RESPONSE_TIMEOUT: StdDuration = StdDuration::from_secs(20);
/// A receiver that takes this long shares its slot with others of its kind from then on.
const SLOW_AFTER: StdDuration = StdDuration::from_secs(2);

pub(super) struct Turn<D, L, P, S> {
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

impl<D, L, P, S> Turn<D, L, P, S> {
    pub(super) const fn new(
        service: Arc<Service<D, L, P>>,
        sender: Arc<S>,
        id: EndpointId,
        token: Ulid,
    ) -> Self {
        Self {
            service,
            sender,
            id,
            token,
        }
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static, S: Sender> Turn<D, L, P, S> {
    /// Serves the endpoint; whether it was slow, if a message was sent to it.
    pub(super) async fn run(self, acquired_at: Instant, cancel: CancellationToken) -> Option<bool> {
        let mut is_slow = None;
        // Nothing stops when the lease is lost: every write asks for its token.
        let keep = keep(self.id, acquired_at, || self.renew(), || {});
        let served = tokio::select! {
            served = self.serve(&mut is_slow) => served,
            never = keep => match never {},
            () = cancel.cancelled() => Ok(()),
        };
        if let Err(error) = served {
            // Nor is the lease released: what was not recorded is not to be sent again at once.
            self.warn(
                &error,
                "serving an endpoint failed; it waits until its lease ends",
            );
            return None;
        }
        if let Err(error) = self.write(Write::Release(self.id, self.token)).await {
            self.warn(
                &error,
                "releasing a lease failed; the endpoint waits until it ends",
            );
        }
        is_slow
    }

    fn warn(&self, error: &StoreError, what: &'static str) {
        tracing::warn!(error = error.as_dyn(), endpoint_id = %self.id, "{what}");
    }

    /// Writes together with other turns.
    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let db = self.service.db.clone();
        let outbox = self.service.outbox.clone();
        let transaction = move |writes| write_all(db.clone(), outbox.clone(), writes);
        let batch = self.service.db.max_batch();
        let writes = &self.service.deliverer.writes;
        writes.run((), write, batch, transaction).await
    }

    async fn renew(&self) -> Result<bool, StoreError> {
        let lease = Lease {
            token: self.token,
            until: self.service.env.now() + LEASE_DURATION,
        };
        self.write(Write::Renew(self.id, lease)).await?;
        Ok(true)
    }

    /// Sends what is due, a few at a time, until nothing is or the turn is over.
    async fn serve(&self, is_slow: &mut Option<bool>) -> Result<(), StoreError> {
        let end = Instant::now() + TURN_DURATION;
        loop {
            let Some(fetched) = self.fetch().await? else {
                return Ok(());
            };
            if let Some(since) = fetched.endpoint.disabled_at
                && !fetched
                    .deliveries
                    .iter()
                    .all(|it| it.is_for_disabled(since))
            {
                // What was pending when it was disabled is not sent any more.
                self.give_up().await?;
                continue;
            }
            let mut attempts = JoinSet::new();
            for delivery in fetched.deliveries {
                let turn = self.clone();
                let (endpoint, secrets) = (fetched.endpoint.clone(), fetched.secrets.clone());
                attempts.spawn(async move { turn.attempt(endpoint, secrets, delivery).await });
            }
            let (mut failed, mut longest) = (None, StdDuration::ZERO);
            while let Some(attempt) = attempts.join_next().await {
                match attempt.unwrap_or(Err(StoreError::Panicked)) {
                    Ok(took) => longest = longest.max(took),
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            *is_slow = Some(longest >= SLOW_AFTER);
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// What is due now; `None` when nothing is, or the lease is lost.
    async fn fetch(&self) -> Result<Option<Fetched>, StoreError> {
        let fetch = Fetch {
            id: self.id,
            token: self.token,
            now: self.service.env.now(),
            limit: PER_ENDPOINT,
        };
        let db = self.service.db.clone();
        let query = move |fetches| read_all(db.clone(), fetches);
        let batch = self.service.db.max_batch();
        let reads = &self.service.deliverer.reads;
        reads.run((), fetch, batch, query).await
    }

    /// Makes an attempt and records its outcome; how long it took.
    async fn attempt(
        &self,
        endpoint: Endpoint,
        secrets: SealedSecrets,
        delivery: Delivery,
    ) -> Result<StdDuration, StoreError> {
        let (id, began) = (delivery.id, Instant::now());
        let outcome = match self.sign(&endpoint, &secrets, &delivery) {
            None => SendOutcome::NoResponse(
                "the endpoint's secret can't be read any more; rotate it".to_owned(),
            ),
            Some(message) => {
                let sent = timeout(RESPONSE_TIMEOUT, self.sender.send(message)).await;
                sent.unwrap_or_else(|_elapsed| {
                    let seconds = RESPONSE_TIMEOUT.as_secs();
                    SendOutcome::NoResponse(format!("no answer within {seconds} seconds"))
                })
            }
        };
        let took = began.elapsed();
        match self.record(&endpoint, delivery, outcome).await? {
            Some(outcome) => {
                self.service.deliverer.attempts.count(outcome);
                tracing::debug!(
                    delivery_id = %id,
                    endpoint_id = %self.id,
                    outcome = outcome.as_str(),
                    "message sent"
                );
            }
            None => tracing::warn!(
                delivery_id = %id,
                endpoint_id = %self.id,
                "the endpoint is deleted, or leased by another worker, who goes on"
            ),
        }
        Ok(took)
    }

    /// The message as it is sent now, signed with each secret in force, the newest first.
    fn sign(
        &self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
        delivery: &Delivery,
    ) -> Option<OutgoingMessage> {
        let (peppers, now) = (&self.service.settings.peppers, self.service.env.now());
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
        Some(OutgoingMessage {
            partner_id: endpoint.partner_id,
            url: endpoint.url.clone(),
            timestamp: message.timestamp_header(),
            signature: message.signature_header([&current].into_iter().chain(&old)),
            body: delivery.body.clone(),
            id,
        })
    }

    /// Records an attempt; `None` when the lease is lost.
    async fn record(
        &self,
        endpoint: &Endpoint,
        delivery: Delivery,
        outcome: SendOutcome,
    ) -> Result<Option<AttemptOutcome>, StoreError> {
        let env = &self.service.env;
        let attempt = FinishedAttempt {
            id: self.id,
            token: self.token,
            delivery: delivery.id,
            url: endpoint.url.clone(),
            was_disabled: endpoint.disabled_at.is_some(),
            outcome,
            now: env.now(),
            random: env.number(),
            event: env.id(),
        };
        let written = self.write(Write::Attempt(Box::new(attempt))).await?;
        if written.more {
            self.give_up().await?;
        }
        Ok(written.outcome)
    }

    /// Gives up what waits for an endpoint that is disabled. It may have a long backlog, which is given up step by
    /// step.
    async fn give_up(&self) -> Result<(), StoreError> {
        loop {
            let now = self.service.env.now();
            let written = self.write(Write::GiveUp(self.id, self.token, now));
            if !written.await?.more {
                return Ok(());
            }
        }
    }
}
