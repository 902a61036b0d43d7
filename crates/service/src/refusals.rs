//! Refusals that are folded: one event for each credential, reason and second, with a count.
//!
//! Refusals by a limit are folded, and those of a key that is revoked, disabled or expired once there
//! are many of them.

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

/// For how long after its first refusal an event may be counted on; later ones need another event.
const COUNTED_AT_MOST: time::Duration = time::Duration::milliseconds(1500);

/// How long after its first refusal an event that is still open will not change any more: the process
/// that counted is gone. So whoever stays [`audit::LAG`] behind sees no event change.
pub const OPEN_AT_MOST: time::Duration = time::Duration::milliseconds(1750);

/// How many refusals of a key that can't be used have events of their own within [`UNFOLDED_WINDOW`].
const UNFOLDED: usize = 60;
/// See [`UNFOLDED`].
const UNFOLDED_WINDOW: Duration = Duration::from_secs(60);
/// For how many unusable keys it is remembered how many events they have had of late.
const MAX_UNUSABLE: usize = 20_000;
/// How many seconds of one credential and reason are held apart while they can't be written; what
/// comes then is counted with the last of them.
const MAX_SECONDS: usize = 8;
/// How many folded events are held in all.
const MAX_FOLDED: usize = 20_000;
/// How many are written in one transaction.
const BATCH: usize = 500;

/// Who was refused, and why.
type Refused = (Ulid, ErrorCode);

/// The refusals that are not yet wholly on record.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<Refused, Vec<Folded>>,
    /// How many folded events are open.
    len: usize,
    /// When the unusable keys have had their last events, the oldest first.
    unusable: HashMap<Ulid, VecDeque<Instant>>,
    counts: FoldedCounts,
}

/// How many refusals have been folded since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldedCounts {
    /// All of them.
    pub folded: u64,
    /// Those that no event tells of, because too many others waited to be written.
    pub lost: u64,
}

#[derive(Clone, Debug)]
struct Folded {
    second: i64,
    event: Event,
    count: u64,
    /// How many of them are on record.
    recorded: u64,
    /// Whether the event is on record for good; what is counted then needs another one.
    closed: bool,
}

/// What is to be written of a folded event.
#[derive(Clone, Debug)]
struct Pending {
    refused: Refused,
    folded: Folded,
    /// Whether its second is over, so that no more can come.
    is_over: bool,
}

impl Refusals {
    /// Counts one refusal and names the event that will tell of it; `None` when there is no room for
    /// one more.
    pub(crate) fn fold(&self, context: &Context, code: ErrorCode, env: &Env) -> Option<EventId> {
        let mut state = self.lock();
        // Within the lock: nothing is counted in a second that was found to be over.
        let second = env.now().unix_timestamp();
        let State {
            open, len, counts, ..
        } = &mut *state;
        counts.folded += 1;
        let has_room = *len < MAX_FOLDED;
        let open = open.entry((context.caller.ulid(), code)).or_default();
        let place = match open.iter().position(|folded| folded.second == second) {
            // What can be read already is not changed after its second.
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
        let mut event = rejected_event(context, id, code);
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

    /// Whether the refusal of a key that can't be used is one of the first within the window, which
    /// have events of their own.
    pub(crate) fn is_unfolded(&self, context: &Context) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let has_room = state.unusable.len() < MAX_UNUSABLE;
        let key = context.caller.ulid();
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

    /// How many refusals have been folded.
    pub(crate) fn counts(&self) -> FoldedCounts {
        self.lock().counts
    }

    /// What is to be written: new counts, and the ends of seconds.
    fn pending(&self, env: &Env) -> Vec<Pending> {
        let state = self.lock();
        let now = env.now().unix_timestamp();
        let mut pending = Vec::new();
        for (refused, open) in &state.open {
            for folded in open {
                let is_over = folded.second != now;
                if folded.recorded < folded.count || (is_over && !folded.closed) {
                    pending.push(Pending {
                        refused: *refused,
                        folded: folded.clone(),
                        is_over,
                    });
                }
            }
        }
        pending
    }

    /// Notes what is on record.
    fn recorded(&self, written: &[Pending]) {
        let mut state = self.lock();
        for it in written {
            let open = state.open.get_mut(&it.refused);
            let mut open = open.into_iter().flatten();
            if let Some(folded) = open.find(|folded| folded.event.id == it.folded.event.id) {
                folded.recorded = it.folded.count;
                folded.closed |= it.is_over;
            }
        }
    }

    /// Forgets what is on record for good, and keys that have been quiet.
    fn forget(&self) {
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
    /// Writes the folded refusals to the audit log. Called several times a second, it keeps each of
    /// them durable within one. They can be listed once their second is over.
    ///
    /// # Errors
    /// When storage can't take them; they are kept for the next time.
    pub async fn record_refusals(&self) -> Result<(), StoreError> {
        for batch in self.refusals.pending(&self.env).chunks(BATCH) {
            let (env, writes) = (self.env.clone(), batch.to_vec());
            self.db
                .write(move |tx| writes.iter().try_for_each(|it| it.write(tx, &env)))
                .await?;
            self.refusals.recorded(batch);
        }
        self.refusals.forget();
        Ok(())
    }

    /// How many refusals have been folded since the process began.
    #[must_use]
    pub fn folded_refusals(&self) -> FoldedCounts {
        self.refusals.counts()
    }
}

impl Pending {
    fn write<T: Transaction>(&self, tx: &mut T, env: &Env) -> Result<(), StoreError> {
        let folded = &self.folded;
        let event = &folded.event;
        if folded.closed || env.now() - event.occurred_at > COUNTED_AT_MOST {
            // Storage has failed for a while. Who follows the log has seen the event as it is, or has
            // seen that it is not there: what is left gets one of its own, which tells the id that the
            // answers have named.
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
                tx.event_insert(&late)?;
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
