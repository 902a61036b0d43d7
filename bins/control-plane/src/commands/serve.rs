//! `molecule-cp serve`: from settings to a running server, and its shutdown.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use service::{LiveInstances, NewInstance, OrphanPolicy, Service};
use storage::SqlDatabase;
use stores::{Database as _, prelude::*};
use tokio_util::sync::CancellationToken;

use super::{
    env, first_key, host,
    prepare::with_peppers,
    shutdown::{Signals, serve_until_signal, tell_service_manager},
};
use crate::{
    background::Background,
    github::GithubKeys,
    handlers::reference::Published,
    http::{App, ConnectionLimiter, Listener, Pacing, PreparedProblem, Server},
    issuers::HttpIssuerClient,
    limiter::ChosenLimiter,
    metrics::Metrics,
    private_files::make_all_private,
    provisioner::ChosenProvisioner,
    routes,
    settings::Settings,
    traces::Exporter,
    webhooks::HttpSender,
};

/// For the last audit events to become durable at shutdown.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// For this instance to leave the list of live ones.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// For `/readyz` to be right from the first call on.
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);
/// The descriptor limit where the system sets no bound.
const UNBOUNDED_DESCRIPTORS: u64 = 1 << 20;

/// Serves until SIGTERM or SIGINT.
pub fn run(settings: &Settings, orphans: OrphanPolicy) -> anyhow::Result<()> {
    let system = actix_web::rt::System::new();
    let outcome = system.block_on(serve(settings, orphans));
    // Dropping it would wait for threads that wait for a silent database, without end.
    std::mem::forget(system);
    outcome
}

async fn serve(settings: &Settings, orphans: OrphanPolicy) -> anyhow::Result<()> {
    let metrics = Metrics::new(&settings.data_dir)?;
    let (tracer, exporter) = Exporter::start();
    let provisioner = ChosenProvisioner::new(settings, metrics.provisioning.clone(), &tracer)?;
    // After the provisioner, whose programs get the old limit.
    let descriptors = raise_descriptor_limit();
    let connections = ConnectionLimiter::new(
        descriptors,
        settings.trusted_proxies.clone(),
        metrics.connections.clone(),
    );
    let (max, max_per_address) = connections.bounds();
    tracing::info!(descriptors, max, max_per_address, "connection limits");
    // Before the first admin key is made: it is shown once, and must not be lost to a port in use.
    let listener = Listener::open(settings.listen).await?;
    let address = listener.address().context("the socket has no address")?;
    make_all_private(settings);
    for name in storage::migrate(&settings.database_url)? {
        tracing::info!(migration = name, "migration applied");
    }
    let options = storage::Options {
        audit: settings.audit,
        sqlite_batch: settings.sqlite_batch,
        connections: settings.database_pool,
        connect_now: true,
        ..storage::Options::default()
    };
    let github_keys = match settings.github_keys.clone() {
        None => None,
        Some(source) => {
            let sender = HttpSender::new(settings.webhook_address_policy)?;
            Some(GithubKeys::new(source, sender)?)
        }
    };
    let env = env().with_key_prefix(settings.key_prefixes.current().clone());
    let db = SqlDatabase::open_stamping(&settings.database_url, options, env.stamper())?;
    metrics.database.observe(&db);
    let (peppers, first) = with_peppers(&db, settings, async |peppers| {
        service::follow_server_clock(&db, &env).await?;
        service::resume_ids(&db, &env).await?;
        let operator_key = settings.admin_key.as_ref();
        let instance = Some(NewInstance {
            host: host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        service::prepare(&db, &env, peppers, operator_key, orphans, instance).await
    })
    .await?;
    warn_without_admin(&db).await?;
    let public_url = settings
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{address}"));
    let published = Arc::new(Published::new(routes::described(), public_url.clone()));
    let live_instances = LiveInstances::default();
    let counted = live_instances.clone();
    let count = move || counted.count();
    let limiter = ChosenLimiter::start(&settings.limits, &peppers, count).await;
    if let (Err(_), Some(key)) = (&limiter, &first.admin_key) {
        // It is shown once, and must not be lost to a Redis that can't be used.
        first_key::deliver(key, address, &settings.data_dir);
    }
    let limiter = limiter?;
    let service = Service::new(
        db,
        limiter,
        provisioner,
        service::Settings {
            peppers,
            plans: settings.plans.clone(),
            reserved_slugs: settings.reserved_slugs.clone(),
            admin_rate_limit: settings.admin_rate_limit,
            auth_failure_limit: settings.auth_failure_limit,
            token_exchange_limit: settings.token_exchange_limit,
            idempotency_limit: settings.idempotency_limit,
            max_key_lifetime: settings
                .max_key_lifetime_days
                .map(|days| time::Duration::days(days.into())),
            max_calls: max,
            login_url: settings.login_url.clone(),
            webhook_address_policy: settings.webhook_address_policy,
            instance: first.instance.clone(),
            live_instances,
        },
        env,
    );
    let issuer_client = HttpIssuerClient::new(settings.issuer_policy, metrics.exchanges.clone())?;
    let issuer_client = Arc::new(issuer_client);
    let stopping = CancellationToken::new();
    let app = Arc::new(App {
        service,
        connections,
        pacing: Pacing::new(stopping.clone()),
        stopping,
        metrics,
        tracer,
        malformed_key: PreparedProblem::malformed_key(&public_url)?,
        public_url,
        login_url: settings.login_url.clone(),
        issuer_client,
        issuer_policy: settings.issuer_policy,
        key_prefixes: settings.key_prefixes.clone(),
        github_keys,
        trusted_proxies: settings.trusted_proxies.clone(),
    });
    let retention = settings
        .audit_retention_days
        .map(|days| time::Duration::days(days.into()));
    let sender = HttpSender::new(settings.webhook_address_policy)?.traced(&app.tracer, "webhook");
    let background = Background::start(&app, sender, retention);
    wait_for_readiness(&app).await;
    let signals = Signals::new().context("handling signals failed")?;
    let by_socket_unit = listener.is_inherited();
    let server = Server::start(&app, &published, listener).context("the server did not start")?;
    tell_service_manager(NotifyState::Ready);
    tracing::info!(
        %address,
        database = %settings.database_url,
        by_socket_unit,
        "listening on http://{address}"
    );
    if let Some(key) = &first.admin_key {
        first_key::deliver(key, address, &settings.data_dir);
    }
    serve_until_signal(&app, server, signals, settings.shutdown_grace).await;
    background.stop().await;
    if let Some(exporter) = exporter {
        exporter.stop().await;
    }
    leave(&app).await;
    let settled = tokio::time::timeout(SETTLE_TIMEOUT, app.service.database().settle()).await;
    match settled {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!("writing the last audit events failed, some may be lost: {error}")
        }
        Err(_) => tracing::error!(
            "timeout: the database did not take the last audit events, some may be lost"
        ),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Takes this instance out of the list: nobody need wait for it any more.
async fn leave(app: &App) {
    let left = tokio::time::timeout(LEAVE_TIMEOUT, app.service.leave()).await;
    match left {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("leaving the list of instances failed: {error}"),
        Err(_) => tracing::warn!("timeout: this instance stays in the list for 5 seconds"),
    }
}

async fn wait_for_readiness(app: &App) {
    let deadline = Instant::now() + READINESS_TIMEOUT;
    let is_ready =
        || app.service.database().readiness().is_ok() && app.service.is_credential_cache_fresh();
    while !is_ready() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Raises the soft limit to the hard limit, which is returned.
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
            tracing::warn!("raising the descriptor limit failed, it stays at {current}: {error}");
            current
        }
    }
}

async fn warn_without_admin(db: &SqlDatabase) -> anyhow::Result<()> {
    let keys = db.read(|view| view.admin_keys()).await?;
    if keys.iter().all(|key| key.revoked_at.is_some()) {
        tracing::warn!("no active admin key; create one with `molecule-cp admin-key create`");
    }
    Ok(())
}
