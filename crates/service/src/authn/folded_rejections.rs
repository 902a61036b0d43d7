//! Folded rejections: one event with a count for each credential, error code and second.
//!
//! Rejections by a rate limit are folded, and those of a key that is revoked, disabled or expired once there are
//! many of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::ErrorCode;
use audit::Event;
use ids::{EventId, Ulid};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use tokio::time::Instant;

use crate::{Context, Env, Service, audited::rejected_event};

/// For how long after its first rejection an event's count may rise; later rejections need another event.
const MAX_COUNTING_AGE: time::Duration = time::Duration::milliseconds(1500);

/// How long after its first rejection an event that is still open does not change any more: the process that
/// counted is gone. So a reader that stays [`audit::LAG`] behind sees no event change.
pub const MAX_OPEN_AGE: time::Duration = time::Duration::milliseconds(1750);

/// How many rejections of a key that can't be used have events of their own within [`UNFOLDED_WINDOW`].
const UNFOLDED: usize = 60;
/// See [`UNFOLDED`].
const UNFOLDED_WINDOW: Duration = Duration::from_secs(60);
/// For how many unusable keys the times of their last events are kept.
const MAX_UNUSABLE: usize = 20_000;
/// How many seconds of one credential and code are kept apart while they can't be written; later rejections are
/// counted with the last of them.
const MAX_SECONDS: usize = 8;
/// How many folded events are kept in memory.
const MAX_FOLDED: usize = 20_000;
/// How many are written in one transaction.
const BATCH: usize = 500;

/// The credential or the trust rule that was rejected, and why.
type FoldKey = (Ulid, &'static str);

/// The rejections that are not yet wholly recorded.
#[derive(Debug, Default)]
pub(crate) struct FoldedRejections(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<FoldKey, Vec<Folded>>,
    /// How many folded events there are.
    len: usize,
    /// When the unusable keys had their last events, the oldest first.
    unusable: HashMap<Ulid, VecDeque<Instant>>,
    counts: FoldedCounts,
}

/// How many rejections have been folded since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldedCounts {
    /// All folded rejections.
    pub folded: u64,
    /// Those that no event records, because too many others waited to be written.
    pub lost: u64,
}

#[derive(Clone, Debug)]
struct Folded {
    second: i64,
    event: Event,
    count: u64,
    /// How many of them are recorded.
    recorded: u64,
    /// Whether the recorded event is final; later rejections need another one.
    closed: bool,
}

/// A folded event that is to be written.
#[derive(Clone, Debug)]
struct Pending {
    key: FoldKey,
    folded: Folded,
    /// Whether its second is over, so that no more can come.
    is_over: bool,
}

impl FoldedRejections {
    /// Counts one rejection of a credential; the event that will record it, `None` when there is no room for one
    /// more.
    pub(crate) fn fold(&self, context: &Context, code: ErrorCode, env: &Env) -> Option<EventId> {
        let key = (context.caller.ulid(), code.as_str());
        self.fold_as(key, env, |id| rejected_event(context, id, code))
    }

    /// The same for any rejections: those with the same key in the same second have one event.
    pub(crate) fn fold_as(
        &self,
        key: FoldKey,
        env: &Env,
        event: impl FnOnce(EventId) -> Event,
    ) -> Option<EventId> {
        let mut state = self.lock();
        // Under the lock, so that nothing is counted in a second that was found to be over.
        let second = env.now().unix_timestamp();
        let State {
            open, len, counts, ..
        } = &mut *state;
        counts.folded += 1;
        let has_room = *len < MAX_FOLDED;
        let open = open.entry(key).or_default();
        let place = match open.iter().position(|folded| folded.second == second) {
            // An event that readers may have seen is not changed after its second.
            None if !has_room || open.len() >= MAX_SECONDS => {
                open.iter().rposition(|folded| folded.recorded == 0)
            }
            place => place,
        };
        if let Some(folded) = place.and_then(|place| open.get_mut(place)) {
            folded.count += 1;
            return Some(folded.event.id);
        }
        if !has_room {
            counts.lost += 1;
            return None;
        }
        let stamp = env.stamp();
        let id = stamp.id;
        let mut event = event(id);
        event.occurred_at = stamp.at;
        open.push(Folded {
            second,
            event,
            count: 1,
            recorded: 0,
            closed: false,
        });
        *len += 1;
        Some(id)
    }

    /// Whether a rejection of a key that can't be used, or by a trust rule, is one of the first within the window,
    /// which have events of their own.
    pub(crate) fn is_unfolded(&self, key: Ulid) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let has_room = state.unusable.len() < MAX_UNUSABLE;
        if !has_room && !state.unusable.contains_key(&key) {
            return false;
        }
        let events = state.unusable.entry(key).or_default();
        while events.front().is_some_and(|at| is_outdated(*at, now)) {
            events.pop_front();
        }
        let is_unfolded = events.len() < UNFOLDED;
        if is_unfolded {
            events.push_back(now);
        }
        is_unfolded
    }

    pub(crate) fn counts(&self) -> FoldedCounts {
        self.lock().counts
    }

    /// What is to be written: new counts, and seconds that are over.
    fn pending(&self, env: &Env) -> Vec<Pending> {
        let state = self.lock();
        let now = env.now().unix_timestamp();
        let mut pending = Vec::new();
        for (key, open) in &state.open {
            for folded in open {
                let is_over = folded.second != now;
                if folded.recorded < folded.count || (is_over && !folded.closed) {
                    pending.push(Pending {
                        key: *key,
                        folded: folded.clone(),
                        is_over,
                    });
                }
            }
        }
        pending
    }

    fn mark_recorded(&self, written: &[Pending]) {
        let mut state = self.lock();
        for it in written {
            let open = state.open.get_mut(&it.key);
            let mut open = open.into_iter().flatten();
            if let Some(folded) = open.find(|folded| folded.event.id == it.folded.event.id) {
                folded.recorded = it.folded.count;
                folded.closed |= it.is_over;
            }
        }
    }

    /// Removes events whose record is final, and keys that have been quiet.
    fn prune(&self) {
        let mut state = self.lock();
        let mut len = 0;
        state.open.retain(|_, open| {
            open.retain(|folded| folded.recorded < folded.count || !folded.closed);
            len += open.len();
            !open.is_empty()
        });
        state.len = len;
        let instant = Instant::now();
        state
            .unusable
            .retain(|_, events| events.back().is_some_and(|at| !is_outdated(*at, instant)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_outdated(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= UNFOLDED_WINDOW
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Writes the folded rejections to the audit log. Called several times a second, it makes each of them durable
    /// within one. They can be listed once their second is over.
    ///
    /// # Errors
    /// When storage can't take them; they are kept for the next time.
    pub async fn flush_rejections(&self) -> Result<(), StoreError> {
        for batch in self.folded_rejections.pending(&self.env).chunks(BATCH) {
            let (env, writes) = (self.env.clone(), batch.to_vec());
            self.db
                .write(move |tx| writes.iter().try_for_each(|it| it.write(tx, &env)))
                .await?;
            self.folded_rejections.mark_recorded(batch);
        }
        self.folded_rejections.prune();
        Ok(())
    }

    /// How many rejections have been folded since the process began.
    #[must_use]
    pub fn folded_rejections(&self) -> FoldedCounts {
        self.folded_rejections.counts()
    }
}

impl Pending {
    fn write<T: Transaction>(&self, tx: &mut T, env: &Env) -> Result<(), StoreError> {
        let folded = &self.folded;
        let event = &folded.event;
        if folded.closed || env.now() - event.occurred_at > MAX_COUNTING_AGE {
            // Storage has failed for a while. A reader that follows the log has seen the event as it is, or has
            // seen that it is not there: what is left gets an event of its own, with the id that the responses
            // have named.
            let left = folded.count.saturating_sub(folded.recorded);
            if left > 0 {
                let named = event.id.to_string();
                let mut event = event.clone();
                event.details.insert("answered_as".to_owned(), named.into());
                let late = Event {
                    id: env.id(),
                    occurred_at: env.now(),
                    ..counted(&event, left)
                };
                tx.event_record(&late)?;
            }
            return Ok(());
        }
        let event = counted(event, folded.count);
        tx.event_fold(&if self.is_over { event } else { event.opened() })
    }
}

fn counted(event: &Event, count: u64) -> Event {
    let mut event = event.clone();
    event.details.insert("count".to_owned(), count.into());
    event
}
