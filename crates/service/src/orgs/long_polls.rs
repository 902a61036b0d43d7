//! Long polls: reading an org's status once it has changed, and estimating how long that takes.

use std::{collections::HashMap, sync::Arc, time::Duration as StdDuration};

use ids::{OrgId, PlanName};
use orgs::{Org, OrgStatus, OrgVisibility};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use time::Duration;
use tokio::time::Instant;

use super::{held_polls::HeldPollCounts, reading_visibility};
use crate::{
    Audited, Context, Error, OrgWithSteps, Rejection, Service,
    audited::{Auditable, reauthorized},
    authn::credential_cache::ClockReading,
    authorize::check_usable,
};

/// From how many orgs the estimate is made.
const SAMPLE: usize = 100;
/// How long an estimate is valid.
const TTL: StdDuration = StdDuration::from_secs(5);
/// The shortest `Retry-After`.
const MIN_WAIT: Duration = Duration::SECOND;

/// How long provisioning an org takes, by plan: each estimate and when it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct ProvisioningEstimates(Mutex<HashMap<PlanName, (Instant, Duration)>>);

impl ProvisioningEstimates {
    /// The estimate, and whether the caller is to make a new one.
    fn get(&self, plan: &PlanName) -> (Duration, bool) {
        let mut plans = self.0.lock();
        let now = Instant::now();
        let Some((asked, took)) = plans.get_mut(plan) else {
            plans.insert(plan.clone(), (now, MIN_WAIT));
            return (MIN_WAIT, true);
        };
        let is_expired = asked.elapsed() >= TTL;
        if is_expired {
            // One caller reads; the others take the old estimate meanwhile.
            *asked = now;
        }
        (*took, is_expired)
    }

    fn insert(&self, plan: &PlanName, took: Duration) {
        self.0.lock().insert(plan.clone(), (Instant::now(), took));
    }
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Reads an org's status; while work is pending, once the status has changed, after `wait`, or when `give_up` is
    /// ready: then the wait ends, and the call has its answer and its event all the same. Also whether the wait was
    /// granted: it is not where the caller has its share of held polls already.
    ///
    /// # Errors
    /// When there is none of this id in the caller's visibility, or the caller may not ask any more at the
    /// end of the wait.
    pub async fn org_status_long_poll(
        &self,
        context: &Context,
        id: OrgId,
        wait: StdDuration,
        give_up: impl Future<Output = ()>,
    ) -> Result<(Audited<Arc<OrgWithSteps>>, bool), Rejection> {
        let deadline = Instant::now() + wait;
        // Subscribed before the read, so that no change falls between the two.
        let mut subscription = self.statuses.watch().subscribe(id);
        // What comes before the wait and after it is boxed: thousands wait, few do more.
        let first = Box::pin(self.read_for_watch(context, id)).await?;
        if !first.org.status.is_pending() || wait.is_zero() {
            let answer = Box::pin(self.audited_value(context, Auditable::new(200, first))).await?;
            return Ok((answer, true));
        }
        let Some(_held) = self.held_polls.acquire(context) else {
            let answer = Box::pin(self.audited_value(context, Auditable::new(200, first))).await?;
            return Ok((answer, false));
        };
        let known = first.org.status;
        drop(first);
        // The event comes after the wait; that the key is in use is recorded now.
        Box::pin(self.record_key_use(context)).await;
        tokio::pin!(give_up);
        loop {
            let is_changed = tokio::select! {
                is_changed = subscription.changed(known, deadline) => is_changed,
                () = &mut give_up => false,
            };
            let known = is_changed.then_some(known);
            if let Some(answer) = Box::pin(self.status_after_wait(context, id, known)).await? {
                return Ok((answer, true));
            }
        }
    }

    /// How many status polls are held, and what became of those that asked for it.
    #[must_use]
    pub fn held_polls(&self) -> HeldPollCounts {
        self.held_polls.counts()
    }

    /// The status of an org that the caller is about to watch.
    async fn read_for_watch(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Arc<OrgWithSteps>, Rejection> {
        let _permit = self.statuses.watch().read_permit().await;
        self.visible_status(context, id).await
    }

    /// The answer to a caller that has waited, if it is still authorized; `None` where the org's status is the
    /// known one after all.
    async fn status_after_wait(
        &self,
        context: &Context,
        id: OrgId,
        known: Option<OrgStatus>,
    ) -> Result<Option<Audited<Arc<OrgWithSteps>>>, Rejection> {
        let _permit = self.statuses.watch().read_permit().await;
        match self.still_authorized(context).await {
            Ok(()) => {}
            Err(Error::Store(fault)) => return Err(self.reject_fault(context, fault).await),
            Err(error) => return Err(self.reject(context, error).await),
        }
        let status = self.visible_status(context, id).await?;
        // What was published may be out of date: then the wait goes on.
        if known == Some(status.org.status) {
            return Ok(None);
        }
        self.audited_value(context, Auditable::new(200, status))
            .await
            .map(Some)
    }

    /// The status of an org that the caller may read.
    pub(crate) async fn visible_status(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Arc<OrgWithSteps>, Rejection> {
        let visibility = reading_visibility(&context.caller);
        self.status_within(context, visibility, id).await
    }

    /// The status of an org that is visible.
    pub(crate) async fn status_within(
        &self,
        context: &Context,
        visibility: OrgVisibility,
        id: OrgId,
    ) -> Result<Arc<OrgWithSteps>, Rejection> {
        let found = match self.statuses.get(id) {
            Some(status) => Some(status),
            None => match self.read_status(id).await {
                Ok(found) => found,
                Err(fault) => return Err(self.reject_fault(context, fault).await),
            },
        };
        match found.filter(|status| visibility.includes(&status.org)) {
            Some(status) => Ok(status),
            None => Err(self.reject(context, Error::NotFound).await),
        }
    }

    /// Whether the caller may still do what it asked for a while ago.
    async fn still_authorized(&self, context: &Context) -> Result<(), Error> {
        let at = self.env.now();
        let now = ClockReading::now(self.env.wall());
        if self
            .credentials
            .is_current(&context.caller, context.read_version, now)
        {
            return check_usable(&context.caller, context.request.secret.as_ref(), at);
        }
        let mut later = context.clone();
        later.request.at = at;
        self.db
            .read(move |view| reauthorized(view, &later).map(drop))
            .await
    }

    /// How long a client should wait before it polls again for an org whose work is pending: what is left of the
    /// median time that the last orgs of its plan took, a second at the least.
    pub async fn expected_wait(&self, org: &Org) -> Duration {
        let (mut took, is_expired) = self.estimates.get(&org.plan);
        if is_expired {
            let plan = org.plan.clone();
            let times: Result<_, StoreError> = self
                .db
                .read(move |view| view.provisioning_times(&plan, SAMPLE))
                .await;
            match times {
                Ok(times) => {
                    took = median(times).unwrap_or(MIN_WAIT).max(MIN_WAIT);
                    self.estimates.insert(&org.plan, took);
                }
                Err(error) => tracing::warn!(
                    error = error.as_dyn(),
                    "estimating provisioning times failed; the last estimate is used"
                ),
            }
        }
        let began = match org.status {
            OrgStatus::Provisioning => org.created_at,
            OrgStatus::Updating
            | OrgStatus::Deprovisioning
            | OrgStatus::Ready
            | OrgStatus::Failed
            | OrgStatus::Suspended
            | OrgStatus::Deleted => org.updated_at,
        };
        (took - (self.env.now() - began)).clamp(MIN_WAIT, took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let check = |times: &[i64], expect: Option<i64>| {
            let times = times.iter().map(|&s| Duration::seconds(s)).collect();
            assert_eq!(median(times), expect.map(Duration::seconds));
        };
        check(&[], None);
        check(&[7], Some(7));
        check(&[9, 1, 500], Some(9));
        check(&[4, 3, 2, 1], Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_renews_an_expired_estimate() {
        let (estimates, plan) = (
            ProvisioningEstimates::default(),
            PlanName::new("free").unwrap(),
        );
        assert_eq!(estimates.get(&plan), (MIN_WAIT, true));
        assert_eq!(estimates.get(&plan), (MIN_WAIT, false));
        let took = Duration::seconds(9);
        estimates.insert(&plan, took);
        assert_eq!(estimates.get(&plan), (took, false));
        tokio::time::advance(TTL).await;
        assert_eq!(estimates.get(&plan), (took, true));
        assert_eq!(estimates.get(&plan), (took, false));
    }
}
