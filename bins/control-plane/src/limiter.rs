//! Where rate limits are kept: in this process, or in Redis for all instances.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use keys::Peppers;
use ratelimit::{Decision, Limiter, MemoryLimiter, RateLimit, Subject};
use ratelimit_redis::{RESPONSE_TIMEOUT, RedisLimiter, Stats};

use crate::settings::LimitSettings;

/// The limiter that the settings name.
#[derive(Debug)]
pub enum ChosenLimiter {
    /// Each instance has limits of its own.
    Memory(MemoryLimiter),
    /// All instances share their limits.
    Redis(Box<RedisLimiter>),
}

impl ChosenLimiter {
    /// Starts the limiter. A Redis that is gone does not hold up the start.
    ///
    /// # Errors
    /// When only the operator can help: the password is wrong, the state is another control plane's.
    pub async fn start(
        settings: &LimitSettings,
        peppers: &Peppers,
        instances: impl Fn() -> NonZeroU32 + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let clock = monotonic();
        let LimitSettings::Redis { url, mode, .. } = settings else {
            return Ok(Self::Memory(MemoryLimiter::new(clock)));
        };
        let settings = ratelimit_redis::Settings {
            url: url.clone(),
            // The same on all instances, and another for each control plane: its pepper's.
            owners: peppers.ids().map(|id| id.to_string()).collect(),
            mode: *mode,
            response_timeout: RESPONSE_TIMEOUT,
        };
        let limiter = RedisLimiter::new(settings, clock, instances);
        limiter.start().await.context("redis_url")?;
        Ok(Self::Redis(Box::new(limiter)))
    }

    /// Forgets subjects whose debt is paid.
    pub fn sweep(&self) {
        match self {
            Self::Memory(limiter) => limiter.sweep(),
            Self::Redis(limiter) => limiter.sweep(),
        }
    }

    /// Looks after Redis, where there is one.
    pub async fn maintain(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Redis(limiter) => limiter.maintain().await,
        }
    }

    /// Gives back what was taken ahead.
    pub async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Redis(limiter) => limiter.close().await,
        }
    }

    /// What has been counted since the process began, with Redis.
    pub fn stats(&self) -> Option<Stats> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(limiter) => Some(limiter.stats()),
        }
    }
}

/// The time since now, which never steps back.
fn monotonic() -> impl Fn() -> Duration + Send + Sync + 'static {
    let started = Instant::now();
    move || started.elapsed()
}

impl Limiter for ChosenLimiter {
    async fn check(&self, subject: Subject, limit: RateLimit) -> Decision {
        match self {
            Self::Memory(limiter) => limiter.check(subject, limit).await,
            Self::Redis(limiter) => limiter.check(subject, limit).await,
        }
    }

    async fn check_all(&self, limits: &[(Subject, RateLimit)]) -> Vec<Decision> {
        match self {
            Self::Memory(limiter) => limiter.check_all(limits).await,
            Self::Redis(limiter) => limiter.check_all(limits).await,
        }
    }

    async fn peek(&self, subject: Subject, limit: RateLimit) -> Decision {
        match self {
            Self::Memory(limiter) => limiter.peek(subject, limit).await,
            Self::Redis(limiter) => limiter.peek(subject, limit).await,
        }
    }
}
