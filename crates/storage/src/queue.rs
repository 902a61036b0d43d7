//! What waits for the thread that writes: a queue of bounded length, and how the thread takes from it.
//!
//! Whoever is waited for is written at once. Events whose answers have left are not waited for, so they
//! gather for a while and share a commit: each commit takes about as long as some hundred events do.

use std::{
    sync::{Arc, OnceLock},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use audit::Event;
use ids::EventId;
use stores::StoreError;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::backlog::{Backlog, Told};

/// How many may wait.
pub(crate) const LENGTH: usize = 4096;
/// For how long events gather for which nobody waits: a part of the time by which an answer may be
/// ahead of its event.
const GATHERING: Duration = Duration::from_millis(10);

/// What may wait in a queue.
pub(crate) trait Queued {
    /// An event to be added by itself.
    fn event(event: Box<Event>, told: Told) -> Self;

    /// Whether somebody waits for what becomes of it.
    fn is_awaited(&self) -> bool;
}

/// What both ends know.
struct Shared {
    backlog: Arc<Backlog>,
    /// The thread that takes, once it has let events gather.
    taker: OnceLock<Thread>,
}

/// The end where things are queued.
pub(crate) struct Queue<T> {
    things: mpsc::Sender<T>,
    shared: Arc<Shared>,
}

/// An end that does not keep the thread from ending.
pub(crate) struct WeakQueue<T> {
    things: mpsc::WeakSender<T>,
    shared: Arc<Shared>,
}

/// The end from which one thread takes.
pub(crate) struct Waiting<T> {
    things: mpsc::Receiver<T>,
    shared: Arc<Shared>,
    gathering: Duration,
}

/// A queue for events that are admitted by this backlog, and for whatever else the thread does.
pub(crate) fn queue<T: Queued>(backlog: Arc<Backlog>) -> (Queue<T>, Waiting<T>) {
    let (sender, receiver) = mpsc::channel(LENGTH);
    let shared = Arc::new(Shared {
        backlog,
        taker: OnceLock::new(),
    });
    let queue = Queue {
        things: sender,
        shared: Arc::clone(&shared),
    };
    let waiting = Waiting {
        things: receiver,
        shared,
        gathering: GATHERING,
    };
    (queue, waiting)
}

impl<T: Queued> Queue<T> {
    /// Queues something, if there is room.
    pub(crate) fn send(&self, thing: T) -> Result<(), StoreError> {
        let awaited = thing.is_awaited();
        self.things.try_send(thing).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Closed(_) => StoreError::Unavailable(None),
        })?;
        if awaited {
            self.ring();
        }
        Ok(())
    }

    /// Queues something, as soon as there is room.
    pub(crate) async fn send_patiently(&self, thing: T) -> Result<(), StoreError> {
        let sent = self.things.send(thing).await;
        self.ring();
        sent.map_err(|_| StoreError::Unavailable(None))
    }

    /// The same for a thread that may be held up.
    pub(crate) fn send_blocking(&self, thing: T) -> Result<(), StoreError> {
        let sent = self.things.blocking_send(thing);
        self.ring();
        sent.map_err(|_| StoreError::Unavailable(None))
    }

    /// Has an event added: comes back with its id when it is durable, or when its answer may leave
    /// before.
    pub(crate) async fn append(&self, mut event: Box<Event>) -> Result<EventId, StoreError> {
        let (told, answered) = self.shared.backlog.admit(&mut event);
        let id = event.id;
        if let Err(error) = self.send(T::event(event, told)) {
            if answered.is_none() {
                self.shared.backlog.withdraw();
            }
            return Err(error);
        }
        match answered {
            Some(answered) => answered.await.unwrap_or(Err(StoreError::Unavailable(None))),
            None => Ok(id),
        }
    }

    pub(crate) fn downgrade(&self) -> WeakQueue<T> {
        WeakQueue {
            things: self.things.downgrade(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Has the thread look up, in case it lets events gather.
    fn ring(&self) {
        if let Some(taker) = self.shared.taker.get() {
            taker.unpark();
        }
    }
}

impl<T> WeakQueue<T> {
    /// The queue, unless nobody can queue anything any more.
    pub(crate) fn upgrade(&self) -> Option<Queue<T>> {
        Some(Queue {
            things: self.things.upgrade()?,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl<T: Queued> Waiting<T> {
    /// Waits until there is something and takes all, up to this many; how many that is, and none when
    /// nobody can queue any more. It is one thread that takes.
    pub(crate) fn take(&mut self, taken: &mut Vec<T>, most: usize) -> usize {
        self.things.blocking_recv_many(taken, most);
        if self.shared.backlog.answers_ahead() {
            self.gather(taken, most);
        }
        taken.len()
    }

    /// Takes more, for as long as nobody waits for any of it.
    fn gather(&mut self, taken: &mut Vec<T>, most: usize) {
        let until = Instant::now() + self.gathering;
        self.shared.taker.get_or_init(thread::current);
        let mut looked_at = 0;
        loop {
            // Also before the first time: who came until now did not know whom to wake.
            while taken.len() < most
                && let Ok(thing) = self.things.try_recv()
            {
                taken.push(thing);
            }
            let awaited = taken.iter().skip(looked_at).any(T::is_awaited);
            let left = until.saturating_duration_since(Instant::now());
            if awaited || taken.len() >= most || left.is_zero() || self.things.is_closed() {
                return;
            }
            looked_at = taken.len();
            // Not on the channel, which would wake the thread for each.
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
    enum Thing {
        Awaited,
        Unawaited,
    }

    impl Queued for Thing {
        fn event(_: Box<Event>, told: Told) -> Self {
            if told.is_awaited() {
                Self::Awaited
            } else {
                Self::Unawaited
            }
        }

        fn is_awaited(&self) -> bool {
            *self == Self::Awaited
        }
    }

    fn gathering(mode: AuditMode, gathering: Duration) -> (Queue<Thing>, Waiting<Thing>) {
        let (queue, mut waiting) = queue(Backlog::new(mode));
        waiting.gathering = gathering;
        (queue, waiting)
    }

    fn taken(waiting: &mut Waiting<Thing>, most: usize) -> Vec<Thing> {
        let mut taken = Vec::new();
        waiting.take(&mut taken, most);
        taken
    }

    #[tokio::test]
    async fn what_nobody_waits_for_gathers_until_somebody_is_waited_for() {
        let (queue, mut waiting) = gathering(AuditMode::Relaxed, LONG);
        let taker = thread::spawn(move || taken(&mut waiting, 8));
        let build = Build::new();
        let event = || Box::new(build.event(&build.key(&build.partner())));
        for _ in 0..3 {
            queue.append(event()).await.unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        assert!(!taker.is_finished());
        queue.send(Thing::Awaited).unwrap();
        let [first @ .., last] = &taker.join().unwrap()[..] else {
            panic!("nothing was taken");
        };
        assert_eq!(first, [const { Thing::Unawaited }; 3]);
        assert_eq!(*last, Thing::Awaited);
    }

    #[test]
    fn it_gathers_for_a_while_and_no_more_than_may_be_taken() {
        let short = Duration::from_millis(50);
        let (queue, mut waiting) = gathering(AuditMode::Relaxed, short);
        let begun = Instant::now();
        queue.send(Thing::Unawaited).unwrap();
        assert_eq!(taken(&mut waiting, 8).len(), 1);
        assert!(begun.elapsed() >= short);

        waiting.gathering = LONG;
        for _ in 0..10 {
            queue.send(Thing::Unawaited).unwrap();
        }
        assert_eq!(taken(&mut waiting, 8).len(), 8);
        drop(queue);
        assert_eq!(taken(&mut waiting, 8).len(), 2);
        assert_eq!(taken(&mut waiting, 8).len(), 0);
    }

    #[test]
    fn strictly_nothing_gathers() {
        let (queue, mut waiting) = gathering(AuditMode::Strict, LONG);
        queue.send(Thing::Unawaited).unwrap();
        assert_eq!(taken(&mut waiting, 8).len(), 1);
    }
}
