//! The limiter: asks the server, or goes on by itself.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ratelimit::{Debt, Decision, Limiter, MemoryLimiter, RateLimit, Subject};

use crate::{
    Failure, RedisUrl, Stats,
    counts::Counts,
    leased::Leased,
    link::Link,
    script::Scripts,
    session::{Server, Session},
};

/// How often the server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For each call.
    Exact,
    /// For batches of permits, which are taken ahead.
    Leased,
}

/// What a limiter is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server is.
    pub url: RedisUrl,
    /// Whose limits these are: a text for all instances of one control plane, and for no other. Those after
    /// the first are earlier ones, whose limits are taken over.
    pub owners: Vec<String>,
    /// How often the server is asked.
    pub mode: Mode,
    /// How long it may take to answer, before the instance goes on by itself: [`RESPONSE_TIMEOUT`], but for
    /// tests.
    ///
    /// [`RESPONSE_TIMEOUT`]: crate::RESPONSE_TIMEOUT
    pub response_timeout: Duration,
}

/// Limits that all instances share. [`RedisLimiter::maintain`] must be called several times a second.
pub struct RedisLimiter {
    pub(crate) server: Server,
    pub(crate) link: Link,
    /// What this instance knows of the debts.
    pub(crate) debts: MemoryLimiter,
    pub(crate) instances: Box<dyn Fn() -> NonZeroU32 + Send + Sync>,
    pub(crate) counts: Counts,
    /// In the leased mode, the permits that were taken ahead.
    leased: Option<Leased>,
}

impl RedisLimiter {
    /// A limiter that is not connected yet. `clock` is that of [`MemoryLimiter::new`]; `instances` tells how
    /// many processes share the limits now, this one among them.
    pub fn new(
        settings: Settings,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
        instances: impl Fn() -> NonZeroU32 + Send + Sync + 'static,
    ) -> Self {
        Self {
            server: Server {
                url: settings.url,
                owners: settings.owners,
                scripts: Scripts::new(),
                response_timeout: settings.response_timeout,
            },
            link: Link::default(),
            debts: MemoryLimiter::new(clock),
            instances: Box::new(instances),
            counts: Counts::default(),
            leased: (settings.mode == Mode::Leased).then(Leased::default),
        }
    }

    /// Connects for the first time. When the server is gone or busy the limiter goes on by itself, and
    /// [`RedisLimiter::maintain`] connects later.
    ///
    /// # Errors
    /// When only the operator can help: see [`Failure::is_misconfigured`].
    pub async fn start(&self) -> Result<(), Failure> {
        let connected = match self.connect().await {
            Ok(Some(policy)) => Err(Failure::Evicts { policy }),
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        match connected {
            Err(failure) if failure.is_misconfigured() => Err(failure),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Looks after the server: notices that it is gone or back, or has lost its state, and hands over what
    /// this instance has counted by itself.
    pub async fn maintain(&self) {
        let Some(session) = self.link.session() else {
            if let Ok(Some(policy)) = self.connect().await {
                let failure = Failure::Evicts { policy };
                self.counts.fail(&failure);
                tracing::error!("rate limits may be forgotten: {failure}");
            }
            return;
        };
        let looked_after = match self.server.probe(&session).await {
            Ok(()) => self.hand_over(&session).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = looked_after {
            self.fail(Some(&session), &failure);
        }
        if let Some(leased) = &self.leased {
            self.give_back(leased, leased.leases.collect_unused()).await;
        }
    }

    /// Gives back what was taken ahead. Calls may come afterwards too.
    pub async fn close(&self) {
        if let Some(leased) = &self.leased {
            self.give_back(leased, leased.leases.collect_all()).await;
        }
    }

    /// Forgets subjects whose debt is paid, see [`MemoryLimiter::sweep`].
    pub fn sweep(&self) {
        self.debts.sweep();
        self.link
            .retain_owing(|subject, limit| !self.known(subject, limit).left.is_zero());
    }

    /// What has been counted since the process began.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counts.stats(self.link.session().is_none())
    }

    /// Connects, hands over what the server does not know, and uses it from then on. Gives the policy by
    /// which the server drops keys, if it does.
    async fn connect(&self) -> Result<Option<String>, Failure> {
        let connected = self.connect_and_hand_over().await;
        if let Err(failure) = &connected {
            self.fail(None, failure);
        }
        connected
    }

    async fn connect_and_hand_over(&self) -> Result<Option<String>, Failure> {
        let known = self.link.generation();
        let session = self.server.connect(&known).await?;
        if session.generation != known {
            // Another state: what this instance knows may be all that is left of the debts.
            self.server.merge(&session, &self.debts.debts()).await?;
        }
        self.hand_over(&session).await?;
        let policy = session.eviction_policy.clone();
        let session = self.link.connected(session);
        // What was counted here meanwhile.
        if let Err(failure) = self.hand_over(&session).await {
            self.fail(Some(&session), &failure);
        }
        Ok(policy)
    }

    /// Hands over the debts of the subjects whose calls were counted here.
    async fn hand_over(&self, session: &Session) -> Result<(), Failure> {
        let owing = self.link.take_owing();
        if owing.is_empty() {
            return Ok(());
        }
        let debts: Vec<Debt> = owing
            .iter()
            .map(|(&subject, &limit)| self.known(subject, limit))
            .filter(|debt| !debt.left.is_zero())
            .collect();
        let merged = self.server.merge(session, &debts).await;
        if merged.is_err() {
            self.link.put_back(owing);
        }
        merged
    }

    /// What this instance knows of a subject's debt.
    fn known(&self, subject: Subject, limit: RateLimit) -> Debt {
        let decision = self.debts.peek_share(subject, limit, NonZeroU32::MIN);
        Debt {
            subject,
            limit,
            left: decision.full_after,
        }
    }

    pub(crate) fn fail(&self, session: Option<&Arc<Session>>, failure: &Failure) {
        self.counts.fail(failure);
        self.link.failed(session, failure);
    }

    /// Counts one call, or none with `calls` 0, against all limits.
    pub(crate) async fn decide(&self, limits: &[(Subject, RateLimit)], calls: u8) -> Vec<Decision> {
        if let Some(session) = self.link.session() {
            match self.server.spend(&session, limits, calls.into()).await {
                Ok((counted, debts)) => {
                    self.counts.exact.fetch_add(1, Ordering::Relaxed);
                    return self.told(limits, counted, &debts);
                }
                Err(failure) => self.fail(Some(&session), &failure),
            }
        }
        self.by_share(limits, calls)
    }

    /// The decisions that the server made, and a note of the debts that it told.
    pub(crate) fn told(
        &self,
        limits: &[(Subject, RateLimit)],
        counted: u32,
        debts: &[u64],
    ) -> Vec<Decision> {
        let told = limits.iter().zip(debts);
        let decision = |(&(subject, limit), &debt): (&(Subject, RateLimit), &u64)| {
            let added = limit.period_nanos().saturating_mul(counted.into());
            self.debts.record(Debt {
                subject,
                limit,
                left: Duration::from_nanos(debt.saturating_add(added)),
            });
            Decision::of_debt(limit, Duration::from_nanos(debt), counted > 0)
        };
        told.map(decision).collect()
    }

    /// The decisions by this instance's part of each limit.
    pub(crate) fn by_share(&self, limits: &[(Subject, RateLimit)], calls: u8) -> Vec<Decision> {
        self.counts.fallback.fetch_add(1, Ordering::Relaxed);
        let instances = (self.instances)();
        if calls == 0 {
            let peek = |&(subject, limit)| self.debts.peek_share(subject, limit, instances);
            return limits.iter().map(peek).collect();
        }
        let decisions = self.debts.check_share(limits, instances);
        if decisions.iter().all(Decision::is_allowed) {
            self.link.owe(limits);
        }
        decisions
    }

    async fn count(&self, limits: &[(Subject, RateLimit)]) -> Vec<Decision> {
        match &self.leased {
            None => self.decide(limits, 1).await,
            Some(leased) => self.decide_leased(leased, limits).await,
        }
    }

    fn one(&self, mut decided: Vec<Decision>, subject: Subject, limit: RateLimit) -> Decision {
        // There is one decision for each limit.
        decided
            .pop()
            .unwrap_or_else(|| self.debts.peek_share(subject, limit, NonZeroU32::MIN))
    }
}

impl Limiter for RedisLimiter {
    async fn check(&self, subject: Subject, limit: RateLimit) -> Decision {
        let decided = self.count(&[(subject, limit)]).await;
        self.one(decided, subject, limit)
    }

    async fn check_all(&self, limits: &[(Subject, RateLimit)]) -> Vec<Decision> {
        self.count(limits).await
    }

    async fn peek(&self, subject: Subject, limit: RateLimit) -> Decision {
        let decided = self.decide(&[(subject, limit)], 0).await;
        self.one(decided, subject, limit)
    }
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiter")
            .field("url", &self.server.url)
            .finish_non_exhaustive()
    }
}
