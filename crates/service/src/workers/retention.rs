//! Retention of the audit log: deleting old events, by the command line or because they are older than the
//! retention period.

use std::time::Duration as StdDuration;

use api::Time;
use audit::{Action, Actor, Event, Outcome, Target, TargetKind};
use ids::{EventId, Ulid};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction, prelude::*};
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;

use crate::{Env, Service, SystemUser, runtime::periodic::Next};

/// How many rows one transaction looks at, so that other writers wait for moments only.
const BATCH: usize = 32;

/// The shortest pause between two parts of a pruning.
const MIN_PAUSE: StdDuration = StdDuration::from_millis(20);

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Deletes a part of the events that are older than the retention period; when to go on. Several processes
    /// may do so, one part after another.
    ///
    /// # Errors
    /// When the database fails; the parts before stay deleted.
    pub async fn prune_events(&self, retention: Duration) -> Result<Next, StoreError> {
        let mut current = self.pruning.lock().await;
        let mut pruning = current
            .take()
            .unwrap_or_else(|| Pruning::new(&self.env, self.env.now() - retention, None));
        let began = Instant::now();
        if pruning.part(&self.db).await? {
            *current = Some(pruning);
            // The others get most of the time.
            return Ok(Next::After((began.elapsed() * 3).max(MIN_PAUSE)));
        }
        if pruning.deleted() > 0 {
            tracing::info!(
                deleted = pruning.deleted(),
                before = %pruning.before,
                "old audit events deleted"
            );
        }
        Ok(Next::Idle)
    }
}

/// A pruning. It works in parts, each a transaction of its own. From the first part on its event records what has
/// been deleted so far; readers see it once the pruning is done, or was cut off.
#[derive(Debug)]
pub struct Pruning {
    env: Env,
    before: OffsetDateTime,
    by: Option<SystemUser>,
    /// The open event that records the parts so far.
    record: Option<EventId>,
    deleted: u64,
    reached: Option<Ulid>,
}

impl Pruning {
    /// A pruning of the events from before this time, which is not ahead of the clock's. One that a user of the
    /// system asks for is recorded even when there is nothing to delete.
    #[must_use]
    pub fn new(env: &Env, before: OffsetDateTime, by: Option<SystemUser>) -> Self {
        Self {
            env: env.clone(),
            before,
            by,
            record: None,
            deleted: 0,
            reached: None,
        }
    }

    /// Does the next part; whether there is more to do.
    ///
    /// # Errors
    /// When storage can't do this part; those before it stay done.
    pub async fn part<D: Database>(&mut self, db: &D) -> Result<bool, StoreError> {
        let (before, reached, so_far) = (self.before, self.reached, self.deleted);
        let (record, by, env) = (self.record, self.by.clone(), self.env.clone());
        let (deleted, next, record) = db
            .write(move |tx| {
                let pruned = tx.events_prune(before, reached, BATCH)?;
                let deleted = so_far.saturating_add(count(pruned.deleted));
                if let Some(record) = record {
                    tx.event_unfold(record)?;
                }
                let mut open = None;
                if deleted > 0 || by.is_some() {
                    let event = event(&env, before, deleted, by.as_ref());
                    open = record_pruning(tx, event, pruned.next.is_some())?;
                }
                Ok::<_, StoreError>((deleted, pruned.next, open))
            })
            .await?;
        (self.deleted, self.reached, self.record) = (deleted, next, record);
        Ok(next.is_some())
    }

    /// How many events have been deleted.
    #[must_use]
    pub const fn deleted(&self) -> u64 {
        self.deleted
    }

    /// The id up to which it has come.
    #[must_use]
    pub const fn reached(&self) -> Option<Ulid> {
        self.reached
    }
}

/// Writes the event of a pruning; its id while there is more to do, for then it is open.
fn record_pruning<T: Transaction>(
    tx: &mut T,
    event: Event,
    more: bool,
) -> Result<Option<EventId>, StoreError> {
    if !more {
        tx.event_record(&event)?;
        return Ok(None);
    }
    let id = event.id;
    tx.event_fold(&event.opened())?;
    Ok(Some(id))
}

fn count(events: usize) -> u64 {
    u64::try_from(events).unwrap_or(u64::MAX)
}

fn event(env: &Env, before: OffsetDateTime, deleted: u64, by: Option<&SystemUser>) -> Event {
    let stamp = env.stamp();
    let mut details = by.map(SystemUser::details).unwrap_or_default();
    let before = Time(before).to_string();
    details.insert("before".to_owned(), before.into());
    details.insert("deleted".to_owned(), deleted.into());
    Event {
        id: stamp.id,
        occurred_at: stamp.at,
        actor: Actor::System { partner_id: None },
        action: Action::AuditPrune,
        target: Target::all(TargetKind::AuditLog),
        org_id: None,
        outcome: Outcome::Success,
        request: None,
        details,
    }
}
