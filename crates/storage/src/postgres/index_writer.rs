//! The index of the log, made on a connection of its own.

use std::time::Duration;

use stores::StoreError;

use crate::{
    connection::url::DatabaseUrl,
    indexer::{Halt, IndexWriter},
    session::{Session, Writing},
    tables::audit_index as rows,
};

/// How long at first to wait for those who add segments; as long, those wait who come after. Then twice
/// as long each time, up to `MAX_TIMEOUT`.
const MIN_TIMEOUT: Duration = Duration::from_millis(20);
const MAX_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes an indexer's changes itself, while it alone of all processes indexes this database.
pub(crate) struct PostgresIndexWriter {
    url: DatabaseUrl,
    /// With its connection goes its lock.
    session: Option<Session<Writing>>,
    timeout: Duration,
}

impl PostgresIndexWriter {
    pub(crate) fn new(url: &DatabaseUrl) -> Self {
        Self {
            url: url.clone(),
            session: None,
            timeout: MIN_TIMEOUT,
        }
    }

    /// Does work on the session, which is connected when there is none, and given up when it fails.
    fn on_session<T>(
        &mut self,
        work: impl FnOnce(&mut Session<Writing>) -> Result<T, StoreError>,
    ) -> Result<T, Halt> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let mut session = Session::connect(&self.url)?;
                session.run(rows::commit_lazily)?;
                session
            }
        };
        let done = work(&mut session)?;
        self.session = Some(session);
        Ok(done)
    }
}

impl IndexWriter for PostgresIndexWriter {
    fn acquire(&mut self) -> Result<bool, Halt> {
        let acquired = self.on_session(|session| session.run(rows::acquire))?;
        if acquired {
            self.change(|session| session.run(rows::drop_unfinished))?;
        }
        Ok(acquired)
    }

    fn release(&mut self) -> Result<(), Halt> {
        match &self.session {
            Some(_) => self.on_session(|session| session.run(rows::release)),
            None => Ok(()),
        }
    }

    fn wait_for_inflight(&mut self) -> Result<Option<i64>, Halt> {
        let timeout = self.timeout;
        let settled = self.on_session(|session| {
            let settled =
                session.nested(|session| session.run(|c| rows::wait_for_inflight(c, timeout)));
            match settled {
                Ok(newest) => Ok(Some(newest)),
                // Someone was longer at it.
                Err(error) if error.is_temporary() && !session.is_broken() => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        self.timeout = if settled.is_some() {
            MIN_TIMEOUT
        } else {
            (timeout * 2).min(MAX_TIMEOUT)
        };
        Ok(settled)
    }

    fn change<T: Send + 'static>(
        &mut self,
        change: impl Fn(&mut Session<Writing>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Halt> {
        self.on_session(|session| session.nested(change))
    }
}
