//! The reports that this process has stored and is to handle at once. Those that it does not come to are handled by
//! whichever instance finds them first.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keys::LeakReport;
use tokio::sync::Notify;

/// Later ones are left to the search in the database.
const MAX_WAITING: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct WaitingReports {
    reports: Mutex<VecDeque<LeakReport>>,
    wanted: Arc<Notify>,
}

impl WaitingReports {
    pub(crate) fn push(&self, report: LeakReport) {
        let mut reports = self.lock();
        if reports.len() < MAX_WAITING {
            reports.push_back(report);
        }
        drop(reports);
        self.wanted.notify_one();
    }

    pub(crate) fn pop(&self) -> Option<LeakReport> {
        self.lock().pop_front()
    }

    /// Notified when there is a report.
    pub(crate) fn wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<LeakReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
