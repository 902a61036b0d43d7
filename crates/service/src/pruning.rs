//! Deleting old events from the audit log: as the operator asks for by the command line, or because
//! they are older than they are to be kept.

use audit::{Action, Actor, AuditStore as _, Event, Outcome, Target, TargetKind};
use ids::{EventId, Ulid};
use stores::{Database, StoreError, Transaction};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Env, SystemUser};

/// How much is looked at in one transaction, so that whoever else writes waits for moments only.
const PART: usize = 32;

/// A pruning on its way. It works in parts, each a transaction of its own, and is on record with what
/// it has deleted so far from the first part on. Readers see that once it is done, or has been cut off.
#[derive(Debug)]
pub struct Pruning {
    env: Env,
    before: OffsetDateTime,
    by: Option<SystemUser>,
    /// The open event that tells of the parts so far.
    record: Option<EventId>,
    deleted: u64,
    reached: Option<Ulid>,
}

impl Pruning {
    /// One that will delete the events from before this time, which is not ahead of the env's. One
    /// that a user of the system has asked for is on record even when there was nothing to delete.
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
                let pruned = tx.events_prune(before, reached, PART)?;
                let deleted = so_far.saturating_add(count(pruned.deleted));
                if let Some(record) = record {
                    tx.event_unfold(record)?;
                }
                let mut open = None;
                if deleted > 0 || by.is_some() {
                    let event = event(&env, before, deleted, by.as_ref());
                    open = put_on_record(tx, event, pruned.next.is_some())?;
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

    /// The event that it has come to.
    #[must_use]
    pub const fn reached(&self) -> Option<Ulid> {
        self.reached
    }
}

/// Writes the event of a pruning, open while there is more to do; then its id comes back.
fn put_on_record<T: Transaction>(
    tx: &mut T,
    event: Event,
    more: bool,
) -> Result<Option<EventId>, StoreError> {
    if !more {
        tx.event_insert(&event)?;
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
    let before = before.format(&Rfc3339).unwrap_or_default();
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
