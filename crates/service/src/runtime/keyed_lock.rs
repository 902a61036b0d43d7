//! A lock for each key: callers who would wait for the same row of the database wait here instead, where it
//! costs nobody a connection.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

const TIMEOUT: Duration = Duration::from_secs(5);
/// From how many keys on those are dropped that nobody holds or waits for.
const MAX_IDLE_KEYS: usize = 1024;

/// A mutex for each key. First come, first served.
#[derive(Debug)]
pub(crate) struct KeyedLock<K>(Mutex<HashMap<K, Weak<AsyncMutex<()>>>>);

/// A held lock, released when it is dropped.
#[derive(Debug)]
pub(crate) struct KeyedGuard(#[expect(dead_code, reason = "it is held")] OwnedMutexGuard<()>);

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> KeyedLock<K> {
    /// Waits for the lock; `None` when that takes longer than five seconds.
    pub(crate) async fn lock(&self, key: K) -> Option<KeyedGuard> {
        let lock = timeout(TIMEOUT, self.mutex(key).lock_owned()).await;
        lock.ok().map(KeyedGuard)
    }

    fn mutex(&self, key: K) -> Arc<AsyncMutex<()>> {
        let mut mutexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mutexes.len() >= MAX_IDLE_KEYS {
            mutexes.retain(|_, mutex| mutex.strong_count() > 0);
        }
        let place = mutexes.entry(key).or_default();
        place.upgrade().unwrap_or_else(|| {
            let mutex = Arc::default();
            *place = Arc::downgrade(&mutex);
            mutex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_holds_the_lock_and_the_next_waits() {
        let locks = KeyedLock::default();
        let first = locks.lock(1).await.unwrap();
        let other = locks.lock(2).await;
        assert!(other.is_some(), "another key's");
        let second = async {
            let lock = locks.lock(1).await;
            assert!(lock.is_some());
        };
        let end = async {
            tokio::time::sleep(TIMEOUT / 2).await;
            drop(first);
        };
        tokio::join!(second, end);
        let _third = locks.lock(1).await.unwrap();
        assert!(locks.lock(1).await.is_none(), "whoever waits too long");
    }

    #[tokio::test]
    async fn unused_keys_are_dropped() {
        let locks = KeyedLock::default();
        let kept = locks.lock(0).await;
        for key in 1..3 * MAX_IDLE_KEYS {
            locks.lock(key).await.unwrap();
        }
        let known = locks.0.lock().unwrap();
        assert!(known.len() <= MAX_IDLE_KEYS, "{}", known.len());
        assert!(known.contains_key(&0));
        drop(kept);
    }
}
