//! The reports that this process has stored and is to handle at once. Those that it does not come to are handled by
//! whichever instance finds them first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keys::LeakReport;
use ratelimit::Subject;
use tokio::sync::Notify;

use crate::runtime::fair_queue::FairQueue;

/// Later ones are left to the search in the database.
const MAX_WAITING: usize = 512;

/// Those of one address wait for each other, and not those of others.
#[derive(Debug)]
pub(crate) struct WaitingReports {
    reports: Mutex<FairQueue<Subject, LeakReport>>,
    wanted: Arc<Notify>,
}

impl Default for WaitingReports {
    fn default() -> Self {
        Self {
            reports: Mutex::new(FairQueue::new(MAX_WAITING)),
            wanted: Arc::default(),
        }
    }
}

impl WaitingReports {
    pub(crate) fn push(&self, address: Subject, report: LeakReport) {
        // One that has no room is found in the database.
        let _ = self.lock().push(address, report);
        self.wanted.notify_one();
    }

    pub(crate) fn pop(&self) -> Option<LeakReport> {
        self.lock().pop()
    }

    /// Notified when there is a report.
    pub(crate) fn wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<Subject, LeakReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
