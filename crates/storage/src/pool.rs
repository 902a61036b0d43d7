//! Pools of sessions of one mode.

use std::{marker::PhantomData, time::Duration};

use diesel::r2d2::{HandleError, ManageConnection};
use stores::StoreError;

use crate::{
    error,
    gate::Gate,
    session::{Mode, Session},
    url::DatabaseUrl,
};

/// How long to wait for a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the sessions of a pool.
pub(crate) struct Manager<M> {
    url: DatabaseUrl,
    mode: PhantomData<fn() -> M>,
}

impl<M: Mode> ManageConnection for Manager<M> {
    type Connection = Session<M>;
    type Error = StoreError;

    fn connect(&self) -> Result<Session<M>, StoreError> {
        Session::connect(&self.url)
    }

    fn is_valid(&self, session: &mut Session<M>) -> Result<(), StoreError> {
        session.test()
    }

    fn has_broken(&self, session: &mut Session<M>) -> bool {
        // A panic may have left the session halfway through anything.
        std::thread::panicking() || session.is_broken()
    }
}

/// Tells the operator what the pool meets with in the background.
#[derive(Debug)]
struct Tell;

impl HandleError<StoreError> for Tell {
    fn handle_error(&self, error: StoreError) {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, "a connection to the database failed");
    }
}

/// A pool of sessions of one mode. Work on them runs on the runtime's blocking threads.
pub(crate) struct Pool<M: Mode> {
    sessions: Sessions<M>,
    gate: Gate,
}

/// A session that goes back to its pool when it is dropped.
pub(crate) type PooledSession<M> = diesel::r2d2::PooledConnection<Manager<M>>;

/// The sessions themselves, for those who may block.
pub(crate) struct Sessions<M: Mode>(diesel::r2d2::Pool<Manager<M>>);

impl<M: Mode> Clone for Sessions<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Mode> Sessions<M> {
    /// A session, or the error why there is none.
    pub(crate) fn get(&self) -> Result<PooledSession<M>, StoreError> {
        self.0
            .get()
            .map_err(|error| error::unavailable(error.to_string()))
    }

    /// How many there can be.
    pub(crate) fn most(&self) -> u32 {
        self.0.max_size()
    }
}

impl<M: Mode> Pool<M> {
    /// A pool of up to `most` sessions. With `test` each is asked whether it lives before it is used,
    /// unless it has answered a moment ago.
    pub(crate) fn open(url: &DatabaseUrl, most: u8, test: bool) -> Self {
        let manager = Manager {
            url: url.clone(),
            mode: PhantomData,
        };
        let sessions = diesel::r2d2::Pool::builder()
            .max_size(most.into())
            .min_idle(Some(1))
            .test_on_check_out(test)
            .connection_timeout(CONNECTION_TIMEOUT)
            .error_handler(Box::new(Tell))
            .build_unchecked(manager);
        Self {
            sessions: Sessions(sessions),
            gate: Gate::new(most.into()),
        }
    }

    /// Runs work that may block, once it is its turn.
    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Sessions<M>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let passage = self.gate.pass().await?;
        let sessions = self.sessions.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            let outcome = work(&sessions);
            drop(passage);
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
