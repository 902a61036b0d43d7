//! Which request a line of the log is about.

use std::{fmt, future::Future, sync::Arc};

use super::context::TraceContext;

tokio::task_local! {
    static CURRENT: Scope;
}

/// A request, for as long as it is worked on.
#[derive(Clone)]
pub struct Scope {
    pub request_id: Arc<str>,
    pub trace: Option<TraceContext>,
}

impl Scope {
    /// Does work for the request: the lines that it logs name it.
    pub fn run<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Uses the request that the current task works on.
    pub fn with_current(act: impl FnOnce(&Self) -> fmt::Result) -> Option<fmt::Result> {
        CURRENT.try_with(act).ok()
    }
}
