//! How much work may run against a pool at once, and how much may wait.

use std::{sync::Arc, time::Duration};

use stores::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many may wait; whoever comes on top of them is refused at once.
const WAITING: usize = 4096;
/// How long anybody waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets as many through at once as there are connections, in the order in which they came.
///
/// Without it each that waits for a connection would hold a thread.
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// The right to use one connection, until it is dropped.
pub(crate) struct Passage {
    _place: OwnedSemaphorePermit,
    _connection: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate before this many connections.
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(connections.saturating_add(WAITING))),
            connections: Arc::new(Semaphore::new(connections)),
        }
    }

    /// Waits for a turn.
    pub(crate) async fn pass(&self) -> Result<Passage, StoreError> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| StoreError::Overloaded)?;
        let turn = Arc::clone(&self.connections).acquire_owned();
        let connection = tokio::time::timeout(PATIENCE, turn)
            .await
            .map_err(|_| StoreError::Overloaded)?
            .map_err(|_| StoreError::Unavailable(None))?;
        Ok(Passage {
            _place: place,
            _connection: connection,
        })
    }
}
