//! One at a time: callers who would wait for the same row of the database wait here instead, where it costs
//! nobody a connection.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex as Queue, OwnedMutexGuard},
    time::timeout,
};

/// How long anybody waits.
const TIMEOUT: Duration = Duration::from_secs(5);
/// From how many subjects on those are forgotten for whom nobody waits.
const MANY: usize = 1024;

/// Whose turn it is, by subject. First come, first served.
#[derive(Debug)]
pub(crate) struct Turns<K>(Mutex<HashMap<K, Weak<Queue<()>>>>);

/// A turn; the next one's begins when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "it is held")] OwnedMutexGuard<()>);

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Turns<K> {
    /// Waits for a turn; `None` when it takes too long.
    pub(crate) async fn take(&self, subject: K) -> Option<Turn> {
        let queue = self.queue(subject);
        let turn = timeout(TIMEOUT, queue.lock_owned()).await;
        turn.ok().map(Turn)
    }

    fn queue(&self, subject: K) -> Arc<Queue<()>> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() >= MANY {
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let place = queues.entry(subject).or_default();
        place.upgrade().unwrap_or_else(|| {
            let queue = Arc::default();
            *place = Arc::downgrade(&queue);
            queue
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_has_its_turn_and_the_next_waits() {
        let turns = Turns::default();
        let first = turns.take(1).await.unwrap();
        let other = turns.take(2).await;
        assert!(other.is_some(), "another subject's");
        let second = async {
            let turn = turns.take(1).await;
            assert!(turn.is_some());
        };
        let end = async {
            tokio::time::sleep(TIMEOUT / 2).await;
            drop(first);
        };
        tokio::join!(second, end);
        let _third = turns.take(1).await.unwrap();
        assert!(turns.take(1).await.is_none(), "whoever waits too long");
    }

    #[tokio::test]
    async fn subjects_for_whom_nobody_waits_are_forgotten() {
        let turns = Turns::default();
        let kept = turns.take(0).await;
        for subject in 1..3 * MANY {
            turns.take(subject).await.unwrap();
        }
        let known = turns.0.lock().unwrap();
        assert!(known.len() <= MANY, "{}", known.len());
        assert!(known.contains_key(&0));
        drop(kept);
    }
}
