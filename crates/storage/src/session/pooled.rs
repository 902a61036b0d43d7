//! What a session does otherwise when a pooler gives each transaction another one.

use stores::StoreError;

use super::{Reading, Session, Writing};
use crate::connection::AnyConnection;

impl Session<Reading> {
    /// Runs work that asks. Through a pooler that is one transaction: what holds for the session otherwise,
    /// such as its timeouts, is set there.
    pub(crate) fn ask<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.connection.is_pooled() {
            return work(self);
        }
        self.run(AnyConnection::begin_snapshot)?;
        let answers = work(self);
        let ended = self.roll_back_to(0);
        answers.and_then(|answers| {
            ended?;
            Ok(answers)
        })
    }
}

impl Session<Writing> {
    /// Runs work of one statement, which is a transaction of its own; through a pooler one that brings its
    /// settings along.
    pub(crate) fn run_alone<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.connection.is_pooled() {
            self.nested(work)
        } else {
            work(self)
        }
    }
}
