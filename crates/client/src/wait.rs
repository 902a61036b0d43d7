//! Waiting for orgs, by long polls.

use std::time::{Duration, Instant};

use api::{
    MAX_WAIT,
    client::{OrgState, Word},
};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use ids::OrgId;
use orgs::OrgStatus;
use reqwest::Method;
use tokio::time::sleep;

use crate::{error::Error, request::Client};

/// The states of an org, each once it differs from the one before; the last is one that lasts.
pub type States = BoxStream<'static, Result<OrgState, Error>>;

/// The least time between two polls: a proxy may not let answers be held.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Whether the server is at work on an org of this status.
#[must_use]
pub fn is_pending(status: &Word<OrgStatus>) -> bool {
    matches!(
        status.as_str(),
        "provisioning" | "deprovisioning" | "updating"
    )
}

impl Client {
    /// The status of an org.
    ///
    /// # Errors
    /// As for any call.
    pub async fn org_status(&self, id: OrgId) -> Result<OrgState, Error> {
        self.org_status_held(id, Duration::ZERO).await
    }

    async fn org_status_held(&self, id: OrgId, wait: Duration) -> Result<OrgState, Error> {
        let path = format!("/cp/orgs/{id}/status");
        self.request(Method::GET, path)
            .wait(wait)
            .send()
            .await?
            .json()
    }

    /// Waits until the server is no longer at work on an org, and returns its status: whether it is the one
    /// that was hoped for is the caller's to look at.
    ///
    /// # Errors
    /// [`Error::StillPending`] once the time is over; the work goes on at the server. Otherwise as for any call.
    pub async fn wait_for_org(&self, id: OrgId, timeout: Duration) -> Result<OrgState, Error> {
        let deadline = Instant::now() + timeout;
        let mut state = self.org_status(id).await?;
        while is_pending(&state.status) {
            if Instant::now() >= deadline {
                return Err(Error::StillPending(Box::new(state), timeout));
            }
            state = self.poll(id, Some(deadline)).await?;
        }
        Ok(state)
    }

    /// The states of an org, from the present one to one that lasts.
    #[must_use]
    pub fn watch_org(&self, id: OrgId) -> States {
        let first = (self.clone(), None::<OrgState>);
        stream::try_unfold(first, move |(client, seen)| async move {
            let state = match &seen {
                None => client.org_status(id).await?,
                Some(seen) if !is_pending(&seen.status) => return Ok(None),
                Some(seen) => loop {
                    let state = client.poll(id, None).await?;
                    if state.updated_at != seen.updated_at || state.status != seen.status {
                        break state;
                    }
                },
            };
            Ok(Some((state.clone(), (client, Some(state)))))
        })
        .boxed()
    }

    /// One long poll, no longer than to the deadline.
    async fn poll(&self, id: OrgId, deadline: Option<Instant>) -> Result<OrgState, Error> {
        let begun = Instant::now();
        let longest = Duration::from_secs(MAX_WAIT.into());
        let wait = deadline.map_or(longest, |deadline| (deadline - begun).min(longest));
        // The server takes whole seconds.
        let state = self
            .org_status_held(id, Duration::from_secs(wait.as_secs()))
            .await?;
        if is_pending(&state.status) {
            sleep(MIN_INTERVAL.min(wait).saturating_sub(begun.elapsed())).await;
        }
        Ok(state)
    }
}
