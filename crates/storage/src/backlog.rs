//! Events that wait to be made durable, and who is told when they are.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use audit::{Event, Outcome};
use ids::EventId;
use stores::StoreError;
use tokio::sync::oneshot;

use crate::stamps::{Deadline, Stamps};

/// How old an event that is not yet durable may be for another one's answer to leave before it is.
///
/// What is queued after that waits, so that together with a commit of the usual length no answer is
/// further ahead of its event than 100 ms.
const MOST_AHEAD: Duration = Duration::from_millis(50);

/// How many events may wait whose answers have left: half of what a queue holds, so that whoever comes
/// next waits and is not refused while the disk stalls for a moment.
const MOST_WAITING: usize = 2048;

/// When the answer to a question may leave. Changes are durable before their answers in each mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditMode {
    /// Once its event is durable.
    #[default]
    Strict,
    /// Up to 100 ms before its event is durable. Refusals wait for theirs all the same.
    Relaxed,
}

/// Who is told what became of an event.
pub(crate) enum Told {
    /// Someone who waits for it, and is told its id.
    Caller(oneshot::Sender<Result<EventId, StoreError>>),
    /// Nobody: the answer has left. The event was queued at this time.
    Nobody(Instant),
}

impl Told {
    /// Whether somebody waits.
    pub(crate) const fn is_awaited(&self) -> bool {
        matches!(self, Self::Caller(_))
    }
}

/// What waits, of that for which nobody waits.
pub(crate) struct Backlog {
    mode: AuditMode,
    stamps: Stamps,
    waiting: Mutex<Waiting>,
    lost: AtomicU64,
}

struct Waiting {
    events: usize,
    /// None of them was queued before.
    since: Instant,
    /// Whether the last batch failed; then nobody is answered ahead.
    failed: bool,
}

impl Backlog {
    /// Of events that keep their ids and times.
    #[cfg(test)]
    pub(crate) fn new(mode: AuditMode) -> Arc<Self> {
        Self::stamping(mode, Stamps::default())
    }

    pub(crate) fn stamping(mode: AuditMode, stamps: Stamps) -> Arc<Self> {
        Arc::new(Self {
            mode,
            stamps,
            waiting: Mutex::new(Waiting {
                events: 0,
                since: Instant::now(),
                failed: false,
            }),
            lost: AtomicU64::new(0),
        })
    }

    /// Whether any answer may leave before its event is durable.
    pub(crate) fn answers_ahead(&self) -> bool {
        self.mode == AuditMode::Relaxed
    }

    pub(crate) const fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// How many events were never made durable although their calls had been answered.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the event's call may be answered before it is durable: who is to be told of it, and
    /// what that one waits for. The answer names the event, so then it is stamped now.
    pub(crate) fn admit(
        &self,
        event: &mut Event,
    ) -> (Told, Option<oneshot::Receiver<Result<EventId, StoreError>>>) {
        // What is appended and succeeded is a question's; changes are written with their events.
        if self.mode == AuditMode::Relaxed && event.outcome == Outcome::Success {
            let now = Instant::now();
            let mut waiting = self.waiting();
            if waiting.events == 0 {
                waiting.since = now;
            }
            if !waiting.failed
                && waiting.events < MOST_WAITING
                && now.duration_since(waiting.since) <= MOST_AHEAD
            {
                waiting.events += 1;
                self.stamps.stamp(event);
                return (Told::Nobody(now), None);
            }
        }
        let (caller, answered) = oneshot::channel();
        (Told::Caller(caller), Some(answered))
    }

    /// Takes an event back that was admitted for nobody and could not be queued.
    pub(crate) fn withdraw(&self) {
        let mut waiting = self.waiting();
        waiting.events = waiting.events.saturating_sub(1);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of a batch: of `ahead` events nobody waited for, the last of which was queued
    /// at `last`, this many were lost. Batches are settled in about the order in which they were queued: one
    /// that is synced in place may come before one that is synced beside the writer.
    fn settle(&self, ahead: usize, last: Option<Instant>, lost: u64, failed: bool) {
        if self.mode == AuditMode::Strict {
            return;
        }
        let mut waiting = self.waiting();
        waiting.events = waiting.events.saturating_sub(ahead);
        waiting.since = last.map_or(waiting.since, |last| last.max(waiting.since));
        waiting.failed = failed;
        drop(waiting);
        if lost > 0 {
            self.lost.fetch_add(lost, Ordering::Relaxed);
            tracing::error!(
                events = lost,
                "audit events of calls that had been answered are lost"
            );
        }
    }
}

/// Events that are written together. Dropped without an answer, they have failed.
#[expect(
    clippy::vec_box,
    reason = "each has come in a box, and to take it out would be to copy it"
)]
pub(crate) struct Appended {
    events: Vec<Box<Event>>,
    told: Vec<Told>,
    backlog: Arc<Backlog>,
}

impl Appended {
    pub(crate) const fn new(backlog: Arc<Backlog>) -> Self {
        Self {
            events: Vec::new(),
            told: Vec::new(),
            backlog,
        }
    }

    pub(crate) fn push(&mut self, event: Box<Event>, told: Told) {
        self.events.push(event);
        self.told.push(told);
    }

    pub(crate) fn events(&self) -> &[Box<Event>] {
        &self.events
    }

    /// The events one by one, each stamped when it comes unless an answer has named it already.
    pub(crate) fn stamped(&mut self) -> impl Iterator<Item = &Event> {
        let stamps = &self.backlog.stamps;
        let pairs = self.events.iter_mut().zip(&self.told);
        pairs.map(|(event, told)| {
            if told.is_awaited() {
                stamps.stamp(event);
            }
            &**event
        })
    }

    /// Stamps all of them; by when they must be written.
    pub(crate) fn stamp(&mut self) -> Deadline {
        let deadline = self.backlog.stamps.deadline();
        self.stamped().for_each(drop);
        deadline
    }

    pub(crate) fn stamps(&self) -> &Stamps {
        &self.backlog.stamps
    }

    /// Tells what became of each, and its id.
    pub(crate) fn answer(mut self, outcomes: impl Iterator<Item = Result<EventId, StoreError>>) {
        self.tell(outcomes);
    }

    fn tell(&mut self, outcomes: impl Iterator<Item = Result<EventId, StoreError>>) {
        if self.told.is_empty() {
            return;
        }
        let (mut ahead, mut last, mut lost, mut failed) = (0, None, 0, false);
        for (told, outcome) in self.told.drain(..).zip(outcomes) {
            failed |= outcome.is_err();
            match told {
                // Whoever has gone away needs no answer.
                Told::Caller(caller) => drop(caller.send(outcome)),
                Told::Nobody(queued) => {
                    ahead += 1;
                    last = Some(queued);
                    lost += u64::from(outcome.is_err());
                }
            }
        }
        self.backlog.settle(ahead, last, lost, failed);
    }
}

impl Drop for Appended {
    fn drop(&mut self) {
        self.tell(std::iter::repeat(Err(StoreError::Unavailable(None))));
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use testkit::build::Build;

    use super::*;

    /// Queues an event; whether its answer may leave at once.
    fn queue(backlog: &Backlog, batch: &mut Appended, mut event: Event) -> bool {
        let (told, answered) = backlog.admit(&mut event);
        batch.push(Box::new(event), told);
        answered.is_none()
    }

    fn failed() -> impl Iterator<Item = Result<EventId, StoreError>> {
        std::iter::repeat(Err(StoreError::Overloaded))
    }

    fn written() -> impl Iterator<Item = Result<EventId, StoreError>> {
        let build = Build::new();
        std::iter::repeat_with(move || Ok(build.id()))
    }

    #[test]
    fn a_question_is_answered_ahead_as_long_as_nothing_has_waited_for_long() {
        let build = Build::new();
        let key = build.key(&build.partner());
        let backlog = Backlog::new(AuditMode::Relaxed);
        let batch = || Appended::new(Arc::clone(&backlog));
        let mut first = batch();
        assert!(queue(&backlog, &mut first, build.event(&key)));
        assert!(queue(&backlog, &mut first, build.event(&key)));
        let refused = Event {
            outcome: Outcome::Denied,
            ..build.event(&key)
        };
        assert!(!queue(&backlog, &mut first, refused));
        sleep(MOST_AHEAD * 2);
        let mut second = batch();
        assert!(!queue(&backlog, &mut second, build.event(&key)));
        first.answer(written());
        assert!(queue(&backlog, &mut second, build.event(&key)));
        second.answer(written());
        assert_eq!(backlog.lost(), 0);
    }

    #[test]
    fn after_a_failure_everybody_waits_until_a_batch_succeeds() {
        let build = Build::new();
        let key = build.key(&build.partner());
        let backlog = Backlog::new(AuditMode::Relaxed);
        let batch = || Appended::new(Arc::clone(&backlog));
        let mut lost = batch();
        assert!(queue(&backlog, &mut lost, build.event(&key)));
        lost.answer(failed());
        let mut dropped = batch();
        assert!(!queue(&backlog, &mut dropped, build.event(&key)));
        drop(dropped);
        let mut kept = batch();
        assert!(!queue(&backlog, &mut kept, build.event(&key)));
        kept.answer(written());
        let mut dropped = batch();
        assert!(queue(&backlog, &mut dropped, build.event(&key)));
        drop(dropped);
        assert!(!queue(&backlog, &mut batch(), build.event(&key)));
        assert_eq!(backlog.lost(), 2);
    }

    #[test]
    fn strictly_nobody_is_answered_ahead() {
        let build = Build::new();
        let key = build.key(&build.partner());
        let backlog = Backlog::new(AuditMode::Strict);
        let mut batch = Appended::new(Arc::clone(&backlog));
        assert!(!queue(&backlog, &mut batch, build.event(&key)));
        batch.answer(failed());
        assert_eq!(backlog.lost(), 0);
    }
}
