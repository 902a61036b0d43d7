//! The loop of a worker that shares its work with other processes: search for what is due, acquire leases,
//! work under the leases, record how it went; again until the process stops.

use std::{future::Future, time::Duration};

use stores::StoreError;
use tokio::{
    sync::{Notify, mpsc::UnboundedReceiver},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// The shortest pause after a search that found nothing to do: another worker may be just about to take
/// what is due.
pub(crate) const MIN_IDLE: Duration = Duration::from_millis(10);
/// The longest pause between two searches: another process may have made something due.
pub(crate) const MAX_IDLE: Duration = Duration::from_secs(1);

/// A task that has ended: its id and its output.
pub(crate) type Finished<T> = Result<(Id, T), JoinError>;

/// What a worker searches for, and how it works on it.
pub(crate) trait LeaseWorker: Send {
    /// Work whose lease was acquired elsewhere, and that is handed over to this worker.
    type Work: Send;
    /// What one piece of work gives back.
    type Output: Send + 'static;

    /// What is worked on, for the log.
    const NAME: &'static str;
    /// How much later than the last search the next one begins, at the least.
    const MIN_SEARCH_INTERVAL: Duration;
    /// How long running work may go on when the process stops, before it is cancelled.
    const SHUTDOWN_GRACE: Duration;

    /// Whether more work can be started now.
    fn has_capacity(&self) -> bool;

    /// Starts a task for each piece of work that is due and whose lease it gets; how long to wait before the
    /// next search.
    fn search(
        &mut self,
        tasks: &mut JoinSet<Self::Output>,
    ) -> impl Future<Output = Result<Duration, StoreError>> + Send;

    /// Starts a task for work that was handed over.
    fn start(&mut self, work: Self::Work, tasks: &mut JoinSet<Self::Output>);

    /// Takes note of a task that has ended; whether it makes a search worth while.
    fn finished(&mut self, finished: Finished<Self::Output>) -> bool;

    /// Refuses what would be handed over from now on.
    fn close(&mut self);
}

/// Works until `stop` is cancelled, and finishes what has begun; `cancel` tells running work to end.
pub(crate) async fn run<W: LeaseWorker>(
    mut worker: W,
    due: &Notify,
    mut handed_over: UnboundedReceiver<W::Work>,
    stop: CancellationToken,
    cancel: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let mut next_search = Instant::now();
    let mut earliest = next_search;
    while !stop.is_cancelled() {
        while let Some(finished) = tasks.try_join_next_with_id() {
            if worker.finished(finished) {
                next_search = earliest;
            }
        }
        if worker.has_capacity() && next_search <= Instant::now() {
            earliest = Instant::now() + W::MIN_SEARCH_INTERVAL;
            let pause = worker.search(&mut tasks).await.unwrap_or_else(|error| {
                let work = W::NAME;
                tracing::warn!(
                    error = error.as_dyn(),
                    work,
                    "search for due work failed; retrying"
                );
                MAX_IDLE
            });
            next_search = earliest.max(Instant::now() + pause);
        }
        let has_capacity = worker.has_capacity();
        tokio::select! {
            Some(work) = handed_over.recv() => worker.start(work, &mut tasks),
            () = due.notified() => next_search = earliest,
            () = sleep_until(next_search), if has_capacity => {}
            Some(finished) = tasks.join_next_with_id() => {
                if worker.finished(finished) {
                    next_search = earliest;
                }
            }
            () = stop.cancelled() => {}
        }
    }
    worker.close();
    while let Some(work) = handed_over.recv().await {
        worker.start(work, &mut tasks);
    }
    let grace = timeout(W::SHUTDOWN_GRACE, finish(&mut worker, &mut tasks));
    if grace.await.is_err() {
        cancel.cancel();
        finish(&mut worker, &mut tasks).await;
    }
}

/// Searches once and waits for what that starts; how many pieces of work there were.
///
/// # Errors
/// When the search fails.
pub(crate) async fn run_once<W: LeaseWorker>(mut worker: W) -> Result<usize, StoreError> {
    let mut tasks = JoinSet::new();
    worker.search(&mut tasks).await?;
    let started = tasks.len();
    finish(&mut worker, &mut tasks).await;
    Ok(started)
}

async fn finish<W: LeaseWorker>(worker: &mut W, tasks: &mut JoinSet<W::Output>) {
    while let Some(finished) = tasks.join_next_with_id().await {
        worker.finished(finished);
    }
}
