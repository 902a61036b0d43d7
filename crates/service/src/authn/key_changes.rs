//! Following the changes of keys and partners, which are what makes the credential cache valid.

use std::time::Duration;

use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};

use super::credential_cache::ClockReading;
use crate::Service;

/// How long a change waits until the cache has it, before the whole cache is invalidated instead. It is
/// longer than an entry is valid without an answer of the database.
const APPLY_TIMEOUT: Duration = Duration::from_secs(3);

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Reads which keys and partners have changed, and drops them from the credential cache. Called many
    /// times a second, it keeps the cache valid; called after a change, it puts the change in force here.
    ///
    /// # Errors
    /// When the database fails; then nothing that is cached is valid, or not for long.
    pub async fn poll_key_changes(&self) -> Result<(), StoreError> {
        self.key_changes.run(self.read_key_changes()).await
    }

    /// How often the credential cache had nothing valid, since the process began.
    #[must_use]
    pub fn credential_cache_misses(&self) -> u64 {
        self.credentials.misses()
    }

    /// How long ago the log of changes was last read; `None` where it could not be since the process began, or since
    /// the cache was dropped.
    #[must_use]
    pub fn revision_lag(&self) -> Option<Duration> {
        self.credentials.age(ClockReading::now(self.env.wall()))
    }

    /// Whether the credential cache is valid: the log of changes was read a moment ago.
    #[must_use]
    pub fn is_credential_cache_fresh(&self) -> bool {
        self.credentials
            .is_fresh(ClockReading::now(self.env.wall()))
    }

    async fn read_key_changes(&self) -> Result<(), StoreError> {
        let since = self.credentials.newest_revision();
        let env = self.env.clone();
        let query = move |view: &mut D::View| {
            // Not before: however long this has waited for the connection, the answer is as old as this.
            let checked_at = ClockReading::now(env.wall());
            Ok::<_, StoreError>((checked_at, view.key_changes(since)?))
        };
        let (checked_at, changes) = self.db.read_control(query).await?;
        // What can't be told may be to be confirmed.
        let confirm = changes.confirm || changes.changed.is_none();
        let is_first = self.credentials.age(checked_at).is_none();
        self.credentials.apply(checked_at, changes);
        if confirm || is_first {
            self.instances.report_soon();
        }
        Ok(())
    }

    /// Puts a change of keys or partners in force for every request that comes after its response.
    pub(crate) async fn apply_key_changes(&self) {
        let polled = tokio::time::timeout(APPLY_TIMEOUT, self.poll_key_changes()).await;
        if let Err(error) = polled.unwrap_or(Err(StoreError::Unavailable(None))) {
            self.credentials.invalidate_all();
            tracing::warn!(
                error = error.as_dyn(),
                "reading key changes failed; the credential cache is off until it succeeds"
            );
        }
    }
}
