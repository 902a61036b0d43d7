//! The limiter of one process: a map in shards.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, ready},
    hash::BuildHasher as _,
    num::NonZeroU32,
    time::Duration,
};

use crossbeam_utils::CachePadded;
use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

mod debts;

pub use self::debts::Debt;
use crate::{Decision, Limiter, RateLimit, Subject, gcra::Bucket};

/// A power of two, so that callers on many cores seldom meet.
const SHARDS: usize = 64;
/// What a request costs where this process alone keeps a limit.
const WHOLE: NonZeroU32 = NonZeroU32::MIN;
/// A shard with fewer subjects is not searched for paid ones when one is added.
const MIN_SEARCH: usize = 256;

/// Limits held in the memory of one process.
///
/// Beside a limiter that several processes share it keeps what this process knows of their debts: see
/// [`MemoryLimiter::record`] and [`MemoryLimiter::check_share`].
///
/// A subject's debt outlives a change of its limit. Subjects are dropped once their debt is paid:
/// memory holds at most twice as many subjects as have had a debt at one time, plus a constant.
pub struct MemoryLimiter {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    hasher: RandomState,
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
}

struct Shard {
    buckets: HashMap<Subject, Bucket, RandomState>,
    /// At how many subjects those whose debt is paid are dropped.
    search_at: usize,
}

impl Shard {
    /// What is known of a subject, under this limit from now on.
    fn bucket(&mut self, subject: Subject, limit: RateLimit, now: u64) -> Bucket {
        match self.buckets.get_mut(&subject) {
            Some(bucket) => {
                *bucket = bucket.under(limit, now);
                *bucket
            }
            None => Bucket::new(limit),
        }
    }

    fn put(&mut self, subject: Subject, bucket: Bucket, now: u64) {
        if self.buckets.len() >= self.search_at {
            self.forget_paid(now);
        }
        self.buckets.insert(subject, bucket);
    }

    fn forget_paid(&mut self, now: u64) {
        self.buckets.retain(|_, bucket| !bucket.is_paid(now));
        // Twice as many as are left: the next search is paid for by as many insertions.
        self.search_at = MIN_SEARCH.max(self.buckets.len().saturating_mul(2));
        self.buckets.shrink_to(self.search_at);
    }
}

/// Most requests count against one limit or two.
type Few<T> = SmallVec<[T; 2]>;

/// The shards of one request, each locked once, in the order of their numbers.
struct Locked<'a>(Few<(usize, MutexGuard<'a, Shard>)>);

impl Locked<'_> {
    fn shard(&mut self, number: usize) -> Option<&mut Shard> {
        let mut all = self.0.iter_mut();
        all.find(|(locked, _)| *locked == number)
            .map(|(_, shard)| &mut **shard)
    }
}

impl MemoryLimiter {
    /// A limiter on a clock that tells the time since any fixed point and never steps back.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let shard = || {
            CachePadded::new(Mutex::new(Shard {
                buckets: HashMap::default(),
                search_at: MIN_SEARCH,
            }))
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::default(),
            clock: Box::new(clock),
        }
    }

    /// Forgets subjects whose debt is paid.
    ///
    /// Call it from time to time, so that memory follows when fewer subjects send requests; a subject with a
    /// debt is never dropped.
    pub fn sweep(&self) {
        for shard in &self.shards {
            let now = self.now();
            shard.lock().forget_paid(now);
        }
    }

    /// How many subjects are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        let subjects = self.shards.iter().map(|shard| shard.lock().buckets.len());
        subjects.sum()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn now(&self) -> u64 {
        u64::try_from((self.clock)().as_nanos()).unwrap_or(u64::MAX)
    }

    fn number(&self, subject: Subject) -> usize {
        usize::try_from(self.hasher.hash_one(subject) >> 32).unwrap_or_default() % SHARDS
    }

    /// Runs `work` on the shard of a subject, `None` if there is none.
    fn with_shard<T>(&self, subject: Subject, work: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        let shard = self.shards.get(self.number(subject))?;
        Some(work(&mut shard.lock()))
    }

    fn decide(&self, subject: Subject, limit: RateLimit, charge: bool) -> Decision {
        let now = self.now();
        let Some(shard) = self.shards.get(self.number(subject)) else {
            return Bucket::new(limit).decision(now, None, WHOLE);
        };
        let mut shard = shard.lock();
        let mut bucket = shard.bucket(subject, limit, now);
        let wait = bucket.wait(now, WHOLE);
        if charge && wait.is_none() {
            bucket.charge(now, WHOLE);
            shard.put(subject, bucket, now);
        }
        bucket.decision(now, wait, WHOLE)
    }

    fn decide_all(&self, limits: &[(Subject, RateLimit)], cost: NonZeroU32) -> Vec<Decision> {
        let now = self.now();
        let numbers: Few<usize> = limits
            .iter()
            .map(|(subject, _)| self.number(*subject))
            .collect();
        let mut locked = self.lock(&numbers);
        let mut buckets = Few::new();
        for ((subject, limit), number) in limits.iter().zip(&numbers) {
            let bucket = match locked.shard(*number) {
                Some(shard) => shard.bucket(*subject, *limit, now),
                None => Bucket::new(*limit),
            };
            buckets.push((bucket, bucket.wait(now, cost)));
        }
        if buckets.iter().all(|(_, wait)| wait.is_none()) {
            for (((subject, _), number), (bucket, _)) in
                limits.iter().zip(&numbers).zip(&mut buckets)
            {
                bucket.charge(now, cost);
                if let Some(shard) = locked.shard(*number) {
                    shard.put(*subject, *bucket, now);
                }
            }
        }
        let decided = buckets.iter();
        decided
            .map(|(bucket, wait)| bucket.decision(now, *wait, cost))
            .collect()
    }

    /// Locks these shards. Everybody locks in the same order, so nobody waits in a circle.
    fn lock(&self, numbers: &[usize]) -> Locked<'_> {
        let mut order = Few::from_slice(numbers);
        order.sort_unstable();
        order.dedup();
        let locked = order.into_iter().filter_map(|number| {
            let shard = self.shards.get(number)?;
            Some((number, shard.lock()))
        });
        Locked(locked.collect())
    }
}

impl Limiter for MemoryLimiter {
    fn check(&self, subject: Subject, limit: RateLimit) -> impl Future<Output = Decision> + Send {
        ready(self.decide(subject, limit, true))
    }

    fn check_all(
        &self,
        limits: &[(Subject, RateLimit)],
    ) -> impl Future<Output = Vec<Decision>> + Send {
        ready(self.decide_all(limits, WHOLE))
    }

    fn peek(&self, subject: Subject, limit: RateLimit) -> impl Future<Output = Decision> + Send {
        ready(self.decide(subject, limit, false))
    }
}

impl fmt::Debug for MemoryLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiter")
            .field("subjects", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
