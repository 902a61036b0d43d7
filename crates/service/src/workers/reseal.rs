//! Resealing: whatever is sealed under a retired pepper is sealed under the current one, a batch at a time, so
//! that the retired pepper can be taken away. Keys are renewed when they are used, see `authn/digest_renewal.rs`.
//!
//! A pass goes through the secrets of orgs, those of webhook endpoints, and the stored responses. What was
//! changed since it was read stays as it is; the next pass finds it if need be.

use std::time::Duration;

use ids::{EndpointId, OrgId};
use keys::{PepperId, Peppers};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, IdempotencyId, SealedOrgSecrets, StoreError, prelude::*};

use crate::{Env, Next, Service, orgs::secrets, webhooks};

/// How many rows of one kind a batch reads.
const BATCH: usize = 200;
/// Between two batches, so that others get the database.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a pass goes on.
#[derive(Clone, Debug)]
enum Position {
    /// At the orgs whose secrets are under this retired pepper, counted from 1, behind this org.
    Orgs(usize, Option<OrgId>),
    Webhooks(Option<EndpointId>),
    Responses(Option<IdempotencyId>),
}

impl Default for Position {
    fn default() -> Self {
        Self::Orgs(1, None)
    }
}

/// The resealing of one process.
#[derive(Debug, Default)]
pub(crate) struct Resealer {
    position: Mutex<Position>,
}

/// The current pepper's seal for what was sealed under a retired one; `None` for what is under the current one,
/// or under none of these.
fn reseal(env: &Env, peppers: &Peppers, sealed: &[u8], bound: &[u8]) -> Option<Vec<u8>> {
    if peppers.sealed_under(sealed, bound)? == peppers.current_id() {
        return None;
    }
    let text = peppers.open(sealed, bound)?;
    Some(env.seal(peppers, &text, bound))
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Reseals one batch; the pass goes on after a pause until all is under the current pepper.
    ///
    /// An instance whose pepper is not the one that the last start was given does nothing: two could undo each
    /// other's work while their peppers are changed one after the other.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reseal(&self) -> Result<Next, StoreError> {
        let peppers = &self.settings.peppers;
        if peppers.ids().nth(1).is_none() {
            return Ok(Next::Idle);
        }
        let stored: Result<_, StoreError> = self.db.read(|view| view.pepper_check()).await;
        if stored? != peppers.check_values().next() {
            return Ok(Next::Idle);
        }
        let position = self.resealer.position.lock().clone();
        let next = match position {
            Position::Orgs(place, after) => match peppers.ids().nth(place) {
                Some(pepper) => {
                    let last = self.reseal_orgs(pepper, after).await?;
                    let place = place + usize::from(last.is_none());
                    Some(Position::Orgs(place, last))
                }
                None => Some(Position::Webhooks(None)),
            },
            Position::Webhooks(after) => Some(match self.reseal_webhooks(after).await? {
                Some(last) => Position::Webhooks(Some(last)),
                None => Position::Responses(None),
            }),
            Position::Responses(after) => self
                .reseal_responses(after)
                .await?
                .map(|last| Position::Responses(Some(last))),
        };
        let is_over = next.is_none();
        *self.resealer.position.lock() = next.unwrap_or_default();
        Ok(if is_over {
            Next::Idle
        } else {
            Next::After(PAUSE)
        })
    }

    /// Reseals the secrets of the next orgs; the last of them, `None` when there was none.
    async fn reseal_orgs(
        &self,
        pepper: PepperId,
        after: Option<OrgId>,
    ) -> Result<Option<OrgId>, StoreError> {
        let read = move |view: &mut D::View| view.org_secrets_under(pepper, after, BATCH);
        let found: Vec<SealedOrgSecrets> = self.db.read(read).await?;
        let last = found.last().map(|secrets| secrets.org);
        let (env, peppers) = (&self.env, &self.settings.peppers);
        let resealed = found.into_iter().filter_map(|before| {
            let bound = secrets::bound(before.org);
            let sealed = reseal(env, peppers, &before.sealed, bound.as_bytes())?;
            let after = SealedOrgSecrets {
                sealed,
                pepper: peppers.current_id(),
                ..before
            };
            Some((before.sealed, after))
        });
        let resealed: Vec<_> = resealed.collect();
        self.write_each(resealed, |tx, (before, after)| {
            tx.org_secrets_reseal(before, after)
        })
        .await?;
        Ok(last)
    }

    /// The same for webhook endpoints.
    async fn reseal_webhooks(
        &self,
        after: Option<EndpointId>,
    ) -> Result<Option<EndpointId>, StoreError> {
        let read = move |view: &mut D::View| view.sealed_secrets(after, BATCH);
        let found: Vec<_> = self.db.read(read).await?;
        let last = found.last().map(|(id, _)| *id);
        let (env, peppers) = (&self.env, &self.settings.peppers);
        let resealed = found.into_iter().filter_map(|(id, before)| {
            let bound = webhooks::bound(id);
            let mut is_changed = false;
            let after = before.map(|sealed| {
                let new = reseal(env, peppers, sealed, bound.as_bytes());
                is_changed |= new.is_some();
                new.unwrap_or_else(|| sealed.to_vec())
            });
            is_changed.then_some((id, before, after))
        });
        let resealed: Vec<_> = resealed.collect();
        self.write_each(resealed, |tx, (id, before, after)| {
            tx.endpoint_reseal(*id, before, after)
        })
        .await?;
        Ok(last)
    }

    /// The same for stored responses.
    async fn reseal_responses(
        &self,
        after: Option<IdempotencyId>,
    ) -> Result<Option<IdempotencyId>, StoreError> {
        let read = move |view: &mut D::View| view.sealed_responses(after.as_ref(), BATCH);
        let found: Vec<_> = self.db.read(read).await?;
        let last = found.last().map(|(id, _)| id.clone());
        let (env, peppers) = (&self.env, &self.settings.peppers);
        let resealed = found.into_iter().filter_map(|(id, before)| {
            let after = reseal(env, peppers, &before, id.request())?;
            Some((id, before, after))
        });
        let resealed: Vec<_> = resealed.collect();
        self.write_each(resealed, |tx, (id, before, after)| {
            tx.idempotency_reseal(id, before, after)
        })
        .await?;
        Ok(last)
    }

    /// Writes a batch in one transaction, in its order.
    async fn write_each<T: Send + 'static>(
        &self,
        batch: Vec<T>,
        write: impl Fn(&mut D::Tx, &T) -> Result<bool, StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.db
            .write(move |tx| batch.iter().try_for_each(|one| write(tx, one).map(drop)))
            .await
    }
}
