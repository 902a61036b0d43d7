//! The index of the log, made on a connection of its own.

use std::time::Duration;

use stores::StoreError;

use crate::{
    dialect::index as rows,
    indexer::{Halt, Hand},
    session::{Session, Writing},
    url::DatabaseUrl,
};

/// How long at first to wait for those who add segments; as long, those wait who come after. Then twice
/// as long each time, up to `MOST`.
const FIRST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(1);

/// Makes an indexer's changes itself, while it alone of all processes indexes this database.
pub(crate) struct Alone {
    url: DatabaseUrl,
    /// With its connection goes its lock.
    session: Option<Session<Writing>>,
    patience: Duration,
}

impl Alone {
    pub(crate) fn new(url: &DatabaseUrl) -> Self {
        Self {
            url: url.clone(),
            session: None,
            patience: FIRST,
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

impl Hand for Alone {
    fn claim(&mut self) -> Result<bool, Halt> {
        let claimed = self.on_session(|session| session.run(rows::claim))?;
        if claimed {
            self.change(|session| session.run(rows::drop_unfinished))?;
        }
        Ok(claimed)
    }

    fn disclaim(&mut self) -> Result<(), Halt> {
        match &self.session {
            Some(_) => self.on_session(|session| session.run(rows::disclaim)),
            None => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<Option<i64>, Halt> {
        let patience = self.patience;
        let settled = self.on_session(|session| {
            let settled = session.nested(|session| session.run(|c| rows::settle(c, patience)));
            match settled {
                Ok(newest) => Ok(Some(newest)),
                // Someone was longer at it.
                Err(error) if error.is_temporary() && !session.is_broken() => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        self.patience = if settled.is_some() {
            FIRST
        } else {
            (patience * 2).min(MOST)
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
