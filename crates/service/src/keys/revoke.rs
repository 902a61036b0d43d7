//! The revocation of a partner key, with or without a receipt.

use std::{future::Future, time::Duration};

use ids::KeyId;
use keys::{PartnerKey, RevocationReason};
use ratelimit::Limiter;
use stores::{Database, prelude::*};
use time::OffsetDateTime;
use tokio::time::Instant;
use webhooks::EventKind;

use super::check_own_key;
use crate::{Audited, Context, Error, Receipt, Rejection, Service, audited::Auditable};

/// The receipt of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationReceipt {
    /// When the key was revoked; for a key that was revoked before, that time.
    pub revoked_at: OffsetDateTime,
    /// Who has confirmed it.
    pub receipt: Receipt,
}

/// A key that is revoked, in force here.
struct Revoked {
    revoked_at: OffsetDateTime,
    /// The revision to be confirmed, if that was asked for.
    revision: u64,
    committed: Instant,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Revokes a key: the operator any, a key itself alone. Its orgs stay, or are deleted in the background, as its
    /// `on_revoke` says. A key that is revoked already stays as it is, with the reason of the first revocation.
    ///
    /// # Errors
    /// When there is none of this id, or the caller may not revoke it.
    pub async fn key_revoke(
        &self,
        context: &Context,
        id: KeyId,
        reason: RevocationReason,
    ) -> Result<Audited<()>, Rejection> {
        Ok(self.revoke(context, (id, reason), false).await?.map(drop))
    }

    /// Revokes a key as [`Service::key_revoke`] does, and waits until every live instance has confirmed it, up to
    /// `wait` or until `give_up` is ready. Also whether the wait was granted: it is not where the caller has its
    /// share of held requests already.
    ///
    /// # Errors
    /// As for [`Service::key_revoke`].
    pub async fn key_revoke_with_receipt(
        &self,
        context: &Context,
        (id, reason): (KeyId, RevocationReason),
        wait: Duration,
        give_up: impl Future<Output = ()>,
    ) -> Result<(Audited<RevocationReceipt>, bool), Rejection> {
        let revoked = Box::pin(self.revoke(context, (id, reason), true)).await?;
        let Revoked {
            revoked_at,
            revision,
            committed,
        } = revoked.value;
        let held = self.held_polls.acquire(context);
        let wait = if held.is_some() { wait } else { Duration::ZERO };
        let deadline = committed + wait;
        let receipt = self
            .wait_for_confirmations(revision, committed, deadline, give_up)
            .await;
        let answer = revoked.map(|_| RevocationReceipt {
            revoked_at,
            receipt,
        });
        Ok((answer, held.is_some()))
    }

    /// Revokes a key, in force here when this returns. With `confirm` every instance is asked to confirm it.
    async fn revoke(
        &self,
        context: &Context,
        (id, reason): (KeyId, RevocationReason),
        confirm: bool,
    ) -> Result<Audited<Revoked>, Rejection> {
        let (at, outbox) = (context.request.at, self.outbox.clone());
        let answer = self
            .audited_write(context, move |tx, caller| {
                let held = tx.key_for_update(id)?.ok_or(Error::NotFound)?;
                check_own_key(caller, &held.key)?;
                let is_first = held.key.revoked_at.is_none();
                if is_first {
                    let revoked = PartnerKey {
                        revoked_at: Some(at),
                        revocation_reason: Some(reason),
                        ..held.key.clone()
                    };
                    outbox.key(tx, EventKind::KeyRevoked, &revoked, at)?;
                }
                tx.idempotency_erase(id)?;
                tx.key_revoke(id, at, reason, held.key.on_revoke)?;
                let (status, revision) = if confirm {
                    (200, tx.key_change_confirm()?)
                } else {
                    (204, 0)
                };
                let revoked_at = held.key.revoked_at.unwrap_or(at);
                let first_reason = held.key.revocation_reason.unwrap_or(reason);
                Ok(Auditable::new(status, (revoked_at, revision))
                    .detail("name", held.key.name.as_str())
                    .detail("on_revoke", held.key.on_revoke.as_str())
                    .detail("reason", first_reason.as_str())
                    .detail("already_revoked", !is_first))
            })
            .await;
        let committed = Instant::now();
        self.apply_key_changes().await;
        self.outgoing.notify_one();
        Ok(answer?.map(|(revoked_at, revision)| Revoked {
            revoked_at,
            revision,
            committed,
        }))
    }
}
