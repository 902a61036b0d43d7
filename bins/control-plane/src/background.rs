//! What a server does beside answering: the reconciler, orgs that end by themselves, folded
//! refusals, webhooks, tidying the limiter.

use std::{sync::Arc, time::Duration};

use orgs::OrgQueries as _;
use service::{ClockWatch, HASTEN_AFTER, Pruning};
use stores::{Database as _, StoreError};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval, timeout, timeout_at},
};

use crate::{http::App, webhooks::HttpSender};

/// Well below the second within which a folded refusal must be on record, and soon after the end of the
/// second in which it can't be listed yet.
const RECORD_REFUSALS: Duration = Duration::from_millis(100);
/// How often changes of keys are asked for: well below the two seconds for which an answer counts.
const FOLLOW_CHANGES: Duration = Duration::from_millis(100);
/// How often the limiter forgets whoever has refilled.
const SWEEP: Duration = Duration::from_secs(30);
/// How often answers that were kept for a day are forgotten.
const FORGET_REPLIES: Duration = Duration::from_secs(60);
/// How often it is looked for audit events that are older than they are kept.
const PRUNE: Duration = Duration::from_secs(600);
/// How long others have the database to themselves between two parts of a pruning.
const PRUNE_PAUSE: Duration = Duration::from_millis(20);
/// How often it is asked what will end soon.
const ANNOUNCE_ENDS: Duration = Duration::from_secs(2);
/// How often deliveries that ended a month ago are forgotten.
const FORGET_DELIVERIES: Duration = Duration::from_secs(60);
/// How often backlogs of webhooks are looked at, some partners at a time.
const TRIM_BACKLOGS: Duration = Duration::from_secs(1);
/// How often a long backlog is trimmed before others are looked at.
const MAX_TRIMS: usize = 20;
/// How often it is asked whether the clock was set back.
const WATCH_CLOCK: Duration = Duration::from_secs(1);
/// How often it is counted how many messages wait.
const MEASURE_WEBHOOKS: Duration = Duration::from_secs(5);
/// How often orgs that are due are counted.
const COUNT_DUE: Duration = Duration::from_secs(5);
/// Up to how many of them are counted.
const COUNTED: usize = 10_000;
/// How often calls without a known credential are told in the log.
const TELL_UNKNOWN: Duration = Duration::from_secs(10);
/// How long the end of the background work may take, all of it together.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long the record of the last refusals may take then.
const LAST_REFUSALS_TIMEOUT: Duration = Duration::from_secs(2);

/// The background work of one server.
pub struct Background {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    app: Arc<App>,
}

impl Background {
    /// Starts it all.
    pub fn start(app: &Arc<App>, sender: HttpSender, retention: Option<time::Duration>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let prune = retention
            .map(|retention| tokio::spawn(prune(Arc::clone(app), retention, stopped.clone())));
        let mut tasks = vec![
            tokio::spawn(Arc::clone(&app.service).reconcile(stopped.clone())),
            tokio::spawn(follow_changes(Arc::clone(app), stopped.clone())),
            tokio::spawn(Arc::clone(&app.service).end_orgs(stopped.clone())),
            tokio::spawn(Arc::clone(&app.service).watch_orgs(stopped.clone())),
            tokio::spawn(Arc::clone(&app.service).keep_statuses(stopped.clone())),
            tokio::spawn(record_refusals(Arc::clone(app), stopped.clone())),
            tokio::spawn(expire_idempotency_keys(Arc::clone(app), stopped.clone())),
            tokio::spawn(Arc::clone(&app.service).deliver(Arc::new(sender), stopped.clone())),
            tokio::spawn(announce_ends(Arc::clone(app), stopped.clone())),
            tokio::spawn(forget_deliveries(Arc::clone(app), stopped.clone())),
            tokio::spawn(measure_webhooks(Arc::clone(app), stopped.clone())),
            tokio::spawn(trim_backlogs(Arc::clone(app), stopped.clone())),
            tokio::spawn(watch_clock(Arc::clone(app), stopped.clone())),
            tokio::spawn(sweep(Arc::clone(app), stopped.clone())),
            tokio::spawn(count_due(Arc::clone(app), stopped.clone())),
            tokio::spawn(tell_unknown(Arc::clone(app), stopped)),
        ];
        tasks.extend(prune);
        Self {
            stop,
            tasks,
            app: Arc::clone(app),
        }
    }

    /// Ends it all: what was begun is finished, what was counted is written.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let deadline = Instant::now() + SHUTDOWN_GRACE;
        for task in self.tasks {
            if timeout_at(deadline, task).await.is_err() {
                tracing::warn!("background work did not end in time; it goes on at the next start");
            }
        }
        let recorded = timeout(LAST_REFUSALS_TIMEOUT, self.app.service.record_refusals()).await;
        match recorded {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("refusals by the limit were not recorded: {error}"),
            Err(_) => tracing::error!("refusals by the limit were not recorded in time"),
        }
    }
}

/// The beats of one task, until the server stops.
struct Beats {
    ticks: Interval,
    stop: watch::Receiver<bool>,
}

impl Beats {
    fn new(period: Duration, stop: watch::Receiver<bool>) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// Waits for the next beat; `false` when the server stops.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => true,
            _ = self.stop.changed() => false,
        }
    }
}

async fn follow_changes(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(FOLLOW_CHANGES, stop);
    let mut following = true;
    while beats.next().await {
        let outcome = app.service.follow_changes().await;
        if let Err(error) = &outcome
            && following
        {
            tracing::warn!(
                "changes of keys can't be followed; the database is asked for each call: {error}"
            );
        }
        following = outcome.is_ok();
    }
}

async fn record_refusals(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(RECORD_REFUSALS, stop);
    while beats.next().await {
        if let Err(error) = app.service.record_refusals().await {
            tracing::error!("refusals by the limit wait to be recorded: {error}");
        }
        let service = &app.service;
        app.metrics.limits.set(
            service.throttled_lookups(),
            service.folded_refusals(),
            service.held_polls(),
        );
    }
}

/// Deletes audit events once they are older than they are kept. Several instances may be at it, one part
/// after another.
async fn prune(app: Arc<App>, retention: time::Duration, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(PRUNE, stop);
    while beats.next().await {
        let env = app.service.env();
        let before = env.now() - retention;
        let mut pruning = Pruning::new(env, before, None);
        loop {
            let began = Instant::now();
            match pruning.part(app.service.database()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!("outdated audit events wait to be deleted: {error}");
                    break;
                }
            }
            // The others get most of the time.
            let pause = (began.elapsed() * 3).max(PRUNE_PAUSE);
            if timeout(pause, beats.stop.changed()).await.is_ok() {
                return;
            }
        }
        if pruning.deleted() > 0 {
            tracing::info!(deleted = pruning.deleted(), %before, "old audit events were deleted");
        }
    }
}

async fn expire_idempotency_keys(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(FORGET_REPLIES, stop);
    while beats.next().await {
        while match app.service.expire_idempotency_keys().await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!("outdated answers wait to be forgotten: {error}");
                false
            }
        } {}
    }
}

async fn announce_ends(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(ANNOUNCE_ENDS, stop);
    while beats.next().await {
        while match app.service.announce_ends().await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!("what will end soon waits to be announced: {error}");
                false
            }
        } {}
    }
}

async fn forget_deliveries(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(FORGET_DELIVERIES, stop);
    while beats.next().await {
        while match app.service.forget_deliveries().await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!("outdated deliveries wait to be forgotten: {error}");
                false
            }
        } {}
    }
}

async fn trim_backlogs(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(TRIM_BACKLOGS, stop);
    while beats.next().await {
        for _ in 0..MAX_TRIMS {
            match app.service.trim_backlogs().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!("long backlogs of webhooks wait to be trimmed: {error}");
                    break;
                }
            }
        }
    }
}

/// Looks at the start too: the clock may have been set back while nobody worked.
async fn watch_clock(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(WATCH_CLOCK, stop);
    let mut clock = ClockWatch::new(app.service.env().now());
    let mut hasten_at = Some(Instant::now() + HASTEN_AFTER);
    while beats.next().await {
        if clock.was_set_back(app.service.env().now()) {
            hasten_at = Some(Instant::now() + HASTEN_AFTER);
        }
        if hasten_at.is_some_and(|at| at <= Instant::now()) {
            match app.service.hasten_waiting().await {
                Ok(_) => hasten_at = None,
                Err(error) => tracing::warn!("what waits was not hastened: {error}"),
            }
        }
    }
}

async fn measure_webhooks(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(MEASURE_WEBHOOKS, stop);
    while beats.next().await {
        for (attempted, count) in app.service.attempts() {
            app.metrics.webhooks.attempts(attempted.as_str(), count);
        }
        let (deferred, overflowed) = (
            app.service.deferred_endpoints(),
            app.service.overflowed_deliveries(),
        );
        app.metrics.webhooks.deferred(deferred);
        app.metrics.webhooks.overflowed(overflowed);
        // What can't be counted now keeps its last number; the deliverer says what is wrong.
        if let Ok(backlog) = app.service.backlog().await {
            let waited = backlog
                .due_since
                .map(|since| app.service.env().now() - since);
            let waited = waited.map_or(0, |waited| waited.whole_seconds().max(0));
            app.metrics.webhooks.backlog(backlog.pending, waited);
        }
    }
}

async fn count_due(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(COUNT_DUE, stop);
    while beats.next().await {
        let now = app.service.env().now();
        let db = app.service.database();
        let counted: Result<_, StoreError> =
            db.read(move |view| view.org_backlog(now, COUNTED)).await;
        match counted {
            Ok(backlog) => {
                let without_slot = app.service.orgs_without_slot();
                app.metrics.provisioning.waiting(backlog, now, without_slot);
            }
            Err(error) => tracing::warn!("orgs that are due were not counted: {error}"),
        }
    }
}

async fn sweep(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(SWEEP, stop);
    while beats.next().await {
        app.service.limiter().sweep();
    }
}

async fn tell_unknown(app: Arc<App>, stop: watch::Receiver<bool>) {
    let mut beats = Beats::new(TELL_UNKNOWN, stop);
    let mut told = 0;
    while beats.next().await {
        let count = app.metrics.unknown_credentials.get();
        if count > told {
            tracing::info!(
                calls = count - told,
                "calls without a known credential were refused"
            );
        }
        told = count;
    }
}
