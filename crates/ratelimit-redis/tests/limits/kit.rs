//! Instances of a control plane that share limits.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ids::{KeyId, PartnerId, TypedId as _, Ulid};
use molecule_ratelimit_redis::{Failure, Mode, RESPONSE_TIMEOUT, RedisLimiter, RedisUrl, Settings};
use ratelimit::{Decision, Limiter as _, RateLimit, Subject};
use tokio::{task::JoinHandle, time::sleep};

/// How often an instance looks after the server.
const MAINTAIN: Duration = Duration::from_millis(50);
/// How long anything may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn key(n: u128) -> Subject {
    Subject::Key(KeyId::from_ulid(Ulid::from(n)))
}

pub fn partner(n: u128) -> Subject {
    Subject::Partner(PartnerId::from_ulid(Ulid::from(n)))
}

pub fn settings(url: &str) -> Settings {
    Settings {
        url: RedisUrl::new(url, None).unwrap(),
        owners: vec!["tests".to_owned()],
        mode: Mode::Exact,
        // A busy machine is not what these tests are about.
        response_timeout: Duration::from_secs(5),
    }
}

/// The same, of instances that give up on a server as soon as the program does.
pub fn impatient(url: &str) -> Settings {
    Settings {
        response_timeout: RESPONSE_TIMEOUT,
        ..settings(url)
    }
}

/// One of several instances.
pub struct Instance {
    pub limiter: Arc<RedisLimiter>,
    maintenance: JoinHandle<()>,
}

impl Instance {
    /// One of so many, which must not be refused.
    pub async fn of(count: u32, url: &str) -> Self {
        Self::start(count, settings(url)).await.unwrap()
    }

    pub async fn start(count: u32, settings: Settings) -> Result<Self, Failure> {
        let began = Instant::now();
        let instances = NonZeroU32::new(count).unwrap();
        let limiter = RedisLimiter::new(settings, move || began.elapsed(), move || instances);
        limiter.start().await?;
        let limiter = Arc::new(limiter);
        let maintained = Arc::clone(&limiter);
        let maintenance = tokio::spawn(async move {
            loop {
                sleep(MAINTAIN).await;
                maintained.maintain().await;
            }
        });
        Ok(Self {
            limiter,
            maintenance,
        })
    }

    pub async fn check(&self, subject: Subject, limit: RateLimit) -> Decision {
        self.limiter.check(subject, limit).await
    }

    /// Whether each limit allows a call, and what it has left.
    pub async fn check_all(&self, limits: &[(Subject, RateLimit)]) -> Vec<(bool, u32)> {
        let decisions = self.limiter.check_all(limits).await;
        let told = decisions.iter();
        told.map(|decision| (decision.is_allowed(), decision.remaining))
            .collect()
    }

    /// How many of so many calls are allowed.
    pub async fn allowed(&self, subject: Subject, limit: RateLimit, calls: usize) -> usize {
        let mut allowed = 0;
        for _ in 0..calls {
            allowed += usize::from(self.check(subject, limit).await.is_allowed());
        }
        allowed
    }

    pub fn is_partitioned(&self) -> bool {
        self.limiter.stats().is_partitioned
    }

    /// Waits until it shares limits, or does not.
    #[track_caller]
    pub fn until_partitioned(&self, expect: bool) -> impl Future<Output = ()> {
        let what = format!("partitioned: {expect}");
        until(what, move || self.is_partitioned() == expect)
    }

    /// How often it failed for a reason.
    pub fn failures(&self, reason: &str) -> u64 {
        let failures = self.limiter.stats().failures;
        failures.iter().find(|(name, _)| *name == reason).unwrap().1
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.maintenance.abort();
    }
}

/// Waits for something that must come.
pub async fn until(what: String, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Instances that are called for one subject without a pause, several calls at a time.
pub struct Hammered {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<Instant>>>,
}

/// How many calls each instance has at a time.
const AT_A_TIME: usize = 4;

impl Hammered {
    pub fn start(instances: &[Instance], subject: Subject, limit: RateLimit) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = instances.iter().flat_map(|instance| {
            (0..AT_A_TIME).map(|_| {
                let (limiter, stop) = (Arc::clone(&instance.limiter), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut allowed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        if limiter.check(subject, limit).await.is_allowed() {
                            allowed.push(Instant::now());
                        } else {
                            sleep(Duration::from_millis(1)).await;
                        }
                    }
                    allowed
                })
            })
        });
        Self {
            callers: callers.collect(),
            stop,
        }
    }

    /// Ends it, and gives when calls were allowed, in order.
    pub async fn stop(self) -> Vec<Instant> {
        self.stop.store(true, Ordering::Relaxed);
        let mut allowed = Vec::new();
        for caller in self.callers {
            allowed.extend(caller.await.unwrap());
        }
        allowed.sort();
        allowed
    }
}
