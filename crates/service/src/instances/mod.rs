//! The instances that serve the database: this process reports itself, and sees which others do.
//!
//! It owns the reports and the list of them. It must not know what reports are used for.

mod clock;
mod live;
mod receipt;

use std::{sync::Arc, time::Duration};

use ::instances::{Instance, KEPT_FOR, LIVE_FOR, MAX_INSTANCES};
use ids::{Page, PageRequest};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use tokio::sync::Notify;

pub use self::{
    clock::follow_server_clock,
    live::LiveInstances,
    receipt::{Receipt, Unconfirmed},
};
use crate::{
    Audited, Context, Rejection, Service, audited::Auditable, authn::credential_cache::ClockReading,
};

/// How long a report may take: there is time for another one before this instance counts as dead.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// All live instances in one page.
const EVERYBODY: PageRequest = PageRequest::new(MAX_INSTANCES, None);

/// What this process reports of itself, and what it last saw of all.
#[derive(Debug)]
pub(crate) struct InstanceReporter {
    /// As it was registered; `None` for a process that is no instance, such as a command or a test.
    own: Option<Instance>,
    live: LiveInstances,
    /// Notified when a report should not wait for its time.
    wanted: Arc<Notify>,
    skew: clock::SkewWarning,
    /// The live instances at the last report.
    seen: Mutex<Vec<Instance>>,
    reports: receipt::Reports,
}

impl InstanceReporter {
    pub(crate) fn new(own: Option<Instance>, live: LiveInstances) -> Self {
        Self {
            own,
            live,
            wanted: Arc::default(),
            skew: clock::SkewWarning::default(),
            seen: Mutex::default(),
            reports: receipt::Reports::default(),
        }
    }

    /// Has this process report at once.
    pub(crate) fn report_soon(&self) {
        self.wanted.notify_one();
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Reports that this instance is live and which changes of keys it has applied; to be called every
    /// [`instances::REPORT_INTERVAL`] and when [`Service::report_wanted`] is notified. While it does not
    /// succeed, nothing is trusted that is cached of credentials: others may take this instance for dead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn report_instance(&self) -> Result<(), StoreError> {
        let Some(own) = &self.instances.own else {
            return Ok(());
        };
        follow_server_clock(&self.db, &self.env).await?;
        self.warn_of_skew();
        let sent = ClockReading::now(self.env.wall());
        let report = Instance {
            last_seen_at: self.env.now(),
            revision: self.credentials.newest_revision(),
            lag_ms: self
                .credentials
                .age(sent)
                .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            clock_skew_ms: clock::milliseconds(self.clock_skew()),
            ..own.clone()
        };
        let written = self.db.write_control(move |tx| {
            let now = tx.server_time()?.unwrap_or(report.last_seen_at);
            tx.instance_report(&Instance {
                last_seen_at: now,
                ..report.clone()
            })?;
            tx.instances_prune(now - KEPT_FOR)?;
            Ok::<_, StoreError>(tx.instances(now - LIVE_FOR, EVERYBODY)?.items)
        });
        let written = tokio::time::timeout(REPORT_TIMEOUT, written).await;
        let seen = written.unwrap_or(Err(StoreError::Unavailable(None)))?;
        self.credentials
            .reported(sent, ClockReading::now(self.env.wall()));
        self.instances.live.set(seen.len());
        *self.instances.seen.lock() = seen;
        Ok(())
    }

    /// Notified when a report should not wait for its time.
    #[must_use]
    pub fn report_wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.instances.wanted)
    }

    /// Takes this instance out of the list, once it serves no more.
    ///
    /// # Errors
    /// When the database fails; then the others take it for dead after [`instances::LIVE_FOR`].
    pub async fn leave(&self) -> Result<(), StoreError> {
        let Some(id) = self.instances.own.as_ref().map(|own| own.id) else {
            return Ok(());
        };
        self.db
            .write_control(move |tx| tx.instance_remove(id))
            .await
    }

    /// How many instances are live.
    #[must_use]
    pub const fn live_instances(&self) -> &LiveInstances {
        &self.instances.live
    }

    /// Lists the live instances.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn instance_list(
        &self,
        context: &Context,
        page: PageRequest,
    ) -> Result<Audited<Page<Instance>>, Rejection> {
        let at = context.request.at;
        self.audited_list(context, move |view| {
            let now = view.server_time()?.unwrap_or(at);
            Ok(Auditable::new(200, view.instances(now - LIVE_FOR, page)?))
        })
        .await
    }
}
