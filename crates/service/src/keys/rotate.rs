//! Rotation: a key gets another secret, and both work until the older one ends.

use ids::KeyId;
use keys::{
    KeyKind, KeyWithPartner, NewSecret, PartnerKey, PlainKey, Rotation, RotationDraft, RotationStep,
};
use ratelimit::Limiter;
use stores::{Database, IssuedSecret, StoreError, Transaction, prelude::*};
use time::{Duration, OffsetDateTime};
use webhooks::EventKind;

use super::{check_own_key, issued_secret};
use crate::{
    Audited, Caller, Context, Error, Rejection, Rendered, Service, audited::Auditable,
    webhooks::outbox::Outbox,
};

/// Ends a secret of a key at a time; which one that was.
type End<T> = fn(&mut T, &mut PartnerKey, OffsetDateTime) -> Result<Option<IssuedSecret>, Error>;

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Gives a key another secret: any by the operator, a key itself alone. The secret is given to `render` alone.
    ///
    /// # Errors
    /// When there is none of this id, it can't be used, or it has two secrets already.
    pub async fn key_rotate(
        &self,
        context: &Context,
        id: KeyId,
        draft: RotationDraft,
        render: impl Fn(&PartnerKey, &PlainKey) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let secret = self.env.key(KeyKind::Partner);
        let digest = self.settings.peppers.digest(&secret);
        let key_prefix = secret.display_prefix().to_owned();
        let (at, outbox) = (context.request.at, self.outbox.clone());
        let render = move |key: &PartnerKey| render(key, &secret);
        let answer = self
            .idempotent_write(context, Some(issued_secret), render, move |tx, caller| {
                let mut key = held_for_update(tx, caller, id)?.key;
                let before = issued_secret(&key);
                let older_prefix = key.key_prefix.clone();
                key.rotate(NewSecret {
                    key_prefix: key_prefix.clone(),
                    at,
                    overlap: Duration::seconds(draft.overlap_seconds.into()),
                    finish_when_idle: draft.finish_when_idle,
                })?;
                let check_at = key.rotation.as_ref().and_then(|it| first_check(it, at));
                tx.key_rotate(&key, &digest, check_at)?;
                outbox.key(tx, EventKind::KeyRotated, &key, at)?;
                let auditable = Auditable::new(201, key.clone())
                    .detail("name", key.name.as_str())
                    .detail("key_prefix", key.key_prefix.as_str())
                    .detail("overlap_seconds", draft.overlap_seconds);
                let auditable = match draft.finish_when_idle {
                    Some(seconds) => auditable.detail("finish_when_idle_seconds", seconds),
                    None => auditable,
                };
                Ok(if check_at.is_none() {
                    tx.idempotency_erase_secret(before)?;
                    auditable.detail("ended_key_prefix", older_prefix)
                } else {
                    auditable.detail("older_key_prefix", older_prefix)
                })
            })
            .await;
        self.apply_key_changes().await;
        self.outgoing.notify_one();
        answer
    }

    /// Ends the older secret of a key that is being rotated: of any by the operator, of a key by itself alone.
    ///
    /// # Errors
    /// When there is none of this id, it is revoked, or it has one secret.
    pub async fn key_rotate_finish(
        &self,
        context: &Context,
        id: KeyId,
        render: impl Fn(&PartnerKey) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        self.end_rotation(context, id, render, |tx, key, at| {
            let ended = older_issued(key);
            key.finish_rotation(at)?;
            tx.key_rotation_finish(key)?;
            Ok(ended)
        })
        .await
    }

    /// Ends the newest secret of a key that is being rotated: of any by the operator, of a key by itself alone.
    ///
    /// # Errors
    /// As for [`Service::key_rotate_finish`].
    pub async fn key_rotate_cancel(
        &self,
        context: &Context,
        id: KeyId,
        render: impl Fn(&PartnerKey) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        self.end_rotation(context, id, render, |tx, key, at| {
            let ended = issued_secret(key);
            key.cancel_rotation(at)?;
            tx.key_rotation_cancel(key)?;
            Ok(Some(ended))
        })
        .await
    }

    /// Ends one of the two secrets of a key; it is the older one afterwards.
    async fn end_rotation(
        &self,
        context: &Context,
        id: KeyId,
        render: impl Fn(&PartnerKey) -> Rendered + Send + 'static,
        end: End<D::Tx>,
    ) -> Result<Audited<Rendered>, Rejection> {
        let (at, outbox) = (context.request.at, self.outbox.clone());
        let answer = self
            .idempotent_write(context, None, render, move |tx, caller| {
                let mut key = held_for_update(tx, caller, id)?.key;
                if let Some(ended) = end(tx, &mut key, at)? {
                    tx.idempotency_erase_secret(ended)?;
                }
                announce_end(tx, &outbox, &key, at)?;
                let auditable = Auditable::new(200, key.clone())
                    .detail("name", key.name.as_str())
                    .detail("key_prefix", key.key_prefix.as_str());
                Ok(match &key.rotation {
                    Some(rotation) => {
                        auditable.detail("ended_key_prefix", rotation.older.key_prefix.as_str())
                    }
                    None => auditable,
                })
            })
            .await;
        self.apply_key_changes().await;
        self.outgoing.notify_one();
        answer
    }
}

/// The key as it is within the transaction, locked, if the caller may rotate it.
fn held_for_update<T: Transaction>(
    tx: &mut T,
    caller: &Caller,
    id: KeyId,
) -> Result<KeyWithPartner, Error> {
    let held = tx.key_for_update(id)?.ok_or(Error::NotFound)?;
    check_own_key(caller, &held.key)?;
    Ok(held)
}

/// The older secret of a key, as a kept answer names it.
pub(crate) fn older_issued(key: &PartnerKey) -> Option<IssuedSecret> {
    let older = &key.rotation.as_ref()?.older;
    Some(IssuedSecret {
        key: key.id,
        created_at: older.created_at,
    })
}

/// Writes the messages about the end of a secret.
pub(crate) fn announce_end<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    key: &PartnerKey,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    outbox.key(tx, EventKind::KeyRotationEnded, key, at)
}

/// When a new rotation is to be looked at first; `None` where the older secret has ended at once.
fn first_check(rotation: &Rotation, at: OffsetDateTime) -> Option<OffsetDateTime> {
    match rotation.step(at) {
        RotationStep::Wait(next) => Some(next),
        RotationStep::EndIdle => Some(at),
        RotationStep::Over => None,
    }
}
