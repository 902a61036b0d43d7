//! Revocations and ends of secrets that a restored backup lacks, done again.

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, KeyId};
use keys::{KeyKind, NewSecret, PartnerKey, Peppers, RevocationReason};
use stores::{Database, StoreError, Transaction, prelude::*};
use time::{Duration, OffsetDateTime};

use super::rotate::older_issued;
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
        tx.event_record(&event(&env, Action::KeyRevoke, id, details))?;
        Ok(ReplayedRevocation::Revoked)
    })
    .await
}

fn event(env: &Env, action: Action, id: KeyId, details: Details) -> Event {
    Event {
        id: env.id(),
        occurred_at: env.now(),
        actor: Actor::System { partner_id: None },
        action,
        target: Target::one(TargetKind::PartnerKey, id),
        org_id: None,
        outcome: Outcome::Success,
        request: None,
        details,
    }
}

/// What became of the replay of the end of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayedEnd {
    /// The secret has ended now; the key has another.
    Ended,
    /// The secret has ended now, and the key has no other that anybody knows: it is to be rotated.
    EndedLast,
    /// The key has no such secret that works.
    AlreadyEnded,
    /// The database has no such key.
    Unknown,
}

/// Ends a secret of a key that an event of another copy of the database tells has ended. Servers refuse it within
/// two seconds. No message is sent about it.
///
/// # Errors
/// When the database fails.
pub async fn key_secret_end_replay<D: Database>(
    db: &D,
    env: &Env,
    peppers: &Peppers,
    (id, key_prefix): (KeyId, String),
    of: EventId,
    by: SystemUser,
) -> Result<ReplayedEnd, StoreError> {
    let env = env.clone();
    // In the place of one that has no successor; nobody ever sees it.
    let unknown = env.key(KeyKind::Partner);
    let digest = peppers.digest(&unknown);
    let new_prefix = unknown.display_prefix().to_owned();
    db.write(move |tx| {
        let Some(held) = tx.key_for_update(id)? else {
            return Ok(ReplayedEnd::Unknown);
        };
        let (mut key, now) = (held.key, env.now());
        if key.revoked_at.is_some() {
            return Ok(ReplayedEnd::AlreadyEnded);
        }
        let (ended, action) = if ends_older(tx, &mut key, &key_prefix, now)? {
            (ReplayedEnd::Ended, Action::KeyRotateFinish)
        } else if key.key_prefix != key_prefix {
            return Ok(ReplayedEnd::AlreadyEnded);
        } else if key.cancel_rotation(now).is_ok() {
            tx.key_rotation_cancel(&key)?;
            (ReplayedEnd::Ended, Action::KeyRotateCancel)
        } else {
            key.replace_secret(NewSecret {
                key_prefix: new_prefix.clone(),
                at: now,
                overlap: Duration::ZERO,
                finish_when_idle: None,
            });
            tx.key_rotate(&key, &digest, None)?;
            (ReplayedEnd::EndedLast, Action::KeyRotateFinish)
        };
        if let Some(ended) = older_issued(&key) {
            tx.idempotency_erase_secret(ended)?;
        }
        let mut details = by.details();
        details.insert("name".to_owned(), key.name.as_str().into());
        details.insert("ended_key_prefix".to_owned(), key_prefix.as_str().into());
        details.insert("replay_of".to_owned(), of.to_string().into());
        tx.event_record(&event(&env, action, id, details))?;
        Ok(ended)
    })
    .await
}

/// Ends the older secret if it is the one of this prefix and works; whether it was.
fn ends_older<T: Transaction>(
    tx: &mut T,
    key: &mut PartnerKey,
    key_prefix: &str,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let older = key.running_rotation(now).map(|rotation| &rotation.older);
    if older.is_none_or(|older| older.key_prefix != key_prefix) {
        return Ok(false);
    }
    Ok(key.finish_rotation(now).is_ok() && tx.key_rotation_finish(key)?)
}
