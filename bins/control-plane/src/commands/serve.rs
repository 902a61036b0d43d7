//! Serving: from settings to a running server, and its end.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use keys::KeyQueries as _;
use ratelimit::MemoryLimiter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::{OrphanPolicy, Service};
use storage::SqlDatabase;
use stores::Database as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{env, first_key, prepare::with_peppers};
use crate::{
    background::Background,
    handlers::reference::Published,
    http::{App, ConnectionLimiter, PreparedRefusal, listen, server},
    metrics::Metrics,
    provisioner::ChosenProvisioner,
    routes,
    settings::Settings,
    webhooks::HttpSender,
};

/// How long what was written last may take to become durable at the end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end may take, whatever is in its way: an orchestrator kills after thirty seconds.
const END_TIMEOUT: Duration = Duration::from_secs(28);
/// How long the start waits until the database is known to be ready.
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);
/// How many descriptors are asked for where the system sets no bound.
const UNBOUNDED_DESCRIPTORS: u64 = 1 << 20;

/// Serves until SIGTERM or SIGINT.
pub fn run(settings: &Settings, orphans: OrphanPolicy) -> anyhow::Result<()> {
    let system = actix_web::rt::System::new();
    let outcome = system.block_on(serve(settings, orphans));
    // To drop it would wait, without end, for threads that wait for a silent database.
    std::mem::forget(system);
    outcome
}

async fn serve(settings: &Settings, orphans: OrphanPolicy) -> anyhow::Result<()> {
    let metrics = Metrics::new()?;
    let provisioner = ChosenProvisioner::new(settings, metrics.provisioning.clone())?;
    // After the provisioner, whose programs keep the limit that there was.
    let descriptors = raise_descriptor_limit();
    let connections = ConnectionLimiter::new(
        descriptors,
        settings.trusted_proxies.clone(),
        metrics.connections.clone(),
    );
    let (max, max_per_address) = connections.bounds();
    tracing::info!(descriptors, max, max_per_address, "connections are bounded");
    // The port is taken first: a key that is shown once must not be lost to a port in use.
    let listener = listen(settings.listen)
        .await
        .with_context(|| format!("can't listen on {}", settings.listen))?;
    let address = listener.local_addr().context("the socket has no address")?;
    for name in storage::migrate(&settings.database_url)? {
        tracing::info!(migration = name, "the database was brought up to date");
    }
    let options = storage::Options {
        audit: settings.audit,
        sqlite_batch: settings.sqlite_batch,
        connections: settings.database_pool,
        connect_now: true,
        ..storage::Options::default()
    };
    let env = env();
    let db = SqlDatabase::open_stamping(&settings.database_url, options, env.stamper())?;
    let (peppers, first) = with_peppers(&db, settings, async |peppers| {
        service::resume_ids(&db, &env).await?;
        service::prepare(&db, &env, peppers, settings.admin_key.as_ref(), orphans).await
    })
    .await?;
    warn_without_admin(&db).await?;
    let public_url = settings
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{address}"));
    let published = Arc::new(Published::new(&routes::described(), &public_url)?);
    let started = Instant::now();
    let service = Service::new(
        db,
        MemoryLimiter::new(move || started.elapsed()),
        provisioner,
        service::Settings {
            peppers,
            plans: settings.plans.clone(),
            reserved_slugs: settings.reserved_slugs.clone(),
            admin_rate_limit: settings.admin_rate_limit,
            auth_failure_limit: settings.auth_failure_limit,
            login_url: settings.login_url.clone(),
            webhook_address_policy: settings.webhook_address_policy,
        },
        env,
    );
    let app = Arc::new(App {
        service,
        connections,
        metrics,
        malformed_key: PreparedRefusal::malformed_key(&public_url)?,
        public_url,
        login_url: settings.login_url.clone(),
        trusted_proxies: settings.trusted_proxies.clone(),
    });
    let retention = settings
        .audit_retention_days
        .map(|days| time::Duration::days(days.into()));
    let sender = HttpSender::new(settings.webhook_address_policy)?;
    let background = Background::start(&app, sender, retention);
    wait_for_readiness(&app).await;
    tokio::spawn(dismiss_at_the_end(Arc::clone(&app)));
    routes::router(&published)?;
    let server = server(&app, &published, listener).context("can't serve on the socket")?;
    tracing::info!(%address, database = %settings.database_url, "listening on http://{address}");
    if let Some(key) = &first.admin_key {
        first_key::hand_over(key, address, &settings.data_dir);
    }
    let ended = server.await;
    background.stop().await;
    let settled = tokio::time::timeout(SETTLE_TIMEOUT, app.service.database().settle()).await;
    match settled {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!("audit events may be lost: {error}"),
        Err(_) => tracing::error!("audit events may be lost: the database does not answer"),
    }
    tracing::info!("stopped");
    ended.context("the server broke down")
}

/// Waits a moment for what the background work finds out of the database, so that `/readyz` is right from the
/// first call on.
async fn wait_for_readiness(app: &App) {
    let deadline = Instant::now() + READINESS_TIMEOUT;
    let is_ready =
        || app.service.database().readiness().is_ok() && app.service.is_credential_cache_fresh();
    while !is_ready() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets those who wait for orgs go as soon as the server is told to stop, and not when it has stopped; and
/// ends connections as soon as nothing is owed to them.
async fn dismiss_at_the_end(app: Arc<App>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::warn!("signals can't be heard; calls that wait end at their own time");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    thread::spawn(end_in_time);
    app.connections.drain();
    app.service.close_status_watch();
}

/// Ends the process if it is still there when its time is over.
fn end_in_time() {
    thread::sleep(END_TIMEOUT);
    tracing::error!("the end took too long, as when the database is silent; what runs is cut off");
    crate::end(0)
}

/// Raises the number of descriptors that this process may have to the most that it may raise it to; tells
/// how many that is.
fn raise_descriptor_limit() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wanted = before.maximum.unwrap_or(UNBOUNDED_DESCRIPTORS);
    let current = before.current.unwrap_or(u64::MAX);
    if wanted <= current {
        return current;
    }
    let raised = Rlimit {
        current: Some(wanted),
        ..before
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!("the descriptor limit stays at {current}: {error}");
            current
        }
    }
}

/// Tells the operator when nobody can administer this server.
async fn warn_without_admin(db: &SqlDatabase) -> anyhow::Result<()> {
    let keys = db.read(|view| view.admin_keys()).await?;
    if keys.iter().all(|key| key.revoked_at.is_some()) {
        tracing::warn!("no admin key is in force; make one with `molecule-cp admin-key create`");
    }
    Ok(())
}
