//! Acknowledgements: when the caller of an appended event is answered.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use audit::{Event, Outcome};
use ids::EventId;
use stores::StoreError;
use tokio::sync::oneshot;

use crate::stamps::{Deadline, Stamps};

/// While an event is older than this and not durable, later callers wait for theirs.
///
/// Together with a commit of the usual length, no answer is further ahead of its event than 100 ms.
const MAX_LEAD: Duration = Duration::from_millis(50);

/// How many events may be acknowledged and not durable: half of what a queue holds, so that later callers
/// wait and are not refused while the disk stalls for a moment.
const MAX_EARLY: usize = 2048;

/// When the answer to a question may leave. Changes are durable before their answers in each mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditMode {
    /// Once its event is durable.
    #[default]
    Strict,
    /// Up to 100 ms before its event is durable. Refusals wait for theirs all the same.
    Relaxed,
}

/// How an event is acknowledged.
pub(crate) enum Ack {
    /// To a caller who waits for the outcome.
    Caller(oneshot::Sender<Result<EventId, StoreError>>),
    /// It was acknowledged when it was queued, at this time.
    Early(Instant),
}

impl Ack {
    /// Whether a caller waits.
    pub(crate) const fn is_awaited(&self) -> bool {
        matches!(self, Self::Caller(_))
    }
}

/// Decides which events are acknowledged before they are durable.
pub(crate) struct AckPolicy {
    mode: AuditMode,
    stamps: Stamps,
    max_lead: Duration,
    early: Mutex<Early>,
    lost: AtomicU64,
    commits: OnceLock<CommitObserver>,
}

/// Is told how long each commit of events took.
type CommitObserver = Box<dyn Fn(Duration) + Send + Sync>;

/// The events that were acknowledged and are not durable yet.
struct Early {
    events: usize,
    /// None of them was queued before.
    since: Instant,
    /// Whether the last batch failed; then all callers wait.
    failed: bool,
}

impl AckPolicy {
    /// For events that keep their ids and times.
    #[cfg(test)]
    pub(crate) fn new(mode: AuditMode) -> Arc<Self> {
        Self::stamping(mode, Stamps::default())
    }

    /// For tests that may take longer than [`MAX_LEAD`].
    #[cfg(test)]
    pub(crate) fn with_max_lead(mode: AuditMode, max_lead: Duration) -> Arc<Self> {
        Arc::new(Self {
            max_lead,
            ..Self::of(mode, Stamps::default())
        })
    }

    pub(crate) fn stamping(mode: AuditMode, stamps: Stamps) -> Arc<Self> {
        Arc::new(Self::of(mode, stamps))
    }

    fn of(mode: AuditMode, stamps: Stamps) -> Self {
        Self {
            mode,
            stamps,
            max_lead: MAX_LEAD,
            early: Mutex::new(Early {
                events: 0,
                since: Instant::now(),
                failed: false,
            }),
            lost: AtomicU64::new(0),
            commits: OnceLock::new(),
        }
    }

    /// Whether any event may be acknowledged before it is durable.
    pub(crate) fn allows_early(&self) -> bool {
        self.mode == AuditMode::Relaxed
    }

    pub(crate) const fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// Has commits observed; by the first one who asks.
    pub(crate) fn observe_commits(&self, observer: impl Fn(Duration) + Send + Sync + 'static) {
        // A second observer is a mistake that hurts nobody.
        drop(self.commits.set(Box::new(observer)));
    }

    /// Events that were taken at this time are durable now.
    pub(crate) fn committed(&self, taken: Instant) {
        if let Some(observer) = self.commits.get() {
            observer(taken.elapsed());
        }
    }

    /// How many events were acknowledged and then could not be made durable.
    pub(crate) fn lost_events(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How the event is acknowledged, and what its caller waits for; `None` when it is acknowledged now.
    /// Then the answer names the event, so it is stamped now.
    pub(crate) fn decide(
        &self,
        event: &mut Event,
    ) -> (Ack, Option<oneshot::Receiver<Result<EventId, StoreError>>>) {
        self.decide_at(Instant::now(), event)
    }

    fn decide_at(
        &self,
        now: Instant,
        event: &mut Event,
    ) -> (Ack, Option<oneshot::Receiver<Result<EventId, StoreError>>>) {
        // What is appended and succeeded is a question's; changes are written with their events.
        if self.mode == AuditMode::Relaxed && event.outcome == Outcome::Success {
            let mut early = self.early();
            if early.events == 0 {
                early.since = now;
            }
            if !early.failed
                && early.events < MAX_EARLY
                && now.duration_since(early.since) <= self.max_lead
            {
                early.events += 1;
                self.stamps.stamp(event);
                return (Ack::Early(now), None);
            }
        }
        let (caller, outcome) = oneshot::channel();
        (Ack::Caller(caller), Some(outcome))
    }

    /// Forgets an event that was acknowledged early and could not be queued.
    pub(crate) fn withdraw(&self) {
        let mut early = self.early();
        early.events = early.events.saturating_sub(1);
    }

    fn early(&self) -> MutexGuard<'_, Early> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the outcome of a batch: of `count` events that were acknowledged early, the last of which was
    /// queued at `last`, this many were lost. Batches come in about the order in which they were queued:
    /// one that is synced in place may come before one that is synced beside the writer.
    fn note_batch(&self, count: usize, last: Option<Instant>, lost: u64, failed: bool) {
        if self.mode == AuditMode::Strict {
            return;
        }
        let mut early = self.early();
        early.events = early.events.saturating_sub(count);
        early.since = last.map_or(early.since, |last| last.max(early.since));
        early.failed = failed;
        drop(early);
        if lost > 0 {
            self.lost.fetch_add(lost, Ordering::Relaxed);
            tracing::error!(
                events = lost,
                "audit events of calls that had been answered are lost"
            );
        }
    }
}

/// The events of a batch and their acknowledgements. Dropped without an outcome, they have failed.
#[expect(
    clippy::vec_box,
    reason = "each has come in a box, and to take it out would be to copy it"
)]
pub(crate) struct PendingAcks {
    events: Vec<Box<Event>>,
    acks: Vec<Ack>,
    policy: Arc<AckPolicy>,
}

impl PendingAcks {
    pub(crate) const fn new(policy: Arc<AckPolicy>) -> Self {
        Self {
            events: Vec::new(),
            acks: Vec::new(),
            policy,
        }
    }

    pub(crate) fn push(&mut self, event: Box<Event>, ack: Ack) {
        self.events.push(event);
        self.acks.push(ack);
    }

    pub(crate) const fn policy(&self) -> &Arc<AckPolicy> {
        &self.policy
    }

    pub(crate) fn events(&self) -> &[Box<Event>] {
        &self.events
    }

    /// The events one by one, each stamped when it comes unless it was acknowledged already.
    pub(crate) fn stamped(&mut self) -> impl Iterator<Item = &Event> {
        let stamps = &self.policy.stamps;
        let pairs = self.events.iter_mut().zip(&self.acks);
        pairs.map(|(event, ack)| {
            if ack.is_awaited() {
                stamps.stamp(event);
            }
            &**event
        })
    }

    /// Stamps all of them; by when they must be written.
    pub(crate) fn stamp(&mut self) -> Deadline {
        let deadline = self.policy.stamps.deadline();
        self.stamped().for_each(drop);
        deadline
    }

    pub(crate) fn stamps(&self) -> &Stamps {
        &self.policy.stamps
    }

    /// Acknowledges each event with its outcome: its id, or why it is not durable.
    pub(crate) fn complete(mut self, outcomes: impl Iterator<Item = Result<EventId, StoreError>>) {
        self.send(outcomes);
    }

    fn send(&mut self, outcomes: impl Iterator<Item = Result<EventId, StoreError>>) {
        if self.acks.is_empty() {
            return;
        }
        let (mut count, mut last, mut lost, mut failed) = (0, None, 0, false);
        for (ack, outcome) in self.acks.drain(..).zip(outcomes) {
            failed |= outcome.is_err();
            match ack {
                // Whoever has gone away needs no answer.
                Ack::Caller(caller) => drop(caller.send(outcome)),
                Ack::Early(queued) => {
                    count += 1;
                    last = Some(queued);
                    lost += u64::from(outcome.is_err());
                }
            }
        }
        self.policy.note_batch(count, last, lost, failed);
    }
}

impl Drop for PendingAcks {
    fn drop(&mut self) {
        self.send(std::iter::repeat(Err(StoreError::Unavailable(None))));
    }
}

#[cfg(test)]
mod tests {
    use testkit::build::Build;

    use super::*;

    /// Queues an event at a time; whether it is acknowledged early.
    fn queue_at(
        now: Instant,
        policy: &AckPolicy,
        batch: &mut PendingAcks,
        mut event: Event,
    ) -> bool {
        let (ack, waits) = policy.decide_at(now, &mut event);
        batch.push(Box::new(event), ack);
        waits.is_none()
    }

    fn queue(policy: &AckPolicy, batch: &mut PendingAcks, event: Event) -> bool {
        queue_at(Instant::now(), policy, batch, event)
    }

    fn failed() -> impl Iterator<Item = Result<EventId, StoreError>> {
        std::iter::repeat(Err(StoreError::Overloaded))
    }

    fn written() -> impl Iterator<Item = Result<EventId, StoreError>> {
        let build = Build::new();
        std::iter::repeat_with(move || Ok(build.id()))
    }

    #[test]
    fn a_question_is_acknowledged_early_unless_an_event_has_waited_for_long() {
        let build = Build::new();
        let key = build.key(&build.partner());
        let policy = AckPolicy::new(AuditMode::Relaxed);
        let batch = || PendingAcks::new(Arc::clone(&policy));
        let start = Instant::now();
        let mut first = batch();
        assert!(queue_at(start, &policy, &mut first, build.event(&key)));
        let still = start + MAX_LEAD;
        assert!(queue_at(still, &policy, &mut first, build.event(&key)));
        let refused = Event {
            outcome: Outcome::Denied,
            ..build.event(&key)
        };
        assert!(!queue_at(start, &policy, &mut first, refused));
        let late = start + MAX_LEAD * 2;
        let mut second = batch();
        assert!(!queue_at(late, &policy, &mut second, build.event(&key)));
        first.complete(written());
        assert!(queue_at(late, &policy, &mut second, build.event(&key)));
        second.complete(written());
        assert_eq!(policy.lost_events(), 0);
    }

    #[test]
    fn after_a_failure_all_callers_wait_until_a_batch_succeeds() {
        let build = Build::new();
        let key = build.key(&build.partner());
        let policy = AckPolicy::new(AuditMode::Relaxed);
        let batch = || PendingAcks::new(Arc::clone(&policy));
        let mut lost = batch();
        assert!(queue(&policy, &mut lost, build.event(&key)));
        lost.complete(failed());
        let mut dropped = batch();
        assert!(!queue(&policy, &mut dropped, build.event(&key)));
        drop(dropped);
        let mut kept = batch();
        assert!(!queue(&policy, &mut kept, build.event(&key)));
        kept.complete(written());
        let mut dropped = batch();
        assert!(queue(&policy, &mut dropped, build.event(&key)));
        drop(dropped);
        assert!(!queue(&policy, &mut batch(), build.event(&key)));
        assert_eq!(policy.lost_events(), 2);
    }

    #[test]
    fn strict_mode_never_acknowledges_early() {
        let build = Build::new();
        let key = build.key(&build.partner());
        let policy = AckPolicy::new(AuditMode::Strict);
        let mut batch = PendingAcks::new(Arc::clone(&policy));
        assert!(!queue(&policy, &mut batch, build.event(&key)));
        batch.complete(failed());
        assert_eq!(policy.lost_events(), 0);
    }
}
