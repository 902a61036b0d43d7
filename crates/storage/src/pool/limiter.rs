//! How much work may run against a pool at once, and how much may wait.

use std::{sync::Arc, time::Duration};

use stores::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many may wait; whoever comes on top of them is refused at once.
const MAX_WAITING: usize = 4096;
/// How long anybody waits.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Admits as many at once as there are connections, in the order in which they came.
///
/// Without it each that waits for a connection would hold a thread.
pub(crate) struct ConnectionLimiter {
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
            admitted: Arc::new(Semaphore::new(connections.saturating_add(MAX_WAITING))),
            connections: Arc::new(Semaphore::new(connections)),
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
