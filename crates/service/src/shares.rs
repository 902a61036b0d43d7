//! Shares of something that all callers use together, such as held calls.
//!
//! Each holder may have as much as is free after it (the dynamic threshold of Choudhury and Hahne for
//! shared buffers): one alone gets half, two get a third each, and whoever comes next always finds some.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Whether a holder of `own` may have one more, where `total` of `capacity` are in use.
pub(crate) const fn has_room(own: usize, total: usize, capacity: usize) -> bool {
    own < capacity.saturating_sub(total)
}

/// How much each holder has of one thing.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    capacity: usize,
    in_use: Mutex<InUse<K>>,
}

#[derive(Debug)]
struct InUse<K> {
    total: usize,
    of: HashMap<K, usize>,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// So much for all holders together.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            in_use: Mutex::new(InUse {
                total: 0,
                of: HashMap::new(),
            }),
        }
    }

    /// One of a holder's share, until it is dropped; `None` when the share is used up.
    pub(crate) fn acquire(&self, holder: K) -> Option<Permit<'_, K>> {
        let mut in_use = self.lock();
        let own = in_use.of.get(&holder).copied().unwrap_or_default();
        if !has_room(own, in_use.total, self.capacity) {
            return None;
        }
        in_use.total += 1;
        in_use.of.insert(holder.clone(), own + 1);
        Some(Permit {
            shares: self,
            holder,
        })
    }

    /// How much is in use by all holders.
    pub(crate) fn total(&self) -> usize {
        self.lock().total
    }

    fn release<Q: Eq + Hash + ?Sized>(&self, holder: &Q)
    where
        K: Borrow<Q>,
    {
        let mut in_use = self.lock();
        in_use.total = in_use.total.saturating_sub(1);
        if let Some(own) = in_use.of.get_mut(holder) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                in_use.of.remove(holder);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, InUse<K>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a holder's share.
#[derive(Debug)]
pub(crate) struct Permit<'a, K: Clone + Eq + Hash> {
    shares: &'a Shares<K>,
    holder: K,
}

impl<K: Clone + Eq + Hash> Drop for Permit<'_, K> {
    fn drop(&mut self) {
        self.shares.release(&self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_gets_half_and_the_next_always_finds_some() {
        let shares = Shares::new(100);
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
        assert!(shares.lock().of.is_empty());
    }
}
