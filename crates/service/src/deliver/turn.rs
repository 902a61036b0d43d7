//! A turn: a while in which one endpoint is served.

use std::{sync::Arc, time::Duration as StdDuration};

use ids::{EndpointId, Ulid};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use webhooks::{
    Attempted, Delivery, Endpoint, Lease, Message, Posting, Reception, SealedSecrets, Sender,
};

use super::{
    LEASE,
    record::{Batch, Ended, Fetch, Finished, Job, read_all, write_all},
};
use crate::{Service, webhooks::open};

/// How often a lease is renewed.
const RENEWAL: StdDuration = StdDuration::from_secs(3);
/// How many messages are on their way to one endpoint at once.
const PER_ENDPOINT: usize = 2;
/// How long an endpoint is served before others get their turn.
const TURN: StdDuration = StdDuration::from_secs(5);
/// How long a receiver may take to answer, from the look-up of its host to the end of the answer.
const ANSWER_WITHIN: StdDuration = StdDuration::from_secs(20);
/// A receiver that takes this long shares its slot with others of its kind from then on.
const SLOW: StdDuration = StdDuration::from_secs(2);

/// A while in which one endpoint is served.
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
    /// Serves the endpoint; whether it took long to answer, if it was asked.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) -> Option<bool> {
        let mut slow = None;
        {
            let work = self.work(&mut slow);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    outcome = &mut work => match outcome {
                        Ok(()) => break,
                        Err(error) => {
                            // Nor is it released: what was not recorded is not to be sent at once again.
                            self.warn(&error, "an endpoint was not served; it waits until its lease ends");
                            return None;
                        }
                    },
                    () = sleep(RENEWAL) => self.renew().await,
                    _ = stop.changed() => break,
                }
            }
        }
        if let Err(error) = self.job(Job::Release(self.id, self.token)).await {
            self.warn(&error, "an endpoint waits until its lease ends");
        }
        slow
    }

    fn warn(&self, error: &StoreError, what: &'static str) {
        tracing::warn!(error = error.as_dyn(), endpoint_id = %self.id, "{what}");
    }

    /// Writes something down, together with what others have to write.
    async fn job(&self, job: Job) -> Result<Ended, StoreError> {
        let db = self.service.db.clone();
        let write = move |jobs| write_all(db.clone(), jobs);
        let ends = &self.service.deliverer.ends;
        ends.run(job, self.service.db.together(), write).await
    }

    async fn renew(&self) {
        let lease = Lease {
            token: self.token,
            until: self.service.env.now() + LEASE,
        };
        if let Err(error) = self.job(Job::Renew(self.id, lease)).await {
            self.warn(&error, "the lease of an endpoint was not renewed");
        }
    }

    /// Sends what is due, a few at a time, until nothing is or the time is up.
    async fn work(&self, slow: &mut Option<bool>) -> Result<(), StoreError> {
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
            let (mut failed, mut longest) = (None, StdDuration::ZERO);
            while let Some(done) = attempts.join_next().await {
                match done.unwrap_or(Err(StoreError::Panicked)) {
                    Ok(took) => longest = longest.max(took),
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            *slow = Some(longest >= SLOW);
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// What is due now; `None` when nothing is, or the lease is lost.
    async fn batch(&self) -> Result<Option<Batch>, StoreError> {
        let fetch = Fetch {
            id: self.id,
            token: self.token,
            now: self.service.env.now(),
            limit: PER_ENDPOINT,
        };
        let db = self.service.db.clone();
        let read = move |fetches| read_all(db.clone(), fetches);
        let batches = &self.service.deliverer.batches;
        batches.run(fetch, self.service.db.together(), read).await
    }

    /// Makes an attempt and writes down how it went; how long it took.
    async fn attempt(
        &self,
        endpoint: Endpoint,
        secrets: SealedSecrets,
        delivery: Delivery,
    ) -> Result<StdDuration, StoreError> {
        let (id, began) = (delivery.id, Instant::now());
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
        let took = began.elapsed();
        match self.record(&endpoint, delivery, reception).await? {
            Some(attempted) => {
                self.service.deliverer.tally.count(attempted);
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
                "the endpoint is deleted, or leased by another worker, who goes on"
            ),
        }
        Ok(took)
    }

    /// The message as it is sent now, signed with each secret in force, the newest first.
    fn posting(
        &self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
        delivery: &Delivery,
    ) -> Option<Posting> {
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
        Some(Posting {
            partner_id: endpoint.partner_id,
            url: endpoint.url.clone(),
            timestamp: message.timestamp_header(),
            signature: message.signature_header([&current].into_iter().chain(&old)),
            body: delivery.body.clone(),
            id,
        })
    }

    /// Writes down what an attempt brought; `None` when the lease is lost.
    async fn record(
        &self,
        endpoint: &Endpoint,
        delivery: Delivery,
        reception: Reception,
    ) -> Result<Option<Attempted>, StoreError> {
        let env = &self.service.env;
        let finished = Finished {
            id: self.id,
            token: self.token,
            delivery: delivery.id,
            was_disabled: endpoint.disabled_at.is_some(),
            reception,
            now: env.now(),
            random: env.number(),
            event: env.id(),
        };
        let mut ended = self.job(Job::Attempt(Box::new(finished))).await?;
        let attempted = ended.attempted;
        // A receiver that is gone may have left a long backlog, which is given up step by step.
        while ended.more {
            let now = self.service.env.now();
            ended = self.job(Job::GiveUp(self.id, self.token, now)).await?;
        }
        Ok(attempted)
    }
}
