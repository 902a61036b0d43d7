//! Pools of sessions of one mode.

pub(crate) mod connections;
mod limiter;

use stores::StoreError;

use self::{connections::Connections, limiter::ConnectionLimiter};
use crate::{connection::url::DatabaseUrl, session::Mode, stats::PoolStats};

/// A pool of sessions of one mode. Work on them runs on the runtime's blocking threads.
pub(crate) struct Pool<M: Mode> {
    sessions: Connections<M>,
    limiter: ConnectionLimiter,
}

impl<M: Mode> Pool<M> {
    /// A pool of up to `most` sessions. With `test` each is asked whether it lives before it is used,
    /// unless it has answered a moment ago.
    pub(crate) fn open(url: &DatabaseUrl, most: u8, test: bool) -> Self {
        Self {
            sessions: Connections::new(url, most.into(), test),
            limiter: ConnectionLimiter::new(most.into()),
        }
    }

    /// Has a session connected, for whoever comes first.
    pub(crate) fn connect(&self) -> Result<(), StoreError> {
        self.sessions.get().map(drop)
    }

    /// Its connections as they are now.
    pub(crate) fn stats(&self, name: &'static str) -> PoolStats {
        self.limiter.stats(name)
    }

    /// Runs work that may block, once it is its turn.
    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connections<M>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = self.limiter.acquire().await?;
        let sessions = self.sessions.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            let outcome = work(&sessions);
            drop(permit);
            outcome
        })
        .await;
        outcome.unwrap_or_else(|error| {
            Err(if error.is_panic() {
                StoreError::Panicked
            } else {
                StoreError::Unavailable(None)
            }
            .into())
        })
    }
}
