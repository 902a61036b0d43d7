//! Revocations that a restored backup lacks, done again.

use audit::{Action, Actor, Event, Outcome, Target, TargetKind};
use ids::{EventId, KeyId};
use keys::RevocationReason;
use stores::{Database, StoreError, prelude::*};

use crate::{Env, SystemUser};

/// What became of the replay of one revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayedRevocation {
    /// The key is revoked now.
    Revoked,
    /// The key was revoked before.
    AlreadyRevoked,
    /// The database has no such key.
    Unknown,
}

/// Revokes a key that an event of another copy of the database tells was revoked. Servers refuse it within two
/// seconds, and its reason is that of the event. No message is sent about it: that of the first revocation was.
///
/// # Errors
/// When the database fails.
pub async fn key_revoke_replay<D: Database>(
    db: &D,
    env: &Env,
    id: KeyId,
    (of, reason): (EventId, RevocationReason),
    by: SystemUser,
) -> Result<ReplayedRevocation, StoreError> {
    let env = env.clone();
    db.write(move |tx| {
        let Some(held) = tx.key_for_update(id)? else {
            return Ok(ReplayedRevocation::Unknown);
        };
        if held.key.revoked_at.is_some() {
            return Ok(ReplayedRevocation::AlreadyRevoked);
        }
        tx.idempotency_erase(id)?;
        tx.key_revoke(id, env.now(), reason, held.key.on_revoke)?;
        let mut details = by.details();
        details.insert("name".to_owned(), held.key.name.as_str().into());
        details.insert("on_revoke".to_owned(), held.key.on_revoke.as_str().into());
        details.insert("reason".to_owned(), reason.as_str().into());
        details.insert("replay_of".to_owned(), of.to_string().into());
        let event = Event {
            id: env.id(),
            occurred_at: env.now(),
            actor: Actor::System { partner_id: None },
            action: Action::KeyRevoke,
            target: Target::one(TargetKind::PartnerKey, id),
            org_id: None,
            outcome: Outcome::Success,
            request: None,
            details,
        };
        tx.event_record(&event)?;
        Ok(ReplayedRevocation::Revoked)
    })
    .await
}
