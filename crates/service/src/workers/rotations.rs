//! The ends of rotations: an older secret that is not used any more is ended, and what has ended by itself is
//! recorded.

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, KeyId};
use keys::{PartnerKey, RotationStep};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;

use crate::{
    Service,
    keys::rotate::{announce_end, older_issued},
    webhooks::outbox::Outbox,
};

/// How many rotations are looked at in one go.
const BATCH: usize = 100;
/// How many running rotations are counted at the most.
const MAX_RUNNING: usize = 100_000;

/// What the check of a rotation has led to.
enum Checked {
    Ended,
    Waits,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Looks at rotations whose time has come, a bounded number at a time; whether there may be more. Instances may
    /// do so at the same time: each key is locked, and looked at again, before anything is done.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_rotations(&self) -> Result<bool, StoreError> {
        self.record_missed_uses().await?;
        let now = self.env.now();
        let due = self
            .db
            .read(move |view| view.rotations_due(now, BATCH))
            .await?;
        let mut more = due.len() == BATCH;
        let mut ended = 0_usize;
        for id in due {
            // A use is being recorded this very moment. The rotation stays due.
            if self.unrecorded_uses.is_in_use(id) {
                more = false;
                continue;
            }
            let (event, outbox) = (self.env.id(), self.outbox.clone());
            let checked = self
                .db
                .write(move |tx| check(tx, &outbox, id, (event, now)));
            if matches!(checked.await?, Checked::Ended) {
                ended += 1;
            }
        }
        if ended > 0 {
            tracing::info!(keys = ended, "rotations of keys ended");
            self.apply_key_changes().await;
            self.outgoing.notify_one();
        }
        Ok(more)
    }

    /// How many keys have two secrets that work.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rotations_running(&self) -> Result<usize, StoreError> {
        self.db
            .read(|view| view.rotations_running(MAX_RUNNING))
            .await
    }
}

fn check<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    id: KeyId,
    (event, now): (EventId, OffsetDateTime),
) -> Result<Checked, StoreError> {
    let Some(mut key) = tx.key_for_update(id)?.map(|held| held.key) else {
        return Ok(Checked::Waits);
    };
    let Some(rotation) = &key.rotation else {
        return Ok(Checked::Waits);
    };
    let reason = match rotation.step(now) {
        RotationStep::Wait(next) => {
            tx.key_rotation_check_at(id, next)?;
            return Ok(Checked::Waits);
        }
        RotationStep::EndIdle => "idle",
        RotationStep::Over => "overlap",
    };
    let ended = older_issued(&key);
    // It fails where there is nothing to end: the overlap is over, or the key is revoked.
    let _ = key.finish_rotation(now);
    if !tx.key_rotation_finish(&key)? {
        return Ok(Checked::Waits);
    }
    if let Some(ended) = ended {
        tx.idempotency_erase_secret(ended)?;
    }
    if key.revoked_at.is_none() {
        announce_end(tx, outbox, &key, now)?;
        tx.event_record(&audit_event(&key, reason, event, now))?;
    }
    Ok(Checked::Ended)
}

fn audit_event(key: &PartnerKey, reason: &str, id: EventId, now: OffsetDateTime) -> Event {
    let mut details = Details::new();
    details.insert("name".to_owned(), key.name.as_str().into());
    details.insert("key_prefix".to_owned(), key.key_prefix.as_str().into());
    if let Some(rotation) = &key.rotation {
        let ended = rotation.older.key_prefix.as_str();
        details.insert("ended_key_prefix".to_owned(), ended.into());
    }
    details.insert("reason".to_owned(), reason.into());
    Event {
        id,
        occurred_at: now,
        actor: Actor::System {
            partner_id: Some(key.partner_id),
        },
        action: Action::KeyRotateFinish,
        target: Target::one(TargetKind::PartnerKey, key.id),
        org_id: None,
        outcome: Outcome::Success,
        request: None,
        details,
    }
}
