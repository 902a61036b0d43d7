//! Batching: jobs of many callers in one transaction. While some batches are carried out, the jobs that come
//! gather, and are the next batch.
//!
//! A caller that hangs up is forgotten; what has begun goes on without it.

use std::{
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stores::StoreError;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::fair_queue::FairQueue;

/// How a batcher bounds its work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatcherConfig {
    /// How many batches are carried out at a time.
    pub(crate) workers: usize,
    /// How many jobs wait; see [`FairQueue`] for each key's share. A job beyond them is refused at once.
    pub(crate) capacity: usize,
    /// How long a job waits before it is refused.
    pub(crate) wait_timeout: Duration,
    /// How much later than the last batch a worker begins the next one, at the least.
    pub(crate) min_interval: Duration,
}

impl BatcherConfig {
    /// For transactions: one is carried out while another one's commit waits for the disk.
    pub(crate) const TRANSACTIONS: Self = Self {
        workers: 2,
        // One key alone gets half of them.
        capacity: 8192,
        wait_timeout: Duration::from_secs(5),
        min_interval: Duration::ZERO,
    };
}

/// Carries out jobs in batches, each with a result of its own. Keys take turns in the queue.
#[derive(Debug)]
pub(crate) struct Batcher<K, J, R> {
    state: Arc<Mutex<State<K, J, R>>>,
    config: BatcherConfig,
    runtime: Option<Handle>,
}

#[derive(Debug)]
struct State<K, J, R> {
    queue: FairQueue<K, Waiting<J, R>>,
    workers: usize,
}

#[derive(Debug)]
struct Waiting<J, R> {
    job: J,
    since: Instant,
    caller: Caller<R>,
}

type Caller<R> = oneshot::Sender<Result<R, StoreError>>;

/// A running worker. It counts as one until nothing waits, or a panic ends it.
struct Worker<K, J, R> {
    state: Arc<Mutex<State<K, J, R>>>,
    config: BatcherConfig,
    has_left: bool,
}

impl<K: Copy + Eq + Hash + Send + 'static, J: Send + 'static, R: Send + 'static> Batcher<K, J, R> {
    pub(crate) fn new(config: BatcherConfig) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                queue: FairQueue::new(config.capacity),
                workers: 0,
            })),
            config,
            runtime: Handle::try_current().ok(),
        }
    }

    /// Carries out a job in a batch of up to `max_batch`. `work` gives the results of jobs in their order.
    ///
    /// # Errors
    /// When too many jobs wait, or this one waits too long; and the job's own.
    pub(crate) async fn run<F>(
        &self,
        key: K,
        job: J,
        max_batch: usize,
        work: impl Fn(Vec<J>) -> F + Send + 'static,
    ) -> Result<R, StoreError>
    where
        F: Future<Output = Vec<Result<R, StoreError>>> + Send + 'static,
    {
        let (caller, answered) = oneshot::channel();
        let worker = {
            let mut state = lock(&self.state);
            let since = Instant::now();
            let waiting = Waiting { job, since, caller };
            state
                .queue
                .push(key, waiting)
                .map_err(|_full| StoreError::Overloaded)?;
            (state.workers < self.config.workers).then(|| {
                state.workers += 1;
                Worker {
                    state: Arc::clone(&self.state),
                    config: self.config,
                    has_left: false,
                }
            })
        };
        if let Some(worker) = worker {
            // On the runtime of the whole process: the threads of connections may end before it, and with
            // each what runs on it.
            match &self.runtime {
                Some(runtime) => drop(runtime.spawn(worker.run(max_batch, work))),
                None => drop(tokio::spawn(worker.run(max_batch, work))),
            }
        }
        // A worker that panicked is gone, and nobody can tell how far it came.
        answered.await.unwrap_or(Err(StoreError::Unavailable(None)))
    }
}

impl<K: Copy + Eq + Hash + Send, J: Send, R: Send> Worker<K, J, R> {
    /// Carries out batches until nothing waits.
    async fn run<F>(mut self, max_batch: usize, work: impl Fn(Vec<J>) -> F)
    where
        F: Future<Output = Vec<Result<R, StoreError>>> + Send,
    {
        while let Some((jobs, callers)) = self.next_batch(max_batch) {
            let next = Instant::now() + self.config.min_interval;
            for (caller, result) in callers.into_iter().zip(work(jobs).await) {
                // A caller that has gone away needs no answer.
                drop(caller.send(result));
            }
            if !self.config.min_interval.is_zero() {
                sleep_until(next).await;
            }
        }
    }

    /// The next jobs. When nothing waits, the worker has left before anybody can add a job: that caller
    /// starts another worker.
    fn next_batch(&mut self, max_batch: usize) -> Option<(Vec<J>, Vec<Caller<R>>)> {
        let mut state = lock(&self.state);
        let (mut jobs, mut callers) = (Vec::new(), Vec::new());
        while jobs.len() < max_batch.max(1) {
            let Some(Waiting { job, since, caller }) = state.queue.pop() else {
                break;
            };
            if since.elapsed() > self.config.wait_timeout {
                drop(caller.send(Err(StoreError::Overloaded)));
            } else if !caller.is_closed() {
                jobs.push(job);
                callers.push(caller);
            }
        }
        if jobs.is_empty() {
            state.workers -= 1;
            self.has_left = true;
            return None;
        }
        Some((jobs, callers))
    }
}

impl<K, J, R> Drop for Worker<K, J, R> {
    fn drop(&mut self) {
        if !self.has_left {
            lock(&self.state).workers -= 1;
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries out jobs by one transaction, or, when that fails for good, each by one of its own: then one of
/// them is to blame, and the others get their results.
pub(crate) async fn all_or_each<J, R, F>(
    jobs: Arc<[J]>,
    transaction: impl Fn(Arc<[J]>) -> F,
) -> Vec<Result<R, StoreError>>
where
    J: Clone,
    F: Future<Output = Result<Vec<R>, StoreError>>,
{
    match transaction(Arc::clone(&jobs)).await {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error) if jobs.len() > 1 && !error.is_temporary() => {
            let mut results = Vec::with_capacity(jobs.len());
            for job in jobs.iter() {
                let alone = transaction(Arc::new([job.clone()])).await;
                let result = alone.map(|mut results| results.pop());
                results.push(result.and_then(|result| result.ok_or(StoreError::Panicked)));
            }
            results
        }
        Err(error) => jobs.iter().map(|_| Err(error.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    const CONFIG: BatcherConfig = BatcherConfig::TRANSACTIONS;

    /// Numbers that are doubled, in batches whose sizes are noted.
    #[derive(Clone)]
    struct Doubling {
        batcher: Arc<Batcher<(), usize, usize>>,
        sizes: Arc<Mutex<Vec<usize>>>,
        gate: Arc<Semaphore>,
    }

    impl Doubling {
        fn new(open: usize) -> Self {
            Self {
                batcher: Arc::new(Batcher::new(CONFIG)),
                sizes: Arc::default(),
                gate: Arc::new(Semaphore::new(open)),
            }
        }

        async fn double(self, number: usize) -> Result<usize, StoreError> {
            let Self {
                batcher,
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
            batcher.run((), number, 10, work).await
        }

        fn waiting(&self) -> usize {
            lock(&self.batcher.state).queue.len()
        }
    }

    #[tokio::test]
    async fn what_waits_is_done_together_and_each_gets_its_own_result() {
        let doubling = Doubling::new(0);
        let callers: Vec<_> = (0..26)
            .map(|n| tokio::spawn(doubling.clone().double(n)))
            .collect();
        while doubling.waiting() != 6 {
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
        while lock(&doubling.batcher.state).workers != 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_delays_no_other() {
        let doubling = Doubling::new(100);
        for _ in 0..CONFIG.workers * 2 {
            let broken = doubling.clone().double(usize::MAX).await;
            assert!(matches!(broken, Err(StoreError::Unavailable(None))));
        }
        assert_eq!(doubling.double(4).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn callers_that_have_gone_away_are_forgotten() {
        let doubling = Doubling::new(0);
        let mut running = Vec::new();
        for n in 0..CONFIG.workers {
            running.push((n, tokio::spawn(doubling.clone().double(n))));
            // Each worker is to have a batch of its own.
            while lock(&doubling.batcher.state).workers != n + 1 || doubling.waiting() != 0 {
                tokio::task::yield_now().await;
            }
        }
        let gone = tokio::spawn(doubling.clone().double(99));
        while doubling.waiting() != 1 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.is_err());
        doubling.gate.add_permits(100);
        for (n, caller) in running {
            assert_eq!(caller.await.unwrap().unwrap(), n * 2);
        }
        while lock(&doubling.batcher.state).workers != 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(doubling.sizes.lock().unwrap().len(), CONFIG.workers);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_waits_too_long_or_comes_on_top_of_too_many_is_refused() {
        let max_waiting = CONFIG.capacity / 2;
        let doubling = Doubling::new(0);
        let mut callers = Vec::new();
        for (more, waiting) in [(CONFIG.workers * 10, 0), (max_waiting, max_waiting)] {
            let more = (0..more).map(|n| tokio::spawn(doubling.clone().double(n)));
            callers.extend(more);
            tokio::task::yield_now().await;
            while doubling.waiting() != waiting {
                tokio::task::yield_now().await;
            }
        }
        let refused = doubling.clone().double(1).await;
        assert!(matches!(refused, Err(StoreError::Overloaded)));
        tokio::time::advance(CONFIG.wait_timeout + Duration::from_millis(1)).await;
        doubling.gate.add_permits(max_waiting);
        let done = AtomicUsize::new(0);
        for caller in callers {
            match caller.await.unwrap() {
                Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                Err(error) => assert!(matches!(error, StoreError::Overloaded)),
            }
        }
        assert_eq!(done.into_inner(), CONFIG.workers * 10);
    }

    #[tokio::test]
    async fn of_a_batch_that_fails_for_good_the_one_to_blame_fails_alone() {
        let transaction = |jobs: Arc<[u32]>| async move {
            if jobs.contains(&13) {
                return Err(StoreError::Panicked);
            }
            Ok(jobs.iter().map(|n| n * 2).collect())
        };
        let results: Vec<_> = all_or_each(Arc::new([1, 13, 3]), transaction).await;
        let ok: Vec<_> = results.into_iter().map(Result::ok).collect();
        assert_eq!(ok, [Some(2), None, Some(6)]);
    }
}
