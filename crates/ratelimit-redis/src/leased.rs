//! The leased mode: permits taken ahead in small batches, and refusals that need no question.

use std::{hash::BuildHasher as _, num::NonZeroU32, sync::atomic::Ordering, time::Instant};

use foldhash::quality::RandomState;
use ratelimit::{Decision, Leases, RateLimit, Subject, Unused};
use tokio::sync::{Mutex, MutexGuard};

use crate::RedisLimiter;

/// How many subjects' batches may be asked for at the same time.
const REFILLS: usize = 256;

/// The permits of this instance, and the turns of those who ask for more.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) leases: Leases,
    /// One for a batch of a subject is enough: who comes meanwhile waits, and takes of it.
    refills: Box<[Mutex<()>]>,
    hasher: RandomState,
    started: Instant,
}

impl Default for Leased {
    fn default() -> Self {
        Self {
            leases: Leases::default(),
            refills: (0..REFILLS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::default(),
            started: Instant::now(),
        }
    }
}

impl Leased {
    async fn turn(&self, limits: &[(Subject, RateLimit)]) -> Option<MutexGuard<'_, ()>> {
        let (subject, _) = limits.first()?;
        let number = usize::try_from(self.hasher.hash_one(subject) >> 32).unwrap_or_default();
        Some(self.refills.get(number % REFILLS)?.lock().await)
    }
}

impl RedisLimiter {
    /// Counts one call against all limits.
    pub(crate) async fn decide_leased(
        &self,
        leased: &Leased,
        limits: &[(Subject, RateLimit)],
    ) -> Vec<Decision> {
        if let Some(decisions) = self.decide_here(leased, limits) {
            return decisions;
        }
        let max = Leases::max_batch(limits, (self.instances)());
        if max == 1 {
            // Nothing can be taken ahead, so nobody has to wait for a turn.
            return self.decide(limits, 1).await;
        }
        let _turn = leased.turn(limits).await;
        if let Some(decisions) = self.decide_here(leased, limits) {
            return decisions;
        }
        let Some(session) = self.link.session() else {
            return self.by_share(limits, 1);
        };
        let batch = leased
            .leases
            .next_batch(limits, max, leased.started.elapsed());
        match self.server.spend(&session, limits, batch.into()).await {
            Ok((counted, debts)) => {
                self.counts.exact.fetch_add(1, Ordering::Relaxed);
                let more = counted.saturating_sub(1);
                let now = leased.started.elapsed();
                let unused = leased.leases.add(limits, more, max, now);
                let decisions = self.told(limits, counted, &debts);
                self.give_back(leased, unused).await;
                decisions
            }
            Err(failure) => {
                self.fail(Some(&session), &failure);
                self.by_share(limits, 1)
            }
        }
    }

    /// Decides by a permit that is here, or by what the server said a moment ago: who owed the whole burst
    /// then must wait until it is known when a call is paid for.
    fn decide_here(
        &self,
        leased: &Leased,
        limits: &[(Subject, RateLimit)],
    ) -> Option<Vec<Decision>> {
        let permits = leased.leases.take(limits);
        let known = |&(subject, limit): &(Subject, RateLimit)| {
            let mut decision = self.debts.peek_share(subject, limit, NonZeroU32::MIN);
            if let Some(left) = permits {
                // They are counted already.
                decision.retry_after = None;
                decision.remaining = decision.remaining.saturating_add(left);
            }
            decision
        };
        let decisions: Vec<Decision> = limits.iter().map(known).collect();
        let is_refused = || decisions.iter().any(|decision| !decision.is_allowed());
        if permits.is_some() || (self.link.session().is_some() && is_refused()) {
            self.counts.leased.fetch_add(1, Ordering::Relaxed);
            return Some(decisions);
        }
        None
    }

    /// Gives permits back. Without a server they stay here. When it does not answer, they are gone for this
    /// instance: the server may have taken them back, and nobody may use a permit twice.
    pub(crate) async fn give_back(&self, leased: &Leased, unused: Vec<Unused>) {
        for unused in unused {
            let Unused { limits, permits } = &unused;
            let Some(session) = self.link.session() else {
                let now = leased.started.elapsed();
                // What is beyond the bound is counted and never used, which is the safe side.
                let _ = leased.leases.add(limits, *permits, *permits, now);
                continue;
            };
            let calls = -i64::from(*permits);
            match self.server.spend(&session, limits, calls).await {
                Ok(_) => {
                    for &(subject, limit) in limits {
                        self.debts.refund(subject, limit, *permits);
                    }
                }
                Err(failure) => self.fail(Some(&session), &failure),
            }
        }
    }
}
