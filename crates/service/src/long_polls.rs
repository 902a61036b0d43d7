//! Reading where an org stands once it stands elsewhere, and how long that may take.

use std::{collections::HashMap, sync::Arc, time::Duration as StdDuration};

use ids::{OrgId, PlanName};
use orgs::{Org, OrgQueries as _, OrgStatus};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::Duration;
use tokio::time::Instant;

use crate::{
    Audited, Context, Error, OrgWithSteps, Rejection, Service,
    audited::{Done, current},
    authenticate::usable,
    credential_cache::Moment,
    held_polls::HeldPollCounts,
    orgs::reading_visibility,
};

/// How many orgs tell how long the next will take.
const SAMPLE: usize = 100;
/// How long that figure counts.
const TERM: StdDuration = StdDuration::from_secs(5);
/// The least that a client is told to wait.
const LEAST: Duration = Duration::SECOND;

/// How long making an org takes, by plan: each figure and when it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<HashMap<PlanName, (Instant, Duration)>>);

impl Pace {
    /// The figure as it is known, and whether whoever asks should ask for a new one.
    fn recall(&self, plan: &PlanName) -> (Duration, bool) {
        let mut plans = self.0.lock();
        let now = Instant::now();
        let Some((asked, took)) = plans.get_mut(plan) else {
            plans.insert(plan.clone(), (now, LEAST));
            return (LEAST, true);
        };
        let outdated = asked.elapsed() >= TERM;
        if outdated {
            // One asks; the others take what is there meanwhile.
            *asked = now;
        }
        (*took, outdated)
    }

    fn remember(&self, plan: &PlanName, took: Duration) {
        self.0.lock().insert(plan.clone(), (Instant::now(), took));
    }
}

/// The time in the middle, none when there are no times.
fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Reads where an org stands; while work is pending, once it stands elsewhere, or after `wait`.
    /// Tells also whether the wish to wait was heeded: it is not where the caller holds its share of
    /// calls already.
    ///
    /// # Errors
    /// When there is none of this id in the caller's visibility, or the caller may not ask any more at the
    /// end of the wait.
    pub async fn org_status_awaited(
        &self,
        context: &Context,
        id: OrgId,
        wait: StdDuration,
    ) -> Result<(Audited<Arc<OrgWithSteps>>, bool), Rejection> {
        let deadline = Instant::now() + wait;
        let waiters = self.statuses.waiters();
        // Entered before the question, so that no change falls between the two.
        let mut waiter = waiters.enter(id);
        // What comes before the wait and after it has boxes of its own: thousands wait, few do more.
        let first = Box::pin(self.status_in_turn(context, id)).await?;
        if !first.org.status.is_pending() || wait.is_zero() {
            let answer = Box::pin(self.audited_value(context, Done::new(200, first))).await?;
            return Ok((answer, true));
        }
        let Some(_held) = self.held_polls.acquire(context) else {
            let answer = Box::pin(self.audited_value(context, Done::new(200, first))).await?;
            return Ok((answer, false));
        };
        let seen = first.org.status;
        drop(first);
        // Its event comes after the wait; that the key is in use is told now.
        Box::pin(self.note_use(context)).await;
        loop {
            let told = waiter.news(seen, deadline).await;
            if let Some(answer) =
                Box::pin(self.status_again(context, id, told.then_some(seen))).await?
            {
                return Ok((answer, true));
            }
        }
    }

    /// How many status polls are held, and what became of those that asked for it.
    #[must_use]
    pub fn held_polls(&self) -> HeldPollCounts {
        self.held_polls.counts()
    }

    /// Where an org stands that the caller is about to wait for.
    async fn status_in_turn(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Arc<OrgWithSteps>, Rejection> {
        let _turn = self.statuses.waiters().turn().await;
        self.visible_status(context, id).await
    }

    /// The answer to a caller who has waited, if it still may have one; none where the org stands as it
    /// was `seen` in spite of the news.
    async fn status_again(
        &self,
        context: &Context,
        id: OrgId,
        seen: Option<OrgStatus>,
    ) -> Result<Option<Audited<Arc<OrgWithSteps>>>, Rejection> {
        let _turn = self.statuses.waiters().turn().await;
        match self.still_permitted(context).await {
            Ok(()) => {}
            Err(Error::Store(fault)) => return Err(self.reject_fault(context, fault).await),
            Err(error) => return Err(self.reject(context, error).await),
        }
        let status = self.visible_status(context, id).await?;
        // What was told may have been overtaken on its way: then the wait goes on.
        if seen == Some(status.org.status) {
            return Ok(None);
        }
        self.audited_value(context, Done::new(200, status))
            .await
            .map(Some)
    }

    /// Where an org stands that the caller may read.
    pub(crate) async fn visible_status(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Arc<OrgWithSteps>, Rejection> {
        let found = match self.statuses.recall(id) {
            Some(status) => Some(status),
            None => match self.read_status(id).await {
                Ok(found) => found,
                Err(fault) => return Err(self.reject_fault(context, fault).await),
            },
        };
        let visibility = reading_visibility(&context.caller);
        match found.filter(|status| visibility.includes(&status.org)) {
            Some(status) => Ok(status),
            None => Err(self.reject(context, Error::NotFound).await),
        }
    }

    /// Whether the caller may still ask what it asked a while ago.
    async fn still_permitted(&self, context: &Context) -> Result<(), Error> {
        let at = self.env.now();
        let now = Moment::now(at);
        if self
            .credentials
            .still_counts(&context.caller, context.since, now)
        {
            return usable(&context.caller, at);
        }
        let mut later = context.clone();
        later.call.at = at;
        self.db
            .read(move |view| current(view, &later).map(drop))
            .await
    }

    /// How long a client had best wait before it asks again for an org whose work is pending: what is
    /// left of the time that the last orgs of its plan took, a second at the least.
    pub async fn expected_wait(&self, org: &Org) -> Duration {
        let (mut took, ask) = self.pace.recall(&org.plan);
        if ask {
            let plan = org.plan.clone();
            let times: Result<_, StoreError> = self
                .db
                .read(move |view| view.provisioning_times(&plan, SAMPLE))
                .await;
            match times {
                Ok(times) => {
                    took = median(times).unwrap_or(LEAST).max(LEAST);
                    self.pace.remember(&org.plan, took);
                }
                Err(error) => tracing::warn!(
                    error = error.as_dyn(),
                    "it can't be told how long orgs take; the last figure stays"
                ),
            }
        }
        let began = match org.status {
            OrgStatus::Provisioning => org.created_at,
            OrgStatus::Deprovisioning
            | OrgStatus::Ready
            | OrgStatus::Failed
            | OrgStatus::Suspended
            | OrgStatus::Deleted => org.updated_at,
        };
        (took - (self.env.now() - began)).clamp(LEAST, took)
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
    async fn one_asks_for_a_figure_that_is_outdated() {
        let (pace, plan) = (Pace::default(), PlanName::new("free").unwrap());
        assert_eq!(pace.recall(&plan), (LEAST, true));
        assert_eq!(pace.recall(&plan), (LEAST, false));
        let took = Duration::seconds(9);
        pace.remember(&plan, took);
        assert_eq!(pace.recall(&plan), (took, false));
        tokio::time::advance(TERM).await;
        assert_eq!(pace.recall(&plan), (took, true));
        assert_eq!(pace.recall(&plan), (took, false));
    }
}
