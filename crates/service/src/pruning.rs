//! Deleting old events from the audit log, as the operator asks for by the command line.

use audit::{Action, Actor, AuditStore as _, Details, Event, Outcome, Target, TargetKind};
use ids::Ulid;
use stores::{Database, StoreError};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::World;

/// How much is looked at in one transaction, so that whoever else writes waits for moments only.
const PART: usize = 32;

/// A pruning on its way. It works in parts, each a transaction of its own, and is on record with what
/// it has deleted so far from the first part on.
#[derive(Debug)]
pub struct Pruning {
    before: OffsetDateTime,
    /// Tells of it; its count goes on with each part.
    event: Event,
    deleted: u64,
    reached: Option<Ulid>,
}

impl Pruning {
    /// One that will delete the events from before this time, which is not ahead of the world's.
    #[must_use]
    pub fn new(world: &World, before: OffsetDateTime) -> Self {
        let event = Event {
            id: world.id(),
            occurred_at: world.now(),
            actor: Actor::System { partner_id: None },
            action: Action::AuditPrune,
            target: Target::all(TargetKind::AuditLog),
            org_id: None,
            outcome: Outcome::Success,
            request: None,
            details: Details::new(),
        };
        Self {
            before,
            event,
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
        let event = self.event.clone();
        let pruned = db
            .write(move |tx| {
                let pruned = tx.events_prune(before, reached, PART)?;
                let deleted = so_far.saturating_add(count(pruned.deleted));
                tx.event_fold(&counted(&event, before, deleted))?;
                Ok::<_, StoreError>(pruned)
            })
            .await?;
        self.deleted = self.deleted.saturating_add(count(pruned.deleted));
        self.reached = pruned.next;
        Ok(pruned.next.is_some())
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

fn count(events: usize) -> u64 {
    u64::try_from(events).unwrap_or(u64::MAX)
}

fn counted(event: &Event, before: OffsetDateTime, deleted: u64) -> Event {
    let mut event = event.clone();
    let before = before.format(&Rfc3339).unwrap_or_default();
    event.details.insert("before".to_owned(), before.into());
    event.details.insert("deleted".to_owned(), deleted.into());
    event
}
