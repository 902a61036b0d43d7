//! Admission to something that all callers share, such as held requests.
//!
//! Each holder may have as much as is free after it (the dynamic threshold of Choudhury and Hahne for
//! shared buffers): one alone gets half, two get a third each, and a newcomer always finds some.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Whether a holder of `own` may have one more, where `total` of `capacity` are in use.
pub(crate) const fn has_room(own: usize, total: usize, capacity: usize) -> bool {
    own < capacity.saturating_sub(total)
}

/// How many permits there are in use, in all and by holder.
#[derive(Debug)]
pub(crate) struct Usage<K> {
    total: usize,
    by_holder: HashMap<K, usize>,
}

impl<K> Default for Usage<K> {
    fn default() -> Self {
        Self {
            total: 0,
            by_holder: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Usage<K> {
    pub(crate) fn add(&mut self, holder: K) {
        self.total += 1;
        *self.by_holder.entry(holder).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, holder: K) {
        if let Some(own) = self.by_holder.get_mut(&holder) {
            self.total = self.total.saturating_sub(1);
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.by_holder.remove(&holder);
            }
        }
    }

    pub(crate) fn of(&self, holder: K) -> usize {
        self.by_holder.get(&holder).copied().unwrap_or_default()
    }

    pub(crate) const fn total(&self) -> usize {
        self.total
    }
}

/// An admission limiter with fair shares.
#[derive(Debug)]
pub(crate) struct FairShare<K> {
    capacity: usize,
    in_use: Mutex<Usage<K>>,
}

impl<K: Copy + Eq + Hash> FairShare<K> {
    /// A limiter of so many permits for all holders together.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            in_use: Mutex::default(),
        }
    }

    /// A permit, in use until it is dropped; `None` when the holder has its share.
    pub(crate) fn acquire(&self, holder: K) -> Option<Permit<'_, K>> {
        let mut in_use = self.lock();
        if !has_room(in_use.of(holder), in_use.total(), self.capacity) {
            return None;
        }
        in_use.add(holder);
        Some(Permit {
            limiter: self,
            holder,
        })
    }

    /// How many permits are in use by all holders.
    pub(crate) fn total(&self) -> usize {
        self.lock().total()
    }

    fn lock(&self) -> MutexGuard<'_, Usage<K>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One permit of a holder.
#[derive(Debug)]
pub(crate) struct Permit<'a, K: Copy + Eq + Hash> {
    limiter: &'a FairShare<K>,
    holder: K,
}

impl<K: Copy + Eq + Hash> Drop for Permit<'_, K> {
    fn drop(&mut self) {
        self.limiter.lock().remove(self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_gets_half_and_the_next_always_finds_some() {
        let shares = FairShare::new(100);
        let take_all = |holder: u32| {
            let mut permits = Vec::new();
            permits.extend(std::iter::from_fn(|| shares.acquire(holder)));
            permits
        };
        let first = take_all(1);
        assert_eq!(first.len(), 50);
        let second = take_all(2);
        assert_eq!(second.len(), 25);
        assert_eq!(take_all(3).len(), 13);
        assert_eq!(shares.total(), 75);
        drop(second);
        assert!(shares.acquire(1).is_none());
        assert_eq!(take_all(4).len(), 25);
        drop(first);
        assert_eq!(shares.total(), 0);
        assert!(shares.lock().by_holder.is_empty());
    }
}
