//! The queue of the thread that writes: bounded, with many senders and one receiver.
//!
//! A job that a caller waits for is taken at once. Events that were acknowledged early linger for a while
//! and share a commit: a commit takes about as long as writing some hundred events.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use audit::Event;
use ids::EventId;
use stores::StoreError;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    acks::{Ack, AckPolicy},
    waits::Waits,
};
use crate::stats::QueueStats;

/// How many jobs may be queued.
pub(crate) const CAPACITY: usize = 4096;
/// How long events linger that nobody waits for: a part of the time by which an answer may be ahead of
/// its event.
const LINGER: Duration = Duration::from_millis(10);

/// What can be queued.
pub(crate) trait Queueable {
    /// The job of appending an event.
    fn append(event: Box<Event>, ack: Ack) -> Self;

    /// Whether a caller waits for its outcome.
    fn is_awaited(&self) -> bool;
}

/// What can be queued ahead of others.
pub(crate) trait Urgent: Queueable {
    /// A job that does nothing, for which the receiver wakes up.
    fn wake() -> Self;
}

/// What both ends share.
struct Shared<T> {
    policy: Arc<AckPolicy>,
    /// The jobs that come first.
    urgent: Mutex<Vec<T>>,
    /// The thread that receives, once it has let events linger.
    consumer: OnceLock<Thread>,
    waits: Waits,
}

/// The sending end.
pub(crate) struct Queue<T> {
    sender: mpsc::Sender<T>,
    shared: Arc<Shared<T>>,
}

/// A sending end that does not keep the receiver from ending.
pub(crate) struct WeakQueue<T> {
    sender: mpsc::WeakSender<T>,
    shared: Arc<Shared<T>>,
}

/// The receiving end, for one thread.
pub(crate) struct Receiver<T> {
    receiver: mpsc::Receiver<T>,
    shared: Arc<Shared<T>>,
    linger: Duration,
}

/// A queue for events that are acknowledged by this policy, and for other jobs of the thread.
pub(crate) fn queue<T: Queueable>(policy: Arc<AckPolicy>) -> (Queue<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let shared = Arc::new(Shared {
        policy,
        urgent: Mutex::default(),
        consumer: OnceLock::new(),
        waits: Waits::new(),
    });
    let queue = Queue {
        sender,
        shared: Arc::clone(&shared),
    };
    let receiver = Receiver {
        receiver,
        shared,
        linger: LINGER,
    };
    (queue, receiver)
}

impl<T: Queueable> Queue<T> {
    /// Queues a job.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when the queue is full.
    pub(crate) fn send(&self, job: T) -> Result<(), StoreError> {
        let awaited = job.is_awaited();
        // Before it is sent: once the receiver has taken it, the time would stand for nothing.
        self.shared.waits.begin();
        self.sender.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Closed(_) => StoreError::Unavailable(None),
        })?;
        if awaited {
            self.wake();
        }
        Ok(())
    }

    /// What waits now.
    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            length: CAPACITY.saturating_sub(self.sender.capacity()),
            oldest: self.shared.waits.oldest(),
        }
    }

    /// Queues a job, and waits for room if the queue is full.
    pub(crate) async fn send_when_room(&self, job: T) -> Result<(), StoreError> {
        self.shared.waits.begin();
        let sent = self.sender.send(job).await;
        self.wake();
        sent.map_err(|_| StoreError::Unavailable(None))
    }

    /// As [`Queue::send_when_room`], for a thread that may block.
    pub(crate) fn send_blocking(&self, job: T) -> Result<(), StoreError> {
        self.shared.waits.begin();
        let sent = self.sender.blocking_send(job);
        self.wake();
        sent.map_err(|_| StoreError::Unavailable(None))
    }

    /// Appends an event: returns its id once it is acknowledged.
    pub(crate) async fn append(&self, mut event: Box<Event>) -> Result<EventId, StoreError> {
        let (ack, outcome) = self.shared.policy.decide(&mut event);
        let id = event.id;
        if let Err(error) = self.send(T::append(event, ack)) {
            if outcome.is_none() {
                self.shared.policy.withdraw();
            }
            return Err(error);
        }
        match outcome {
            Some(outcome) => outcome.await.unwrap_or(Err(StoreError::Unavailable(None))),
            None => Ok(id),
        }
    }

    pub(crate) fn downgrade(&self) -> WeakQueue<T> {
        WeakQueue {
            sender: self.sender.downgrade(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Wakes the receiver in case it lets events linger.
    fn wake(&self) {
        if let Some(consumer) = self.shared.consumer.get() {
            consumer.unpark();
        }
    }
}

impl<T: Urgent> Queue<T> {
    /// Queues a job ahead of all others. It is for what the server itself needs now and then: the number
    /// of such jobs is not bounded.
    ///
    /// # Errors
    /// When the receiver is gone.
    pub(crate) fn send_first(&self, job: T) -> Result<(), StoreError> {
        if self.sender.is_closed() {
            return Err(StoreError::Unavailable(None));
        }
        self.shared.urgent().push(job);
        // A queue that is full has a busy receiver, which takes the urgent jobs with the next ones.
        drop(self.sender.try_send(T::wake()));
        self.wake();
        Ok(())
    }
}

impl<T> Shared<T> {
    fn urgent(&self) -> MutexGuard<'_, Vec<T>> {
        self.urgent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> WeakQueue<T> {
    /// The queue, unless all of its senders are gone.
    pub(crate) fn upgrade(&self) -> Option<Queue<T>> {
        Some(Queue {
            sender: self.sender.upgrade()?,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl<T: Queueable> Receiver<T> {
    /// Waits for a job and takes all that are queued, up to `max`; how many there are. None when all
    /// senders are gone. Only one thread may receive.
    pub(crate) fn receive(&mut self, jobs: &mut Vec<T>, max: usize) -> usize {
        self.shared.waits.end();
        self.receiver.blocking_recv_many(jobs, max);
        jobs.splice(..0, self.shared.urgent().drain(..));
        if self.shared.policy.allows_early() {
            self.linger(jobs, max);
        }
        self.shared.waits.take(!self.receiver.is_empty());
        jobs.len()
    }

    /// Takes more, as long as nobody waits for any of it.
    fn linger(&mut self, jobs: &mut Vec<T>, max: usize) {
        let until = Instant::now() + self.linger;
        self.shared.consumer.get_or_init(thread::current);
        let mut examined = 0;
        loop {
            // Also before the first time: senders did not know until now whom to wake.
            while jobs.len() < max
                && let Ok(job) = self.receiver.try_recv()
            {
                jobs.push(job);
            }
            let awaited = jobs.iter().skip(examined).any(T::is_awaited);
            let left = until.saturating_duration_since(Instant::now());
            if awaited || jobs.len() >= max || left.is_zero() || self.receiver.is_closed() {
                return;
            }
            examined = jobs.len();
            // Not on the channel, which would wake the thread for each job.
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::build::Build;

    use super::*;
    use crate::AuditMode;

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(600);

    #[derive(Debug, PartialEq)]
    enum TestJob {
        Awaited,
        Early,
        Woken,
    }

    impl Urgent for TestJob {
        fn wake() -> Self {
            Self::Woken
        }
    }

    impl Queueable for TestJob {
        fn append(_: Box<Event>, ack: Ack) -> Self {
            if ack.is_awaited() {
                Self::Awaited
            } else {
                Self::Early
            }
        }

        fn is_awaited(&self) -> bool {
            *self == Self::Awaited
        }
    }

    /// A queue that acknowledges early however long the test takes.
    fn lingering(mode: AuditMode, linger: Duration) -> (Queue<TestJob>, Receiver<TestJob>) {
        let (queue, mut receiver) = queue(AckPolicy::with_max_lead(mode, LONG));
        receiver.linger = linger;
        (queue, receiver)
    }

    fn received(receiver: &mut Receiver<TestJob>, max: usize) -> Vec<TestJob> {
        let mut jobs = Vec::new();
        receiver.receive(&mut jobs, max);
        jobs
    }

    #[tokio::test]
    async fn early_events_linger_until_a_caller_waits() {
        let (queue, mut receiver) = lingering(AuditMode::Relaxed, LONG);
        let consumer = thread::spawn(move || received(&mut receiver, 8));
        let build = Build::new();
        let event = || Box::new(build.event(&build.key(&build.partner())));
        for _ in 0..3 {
            queue.append(event()).await.unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        assert!(!consumer.is_finished());
        queue.send(TestJob::Awaited).unwrap();
        let [first @ .., last] = &consumer.join().unwrap()[..] else {
            panic!("nothing was received");
        };
        assert_eq!(first, [const { TestJob::Early }; 3]);
        assert_eq!(*last, TestJob::Awaited);
    }

    #[test]
    fn they_linger_for_a_while_and_up_to_max() {
        let short = Duration::from_millis(50);
        let (queue, mut receiver) = lingering(AuditMode::Relaxed, short);
        let begun = Instant::now();
        queue.send(TestJob::Early).unwrap();
        assert_eq!(received(&mut receiver, 8).len(), 1);
        assert!(begun.elapsed() >= short);

        receiver.linger = LONG;
        for _ in 0..10 {
            queue.send(TestJob::Early).unwrap();
        }
        assert_eq!(received(&mut receiver, 8).len(), 8);
        drop(queue);
        assert_eq!(received(&mut receiver, 8).len(), 2);
        assert_eq!(received(&mut receiver, 8).len(), 0);
    }

    #[test]
    fn an_urgent_job_comes_first_also_into_a_full_queue() {
        let (queue, mut receiver) = lingering(AuditMode::Strict, LONG);
        for _ in 0..CAPACITY {
            queue.send(TestJob::Awaited).unwrap();
        }
        queue.send_first(TestJob::Early).unwrap();
        let jobs = received(&mut receiver, CAPACITY);
        assert_eq!(jobs.first(), Some(&TestJob::Early));
        assert_eq!(jobs.len(), CAPACITY + 1);
        queue.send_first(TestJob::Early).unwrap();
        let woken = received(&mut receiver, 8);
        assert_eq!(woken, [TestJob::Early, TestJob::Woken]);
        drop(receiver);
        assert!(queue.send_first(TestJob::Early).is_err());
    }

    #[test]
    fn the_oldest_job_counts_until_it_is_done() {
        let (queue, mut receiver) = lingering(AuditMode::Strict, LONG);
        assert_eq!(queue.stats(), QueueStats::default());
        queue.send(TestJob::Awaited).unwrap();
        queue.send(TestJob::Awaited).unwrap();
        thread::sleep(Duration::from_millis(20));
        let queued = queue.stats();
        assert_eq!(queued.length, 2);
        assert!(queued.oldest >= Duration::from_millis(20), "{queued:?}");
        assert_eq!(received(&mut receiver, 8).len(), 2);
        let taken = queue.stats();
        assert_eq!(taken.length, 0);
        assert!(taken.oldest >= queued.oldest, "{taken:?}");
        queue.send(TestJob::Awaited).unwrap();
        assert_eq!(received(&mut receiver, 8).len(), 1);
        assert!(queue.stats().oldest < taken.oldest);
    }

    #[test]
    fn strict_mode_never_lingers() {
        let (queue, mut receiver) = lingering(AuditMode::Strict, LONG);
        queue.send(TestJob::Early).unwrap();
        assert_eq!(received(&mut receiver, 8).len(), 1);
    }
}
