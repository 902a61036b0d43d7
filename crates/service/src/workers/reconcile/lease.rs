//! The lease of an org: renewed while the org is worked on. When it is lost, or the work has become useless,
//! the provisioner's work is cancelled.

use std::convert::Infallible;

use ids::{EventId, TypedId as _};
use orgs::{Lease, LeaseToken, Org, OrgStatus, Provisioner, StopReason};
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use tokio::time::Instant;

use crate::{
    Env, Service,
    runtime::{
        cancellation::CancellationReason,
        lease::{GIVE_UP_AFTER, LEASE_DURATION, keep},
    },
};

/// A lease, and when it was acquired by the monotonic clock of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcquiredLease {
    pub(crate) lease: Lease,
    acquired_at: Instant,
}

impl AcquiredLease {
    /// A lease that is about to be written.
    pub(crate) fn new(env: &Env) -> Self {
        // Before the end of the lease is fixed, so that it is never taken for younger than it is.
        let acquired_at = Instant::now();
        Self {
            lease: Lease {
                token: LeaseToken(env.id::<EventId>().ulid()),
                until: env.now() + LEASE_DURATION,
            },
            acquired_at,
        }
    }

    /// Whether so little is left of it that nothing may begin under it.
    pub(super) fn is_too_old_to_begin(&self) -> bool {
        self.acquired_at.elapsed() >= GIVE_UP_AFTER
    }
}

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Renews the lease of an org, and cancels the work on it when there is a reason.
    pub(super) async fn keep_lease(
        &self,
        org: &Org,
        lease: AcquiredLease,
        stop: &CancellationReason<StopReason>,
    ) -> Infallible {
        let renew = || async {
            let status = self.renew_lease(org, lease.lease.token).await?;
            if status != Some(org.status) && status == Some(OrgStatus::Deprovisioning) {
                stop.cancel(StopReason::Deletion);
            }
            Ok(status.is_some())
        };
        let lost = || stop.cancel(StopReason::LeaseLost);
        keep(org.id, lease.acquired_at, renew, lost).await
    }

    /// Renews a lease; the org's status now, `None` when the lease is lost.
    async fn renew_lease(
        &self,
        org: &Org,
        token: LeaseToken,
    ) -> Result<Option<OrgStatus>, StoreError> {
        let (id, until) = (org.id, self.env.now() + LEASE_DURATION);
        self.db
            .write(move |tx| {
                let Some(org) = tx.org_leased(id, token)? else {
                    return Ok(None);
                };
                tx.lease_renew(id, Lease { token, until })?;
                Ok(Some(org.status))
            })
            .await
    }
}
