//! Changes of many callers in one transaction: while some are being made, those that come next gather,
//! and are made together.
//!
//! Whoever hangs up is forgotten, and what has begun goes on without them.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stores::StoreError;
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

/// How many transactions are under way at a time: one is carried out while another one's commit waits
/// for the disk.
const LANES: usize = 2;
/// How many may wait; whoever comes on top of them is refused at once.
const WAITING: usize = 4096;
/// How long anybody waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Jobs that wait for others of their kind, each with a result of its own.
#[derive(Debug)]
pub(crate) struct Together<J, R> {
    queue: Arc<Mutex<Queue<J, R>>>,
    runtime: Option<Handle>,
}

#[derive(Debug)]
struct Queue<J, R> {
    waiting: VecDeque<Waiting<J, R>>,
    lanes: usize,
}

#[derive(Debug)]
struct Waiting<J, R> {
    job: J,
    since: Instant,
    caller: oneshot::Sender<Result<R, StoreError>>,
}

/// A lane that is in use until nothing waits, or a panic ends it.
struct Lane<J, R> {
    queue: Arc<Mutex<Queue<J, R>>>,
    left: bool,
}

impl<J, R> Default for Together<J, R> {
    fn default() -> Self {
        Self {
            queue: Arc::new(Mutex::new(Queue {
                waiting: VecDeque::new(),
                lanes: 0,
            })),
            runtime: Handle::try_current().ok(),
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Together<J, R> {
    /// Has a job done, up to `most` of those that wait together. `work` gives the results of jobs in
    /// their order.
    ///
    /// # Errors
    /// When too many wait, or one waits too long; and what `work` says of the job.
    pub(crate) async fn run<F>(
        &self,
        job: J,
        most: usize,
        work: impl Fn(Vec<J>) -> F + Send + 'static,
    ) -> Result<R, StoreError>
    where
        F: Future<Output = Vec<Result<R, StoreError>>> + Send + 'static,
    {
        let (caller, answered) = oneshot::channel();
        let lane = {
            let mut queue = lock(&self.queue);
            if queue.waiting.len() >= WAITING {
                return Err(StoreError::Overloaded);
            }
            let since = Instant::now();
            queue.waiting.push_back(Waiting { job, since, caller });
            (queue.lanes < LANES).then(|| {
                queue.lanes += 1;
                Lane {
                    queue: Arc::clone(&self.queue),
                    left: false,
                }
            })
        };
        if let Some(lane) = lane {
            // On the runtime of the whole process: those of its threads end one by one, and with each
            // what runs on it.
            match &self.runtime {
                Some(runtime) => drop(runtime.spawn(lane.work(most, work))),
                None => drop(tokio::spawn(lane.work(most, work))),
            }
        }
        // Whoever did it is gone, and nobody can tell how far it came.
        answered.await.unwrap_or(Err(StoreError::Unavailable(None)))
    }
}

impl<J: Send, R: Send> Lane<J, R> {
    /// Works until nothing waits.
    async fn work<F>(mut self, most: usize, work: impl Fn(Vec<J>) -> F)
    where
        F: Future<Output = Vec<Result<R, StoreError>>> + Send,
    {
        while let Some(batch) = self.take(most) {
            let (jobs, callers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            for (caller, result) in callers.into_iter().zip(work(jobs).await) {
                // Whoever has gone away needs no answer.
                drop(caller.send(result));
            }
        }
    }

    /// Those that have waited the longest. When nobody waits, the lane is left before anybody can come:
    /// whoever comes next takes it.
    #[expect(clippy::type_complexity, reason = "pairs that are taken apart at once")]
    fn take(&mut self, most: usize) -> Option<Vec<(J, oneshot::Sender<Result<R, StoreError>>)>> {
        let mut queue = lock(&self.queue);
        let mut batch = Vec::new();
        while batch.len() < most.max(1) {
            let Some(Waiting { job, since, caller }) = queue.waiting.pop_front() else {
                break;
            };
            if since.elapsed() > PATIENCE {
                drop(caller.send(Err(StoreError::Overloaded)));
            } else if !caller.is_closed() {
                // Of those who have gone away nothing has been done.
                batch.push((job, caller));
            }
        }
        if batch.is_empty() {
            queue.lanes -= 1;
            self.left = true;
            return None;
        }
        Some(batch)
    }
}

impl<J, R> Drop for Lane<J, R> {
    fn drop(&mut self) {
        if !self.left {
            lock(&self.queue).lanes -= 1;
        }
    }
}

fn lock<J, R>(queue: &Mutex<Queue<J, R>>) -> MutexGuard<'_, Queue<J, R>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Numbers that are doubled, in batches whose sizes are noted.
    #[derive(Clone)]
    struct Doubling {
        together: Arc<Together<usize, usize>>,
        sizes: Arc<Mutex<Vec<usize>>>,
        gate: Arc<Semaphore>,
    }

    impl Doubling {
        fn new(open: usize) -> Self {
            Self {
                together: Arc::default(),
                sizes: Arc::default(),
                gate: Arc::new(Semaphore::new(open)),
            }
        }

        async fn double(self, number: usize) -> Result<usize, StoreError> {
            let Self {
                together,
                sizes,
                gate,
            } = self;
            let work = move |jobs: Vec<usize>| {
                let (sizes, gate) = (Arc::clone(&sizes), Arc::clone(&gate));
                async move {
                    gate.acquire().await.unwrap().forget();
                    sizes.lock().unwrap().push(jobs.len());
                    assert!(!jobs.contains(&usize::MAX), "a job that panics");
                    jobs.into_iter().map(|n| Ok(n * 2)).collect()
                }
            };
            together.run(number, 10, work).await
        }
    }

    #[tokio::test]
    async fn what_waits_is_done_together_and_each_gets_its_own_result() {
        let doubling = Doubling::new(0);
        let callers: Vec<_> = (0..26)
            .map(|n| tokio::spawn(doubling.clone().double(n)))
            .collect();
        while lock(&doubling.together.queue).waiting.len() != 6 {
            tokio::task::yield_now().await;
        }
        doubling.gate.add_permits(100);
        for (n, caller) in callers.into_iter().enumerate() {
            assert_eq!(caller.await.unwrap().unwrap(), n * 2);
        }
        let mut sizes = doubling.sizes.lock().unwrap().clone();
        sizes.sort_unstable();
        assert_eq!(sizes, [6, 10, 10]);
        assert_eq!(doubling.clone().double(7).await.unwrap(), 14);
        while lock(&doubling.together.queue).lanes != 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_panics_is_told_and_holds_up_nobody() {
        let doubling = Doubling::new(100);
        for _ in 0..LANES * 2 {
            let broken = doubling.clone().double(usize::MAX).await;
            assert!(matches!(broken, Err(StoreError::Unavailable(None))));
        }
        assert_eq!(doubling.double(4).await.unwrap(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_or_comes_on_top_of_too_many_is_refused() {
        let doubling = Doubling::new(0);
        let mut callers = Vec::new();
        for (more, waiting) in [(LANES * 10, 0), (WAITING, WAITING)] {
            let more = (0..more).map(|n| tokio::spawn(doubling.clone().double(n)));
            callers.extend(more);
            tokio::task::yield_now().await;
            while lock(&doubling.together.queue).waiting.len() != waiting {
                tokio::task::yield_now().await;
            }
        }
        let refused = doubling.clone().double(1).await;
        assert!(matches!(refused, Err(StoreError::Overloaded)));
        tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        doubling.gate.add_permits(WAITING);
        let done = AtomicUsize::new(0);
        for caller in callers {
            match caller.await.unwrap() {
                Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                Err(error) => assert!(matches!(error, StoreError::Overloaded)),
            }
        }
        assert_eq!(done.into_inner(), LANES * 10);
    }
}
