//! How much work may run against a pool at once, and how much may wait.

use std::{sync::Arc, time::Duration};

use stores::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::stats::PoolStats;

/// How many may wait; whoever comes on top of them is refused at once.
const MAX_WAITING: usize = 4096;
/// How long anybody waits.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Admits as many at once as there are connections, in the order in which they came.
///
/// Without it each that waits for a connection would hold a thread.
pub(crate) struct ConnectionLimiter {
    most: usize,
    admitted: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// The right to use one connection, until it is dropped.
pub(crate) struct Permit {
    _admitted: OwnedSemaphorePermit,
    _connection: OwnedSemaphorePermit,
}

impl ConnectionLimiter {
    /// A limiter of this many connections.
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            most: connections,
            admitted: Arc::new(Semaphore::new(connections.saturating_add(MAX_WAITING))),
            connections: Arc::new(Semaphore::new(connections)),
        }
    }

    /// The connections of this use as they are now.
    pub(crate) fn stats(&self, name: &'static str) -> PoolStats {
        let most = self.most;
        let in_use = most.saturating_sub(self.connections.available_permits());
        let bound = most.saturating_add(MAX_WAITING);
        let admitted = bound.saturating_sub(self.admitted.available_permits());
        PoolStats {
            name,
            max: most,
            in_use,
            waiting: admitted.saturating_sub(in_use),
        }
    }

    /// Waits for a connection to be free.
    pub(crate) async fn acquire(&self) -> Result<Permit, StoreError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| StoreError::Overloaded)?;
        let free = Arc::clone(&self.connections).acquire_owned();
        let connection = tokio::time::timeout(WAIT_TIMEOUT, free)
            .await
            .map_err(|_| StoreError::Overloaded)?
            .map_err(|_| StoreError::Unavailable(None))?;
        Ok(Permit {
            _admitted: admitted,
            _connection: connection,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_told_from_those_who_have_a_connection() {
        let limiter = Arc::new(ConnectionLimiter::new(1));
        let stats = |limiter: &ConnectionLimiter| {
            let stats = limiter.stats("read");
            (stats.in_use, stats.waiting)
        };
        assert_eq!(stats(&limiter), (0, 0));
        let held = limiter.acquire().await.unwrap();
        assert_eq!(stats(&limiter), (1, 0));
        let other = Arc::clone(&limiter);
        let waiting = tokio::spawn(async move { other.acquire().await.map(drop) });
        while stats(&limiter) != (1, 1) {
            tokio::task::yield_now().await;
        }
        drop(held);
        waiting.await.unwrap().unwrap();
        assert_eq!(stats(&limiter), (0, 0));
    }
}
