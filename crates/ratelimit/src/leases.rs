//! Permits that a process takes ahead from limits that it shares with others.
//!
//! Asking for each request costs a round trip. So a process may ask for a batch of permits, which are counted
//! before they are used, and give back those that it does not use. Nobody is ever allowed more than what was
//! counted; but permits that were counted in one minute may be used in the next. The bounds of a batch keep
//! that small: see [`Leases::max_batch`].
//!
//! A lease is for one set of limits. When a limit is changed, the permits that are left go back.

use std::{collections::HashMap, fmt, hash::BuildHasher as _, num::NonZeroU32, time::Duration};

use foldhash::quality::RandomState;
use smallvec::SmallVec;

use self::sync::Mutex;
use crate::{RateLimit, Subject};

#[cfg(test)]
mod races;
#[cfg(not(test))]
mod sync {
    pub(super) use parking_lot::Mutex;
}
#[cfg(test)]
use self::races::sync;

/// A power of two, so that callers on many cores seldom meet.
const SHARDS: usize = 64;
/// All instances together hold at most one permit in so many of a limit, but for one each.
const HELD_PART: u32 = 100;
/// The largest batch.
const MAX_BATCH: u32 = 1000;
/// A batch that is used up sooner is followed by one of twice the size, else by one of half the size.
const QUICK: Duration = Duration::from_millis(50);

/// The limits that a request counts against.
type Limits = SmallVec<[(Subject, RateLimit); 2]>;

/// The leases of one process.
pub struct Leases {
    shards: Box<[Mutex<HashMap<Subject, Lease, RandomState>>]>,
    hasher: RandomState,
}

/// Permits that were not used, to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// The limits that they were counted against.
    pub limits: Limits,
    /// How many there are.
    pub permits: u32,
}

/// The lease of a set of limits, which is found by the first subject.
struct Lease {
    limits: Limits,
    permits: u32,
    /// How many were asked for last.
    batch: u32,
    asked_at: Duration,
    /// Whether a permit was asked for since unused ones were last collected.
    is_used: bool,
}

impl Leases {
    /// The most permits that one of `instances` processes may hold of these limits: all together hold at most
    /// a hundredth of each limit. Where that is less than one for each, a process takes no more than the one
    /// that it uses.
    #[must_use]
    pub fn max_batch(limits: &[(Subject, RateLimit)], instances: NonZeroU32) -> u32 {
        let smallest = limits.iter().map(|(_, limit)| limit.limit().get()).min();
        let held = smallest.unwrap_or(1) / HELD_PART / instances;
        held.clamp(1, MAX_BATCH)
    }

    /// Takes a permit; gives how many are left. `None` when there is none: ask for more.
    pub fn take(&self, limits: &[(Subject, RateLimit)]) -> Option<u32> {
        self.with_shard(limits, |subject, shard| {
            let lease = shard.get_mut(&subject)?;
            lease.is_used = true;
            if lease.limits.as_slice() != limits {
                return None;
            }
            lease.permits = lease.permits.checked_sub(1)?;
            Some(lease.permits)
        })?
    }

    /// How many permits to ask for now, at `now` on any clock that never steps back: up to `max`, the more
    /// the sooner the last batch was used up.
    pub fn next_batch(&self, limits: &[(Subject, RateLimit)], max: u32, now: Duration) -> u32 {
        let next = self.with_shard(limits, |subject, shard| {
            let lease = shard.entry(subject).or_insert_with(|| Lease {
                limits: Limits::from_slice(limits),
                permits: 0,
                batch: 0,
                asked_at: now,
                is_used: true,
            });
            lease.batch = if now.saturating_sub(lease.asked_at) < QUICK {
                lease.batch.saturating_mul(2)
            } else {
                lease.batch / 2
            };
            lease.batch = lease.batch.clamp(1, max.max(1));
            lease.asked_at = now;
            lease.batch
        });
        next.unwrap_or(1)
    }

    /// Adds permits that were counted, but for the one that the caller uses itself. Gives what must be given
    /// back: permits of other limits, and those beyond `max`.
    #[must_use]
    pub fn add(
        &self,
        limits: &[(Subject, RateLimit)],
        permits: u32,
        max: u32,
        now: Duration,
    ) -> Vec<Unused> {
        let unused = self.with_shard(limits, |subject, shard| {
            let lease = shard.entry(subject).or_insert_with(|| Lease {
                limits: Limits::from_slice(limits),
                permits: 0,
                batch: permits,
                asked_at: now,
                is_used: true,
            });
            let mut unused = Vec::new();
            if lease.limits.as_slice() != limits {
                let limits = std::mem::replace(&mut lease.limits, Limits::from_slice(limits));
                let permits = std::mem::take(&mut lease.permits);
                unused.push(Unused { limits, permits });
            }
            let held = lease.permits.saturating_add(permits);
            lease.permits = held.min(max);
            unused.push(Unused {
                limits: Limits::from_slice(limits),
                permits: held.saturating_sub(max),
            });
            unused.retain(|unused| unused.permits > 0);
            unused
        });
        unused.unwrap_or_default()
    }

    /// Takes all permits of leases that were not used since this was last asked, to be given back.
    #[must_use]
    pub fn collect_unused(&self) -> Vec<Unused> {
        self.collect(|lease| !std::mem::take(&mut lease.is_used))
    }

    /// Takes all permits, to be given back.
    #[must_use]
    pub fn collect_all(&self) -> Vec<Unused> {
        self.collect(|_| true)
    }

    fn collect(&self, mut is_wanted: impl FnMut(&mut Lease) -> bool) -> Vec<Unused> {
        let mut unused = Vec::new();
        for shard in &self.shards {
            shard.lock().retain(|_, lease| {
                let is_wanted = is_wanted(lease);
                if is_wanted && lease.permits > 0 {
                    unused.push(Unused {
                        limits: lease.limits.clone(),
                        permits: lease.permits,
                    });
                }
                !is_wanted
            });
        }
        unused
    }

    /// Runs `work` on the shard of the first subject.
    fn with_shard<T>(
        &self,
        limits: &[(Subject, RateLimit)],
        work: impl FnOnce(Subject, &mut HashMap<Subject, Lease, RandomState>) -> T,
    ) -> Option<T> {
        let (subject, _) = *limits.first()?;
        let number = usize::try_from(self.hasher.hash_one(subject) >> 32).unwrap_or_default();
        let shard = self.shards.get(number % SHARDS)?;
        Some(work(subject, &mut shard.lock()))
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS)
                .map(|_| Mutex::new(HashMap::default()))
                .collect(),
            hasher: RandomState::default(),
        }
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").finish_non_exhaustive()
    }
}
