//! The writer's part in the index of the log.

use stores::StoreError;
use tokio::sync::oneshot;

use super::work::{Job, Pending};
use crate::{
    group_commit::queue::{Queue, WeakQueue},
    indexer::{Halt, IndexWriter},
    session::{Session, Writing},
    tables::audit_index as rows,
};

/// Has the writer make an indexer's changes, among everybody's.
pub(crate) struct SqliteIndexWriter {
    jobs: WeakQueue<Job>,
    begun: bool,
}

impl SqliteIndexWriter {
    pub(super) fn new(jobs: &Queue<Job>) -> Self {
        Self {
            jobs: jobs.downgrade(),
            begun: false,
        }
    }
}

impl IndexWriter for SqliteIndexWriter {
    /// Hardly ever does another process write to the file. If one is at it, it begins anew.
    fn acquire(&mut self) -> Result<bool, Halt> {
        if !self.begun {
            self.change(|session| session.run(rows::drop_unfinished))?;
            self.begun = true;
        }
        Ok(true)
    }

    fn release(&mut self) -> Result<(), Halt> {
        Ok(())
    }

    /// Numbers are given in the order of the commits.
    fn wait_for_inflight(&mut self) -> Result<Option<i64>, Halt> {
        Ok(Some(i64::MAX))
    }

    fn change<T: Send + 'static>(
        &mut self,
        change: impl Fn(&mut Session<Writing>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Halt> {
        let (caller, answer) = oneshot::channel();
        let jobs = self.jobs.upgrade().ok_or(Halt::Stopped)?;
        jobs.send_blocking(Job::Work(Box::new(Pending::new(change, caller))))
            .map_err(|_| Halt::Stopped)?;
        drop(jobs);
        let answer = answer.blocking_recv().map_err(|_| Halt::Stopped)?;
        Ok(answer?)
    }
}
