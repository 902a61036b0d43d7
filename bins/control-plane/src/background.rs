//! What a server does beside answering requests: its workers and its periodic jobs.

use std::{future::Future, sync::Arc, time::Duration};

use instances::REPORT_INTERVAL;
use service::{Next, PeriodicJob, REVALIDATE_INTERVAL};
use stores::{Database as _, StoreError, prelude::*};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{http::App, webhooks::HttpSender};

/// Well below the two seconds for which an answer keeps the credential cache valid.
const POLL_KEY_CHANGES: Duration = Duration::from_millis(50);
/// Well below the second within which a folded rejection must be recorded, and soon after the end of the second in
/// which it can't be listed yet.
const FLUSH_REJECTIONS: Duration = Duration::from_millis(100);
/// How soon a report is handled whose instance has ended.
const HANDLE_LEAKS: Duration = Duration::from_millis(500);
const EXPIRE_ORGS: Duration = Duration::from_millis(500);
/// Soon after the end of an overlap, and of the time for which a secret is to be idle.
const END_ROTATIONS: Duration = Duration::from_secs(2);
const CHECK_CLOCK: Duration = Duration::from_secs(1);
const TRIM_BACKLOGS: Duration = Duration::from_secs(1);
const ANNOUNCE_EXPIRATIONS: Duration = Duration::from_secs(2);
const MEASURE: Duration = Duration::from_secs(5);
const LOG_UNKNOWN_CREDENTIALS: Duration = Duration::from_secs(10);
/// How soon Redis is found to be gone, or to be back.
const MAINTAIN_LIMITER: Duration = Duration::from_millis(250);
const SWEEP_LIMITER: Duration = Duration::from_secs(30);
const EXPIRE_IDEMPOTENCY_KEYS: Duration = Duration::from_secs(60);
const REVOKE_KEYS_OF_RULES: Duration = Duration::from_millis(500);
const PRUNE_TOKENS: Duration = Duration::from_secs(10);
const PRUNE_DELIVERIES: Duration = Duration::from_secs(60);
const PRUNE_EVENTS: Duration = Duration::from_secs(600);
/// How often what is sealed is looked through; a pass goes on by itself.
const RESEAL: Duration = Duration::from_secs(300);
/// How many orgs that are due are counted at the most.
const MAX_DUE_COUNT: usize = 10_000;
/// How long the workers and jobs may take to stop, all of them together.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long recording the last rejections may take then.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long giving back unused permits may take then.
const CLOSE_LIMITER_TIMEOUT: Duration = Duration::from_millis(500);

/// The background work of one server.
pub struct Background {
    app: Arc<App>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts the workers and jobs. Events are deleted when they are older than `retention`.
    pub fn start(app: &Arc<App>, sender: HttpSender, retention: Option<time::Duration>) -> Self {
        let mut background = Self {
            app: Arc::clone(app),
            stop: CancellationToken::new(),
            tasks: Vec::new(),
        };
        background.start_workers(sender);
        background.start_jobs();
        background.start_measurements();
        if let Some(retention) = retention {
            background.every("prune-events", PRUNE_EVENTS, move |app| async move {
                app.service.prune_events(retention).await
            });
        }
        background
    }

    fn start_workers(&mut self, sender: HttpSender) {
        let service = || Arc::clone(&self.app.service);
        self.tasks.extend([
            tokio::spawn(service().reconcile(self.stop.clone())),
            tokio::spawn(service().watch_org_statuses(self.stop.clone())),
            tokio::spawn(service().deliver(Arc::new(sender), self.stop.clone())),
        ]);
    }

    fn start_jobs(&mut self) {
        let report_wanted = self.app.service.report_wanted();
        let report = |app: Arc<App>| async move { app.service.report_instance().await };
        self.run(
            self.job("report-instance", REPORT_INTERVAL)
                .when_notified(report_wanted),
            report,
        );
        self.every("poll-key-changes", POLL_KEY_CHANGES, |app| async move {
            app.service.poll_key_changes().await
        });
        self.every(
            "revalidate-statuses",
            REVALIDATE_INTERVAL,
            |app| async move { app.service.revalidate_statuses().await },
        );
        self.every("flush-rejections", FLUSH_REJECTIONS, |app| async move {
            app.service.flush_rejections().await
        });
        self.every("expire-orgs", EXPIRE_ORGS, |app| async move {
            app.service.expire_orgs().await
        });
        self.every("end-rotations", END_ROTATIONS, |app| async move {
            app.service.end_rotations().await
        });
        self.every("check-clock", CHECK_CLOCK, |app| async move {
            app.service.check_clock().await
        });
        self.every("trim-backlogs", TRIM_BACKLOGS, |app| async move {
            app.service.trim_backlogs().await
        });
        self.every(
            "announce-expirations",
            ANNOUNCE_EXPIRATIONS,
            |app| async move { app.service.announce_expirations().await },
        );
        self.every(
            "expire-idempotency-keys",
            EXPIRE_IDEMPOTENCY_KEYS,
            |app| async move { app.service.expire_idempotency_keys().await },
        );
        self.every(
            "reseal",
            RESEAL,
            |app| async move { app.service.reseal().await },
        );
        let leaks_wanted = self.app.service.leaks_wanted();
        let handle_leaks = |app: Arc<App>| async move { app.service.handle_leaks().await };
        self.run(
            self.job("handle-leaks", HANDLE_LEAKS)
                .when_notified(leaks_wanted),
            handle_leaks,
        );
        self.every("prune-deliveries", PRUNE_DELIVERIES, |app| async move {
            app.service.prune_deliveries().await
        });
        self.every(
            "revoke-keys-of-rules",
            REVOKE_KEYS_OF_RULES,
            |app| async move { app.service.revoke_keys_of_rules().await },
        );
        self.every("prune-tokens", PRUNE_TOKENS, |app| async move {
            app.service.prune_exchanges().await
        });
        self.every("maintain-limiter", MAINTAIN_LIMITER, |app| async move {
            app.service.limiter().maintain().await;
            Ok(())
        });
        self.every("sweep-limiter", SWEEP_LIMITER, |app| async move {
            app.service.limiter().sweep();
            Ok(())
        });
    }

    fn start_measurements(&mut self) {
        self.every("measure-limits", FLUSH_REJECTIONS, |app| async move {
            let service = &app.service;
            app.metrics.limits.set(
                service.throttled_lookups(),
                service.folded_rejections(),
                service.held_polls(),
            );
            if let Some(stats) = service.limiter().stats() {
                app.metrics.shared_limits.set(&stats);
            }
            app.metrics.leaks.set(service.leak_counts());
            let live = service.live_instances().count().get();
            app.metrics.instances.set(live, service.clock_skew());
            Ok(())
        });
        self.every("measure-webhooks", MEASURE, measure_webhooks);
        self.every("measure-provisioning", MEASURE, measure_provisioning);
        self.every("measure-rotations", MEASURE, |app| async move {
            let running = app.service.rotations_running().await?;
            app.metrics.rotations.set(running);
            Ok(())
        });
        let mut logged = 0;
        self.every(
            "log-unknown-credentials",
            LOG_UNKNOWN_CREDENTIALS,
            move |app| {
                let count = app.metrics.authentications.without_credential();
                if count > logged {
                    let requests = count - logged;
                    tracing::info!(
                        requests,
                        "requests without a known credential were rejected"
                    );
                }
                logged = count;
                std::future::ready(Ok(()))
            },
        );
    }

    /// Runs a job periodically.
    fn every<N, F>(
        &mut self,
        name: &'static str,
        interval: Duration,
        job: impl FnMut(Arc<App>) -> F + Send + 'static,
    ) where
        N: Into<Next> + Send + 'static,
        F: Future<Output = Result<N, StoreError>> + Send + 'static,
    {
        self.run(self.job(name, interval), job);
    }

    fn job(&self, name: &'static str, interval: Duration) -> PeriodicJob {
        PeriodicJob::new(name, interval, self.app.service.env())
    }

    fn run<N, F>(
        &mut self,
        periodic: PeriodicJob,
        mut job: impl FnMut(Arc<App>) -> F + Send + 'static,
    ) where
        N: Into<Next> + Send + 'static,
        F: Future<Output = Result<N, StoreError>> + Send + 'static,
    {
        let (app, stop) = (Arc::clone(&self.app), self.stop.clone());
        let run = periodic.run(stop, move || job(Arc::clone(&app)));
        self.tasks.push(tokio::spawn(run));
    }

    /// Stops it all: what has begun is finished, and what was counted is written.
    pub async fn stop(self) {
        self.stop.cancel();
        let deadline = Instant::now() + SHUTDOWN_GRACE;
        for task in self.tasks {
            if timeout_at(deadline, task).await.is_err() {
                tracing::warn!("background work did not stop in time; the next start resumes it");
            }
        }
        let flushed = timeout(FLUSH_TIMEOUT, self.app.service.flush_rejections()).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("recording the last rejections failed: {error}"),
            Err(_) => tracing::error!("recording the last rejections timed out"),
        }
        // What is not given back is counted and never used, which hurts nobody.
        let _ = timeout(CLOSE_LIMITER_TIMEOUT, self.app.service.limiter().close()).await;
    }
}

async fn measure_webhooks(app: Arc<App>) -> Result<(), StoreError> {
    let (service, metrics) = (&app.service, &app.metrics.webhooks);
    for (outcome, count) in service.delivery_attempts() {
        metrics.attempts(outcome.as_str(), count);
    }
    metrics.deferred(service.deferred_endpoints());
    metrics.overflowed(service.overflowed_deliveries());
    let backlog = service.backlog().await?;
    let waited = backlog.due_since.map(|since| service.env().now() - since);
    let waited = waited.map_or(0, |waited| waited.whole_seconds().max(0));
    metrics.backlog(backlog.pending, waited);
    Ok(())
}

async fn measure_provisioning(app: Arc<App>) -> Result<(), StoreError> {
    let now = app.service.env().now();
    let backlog: Result<_, StoreError> = app
        .service
        .database()
        .read(move |view| view.org_backlog(now, MAX_DUE_COUNT))
        .await;
    let without_slot = app.service.orgs_without_slot();
    app.metrics
        .provisioning
        .waiting(backlog?, now, without_slot);
    Ok(())
}
