//! What one process does with keys and limits when no network is in between. Prints JSON.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use ids::{KeyId, Name, PlanName, TypedId as _, Ulid};
use keys::{KeyKind, PartnerDraft, PartnerKey, Pepper, Peppers, PlainKey};
use orgs::{LocalProvisioner, PlanCatalogue, ReservedSlugs};
use ratelimit::{Limiter as _, MemoryLimiter, RateLimit, Subject};
use service::{ClientAddress, Credentials, Env, RequestInfo, Service, Settings, operations};
use storage::{DatabaseUrl, SqlDatabase};
use stores::{Database as _, StoreError, prelude::*};
use testkit::build::Build;
use time::OffsetDateTime;

/// A limit that is never reached.
const LIMIT: RateLimit = RateLimit::literal(100_000_000, 1);
/// How many calls are made ready before their time is taken.
const BATCH: u32 = 10_000;
/// How many subjects the limiter counts for.
const SUBJECTS: u128 = 10_000;

type Control = Arc<Service<SqlDatabase, MemoryLimiter, LocalProvisioner>>;

/// For how long to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    #[arg(long, default_value_t = 1)]
    seconds: u32,
    /// An empty folder for the database.
    #[arg(long)]
    folder: PathBuf,
}

/// Measures authentication and limits.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let span = Duration::from_secs(args.seconds.into());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (service, peppers, key) = runtime.block_on(prepare(args))?;
    let feed = Arc::clone(&service);
    runtime.spawn(async move {
        loop {
            // One that fails makes the admissions ask the database, and the figures tell.
            let _ = feed.poll_key_changes().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let limiter = limiter();
    let cores = thread::available_parallelism()?.get();
    let (mut admissions, mut digests) = (Vec::new(), Vec::new());
    let (mut all, mut alone) = (Vec::new(), Vec::new());
    runtime.block_on(admitted(&service, &key, Duration::from_millis(300)))?;
    for _ in 0..args.rounds {
        digests.push(digested(&peppers, &key, span));
        admissions.push(runtime.block_on(admitted(&service, &key, span))?);
        alone.push(checked(&limiter, 1, span));
        all.push(checked(&limiter, cores, span));
    }
    let figures = serde_json::json!({
        "admit_ns": admissions,
        "digest_ns": digests,
        "checks": all,
        "checks_alone": alone,
    });
    println!("{figures}");
    Ok(ExitCode::SUCCESS)
}

/// A service over a database with one key.
async fn prepare(args: &Args) -> Result<(Control, Peppers, PlainKey)> {
    let file = args.folder.join("molecule.db");
    let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse()?;
    storage::migrate(&url)?;
    let db = SqlDatabase::open(&url)?;
    let peppers = Peppers::new(Pepper::new("bench-pepper-bench-pepper-bench-pepper")?, []);
    let env = Env::new(OffsetDateTime::now_utc, UnwrapErr(SysRng));
    let now = env.now();
    let partner = PartnerDraft::for_one_key(Name::new("bench")?).into_partner(env.id(), now);
    let plain = env.key(KeyKind::Partner);
    let digest = peppers.digest(&plain);
    let key = PartnerKey {
        id: env.id(),
        rate_limit: Some(LIMIT),
        key_prefix: plain.display_prefix().to_owned(),
        created_at: now,
        ..Build::new().key(&partner)
    };
    db.write(move |tx| {
        tx.partner_insert(&partner)?;
        tx.key_insert(&key, &digest)
    })
    .await
    .map_err(|error: StoreError| anyhow::Error::new(error))?;
    let settings = Settings {
        peppers: peppers.clone(),
        plans: PlanCatalogue::new(vec![PlanName::new("standard")?])?,
        reserved_slugs: ReservedSlugs::default(),
        max_key_lifetime: None,
        admin_rate_limit: LIMIT,
        auth_failure_limit: LIMIT,
        token_exchange_limit: LIMIT,
        idempotency_limit: LIMIT,
        max_calls: usize::MAX,
        login_url: "https://app.example/login".to_owned(),
        webhook_address_policy: webhooks::AddressPolicy::Public,
        instance: None,
        live_instances: service::LiveInstances::default(),
    };
    let service = Service::new(db, limiter(), LocalProvisioner, settings, env);
    service.poll_key_changes().await?;
    Ok((service, peppers, plain))
}

fn limiter() -> MemoryLimiter {
    let started = Instant::now();
    MemoryLimiter::new(move || started.elapsed())
}

/// Nanoseconds of an admission by a key that is remembered; making the calls is not counted.
async fn admitted(service: &Control, key: &PlainKey, span: Duration) -> Result<f64> {
    let (mut took, mut count) = (Duration::ZERO, 0_u32);
    while took < span {
        let calls: Vec<_> = (0..BATCH).map(|_| (call(), presented(key))).collect();
        let mut contexts = Vec::with_capacity(calls.len());
        let begun = Instant::now();
        for (call, presented) in calls {
            contexts.push(service.authenticate(call, presented).await);
        }
        took += begun.elapsed();
        count = count.saturating_add(BATCH);
        let refused = contexts.iter().find_map(|context| context.as_ref().err());
        ensure!(refused.is_none(), "an admission was refused: {refused:?}");
    }
    Ok(nanoseconds(took, count))
}

fn presented(key: &PlainKey) -> Credentials {
    Credentials {
        key: key.clone(),
        revokes: None,
    }
}

fn call() -> RequestInfo {
    RequestInfo {
        at: OffsetDateTime::now_utc(),
        request_id: "req_01JSWJ6V8K2M4N6P8Q0R2S4T6V".into(),
        method: "GET",
        route: "/cp/whoami",
        operation: operations::WHOAMI,
        subject: None,
        org_id: None,
        client: ClientAddress::direct(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        user_agent: Some("bench".into()),
        secret: None,
    }
}

/// Nanoseconds of a digest.
fn digested(peppers: &Peppers, key: &PlainKey, span: Duration) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < span {
        for _ in 0..BATCH {
            black_box(peppers.digest(black_box(key)));
        }
        count = count.saturating_add(BATCH);
    }
    nanoseconds(begun.elapsed(), count)
}

/// Checks a second on so many threads, over many subjects.
fn checked(limiter: &MemoryLimiter, threads: usize, span: Duration) -> f64 {
    let subjects: Vec<Subject> = (0..SUBJECTS)
        .map(|n| Subject::Key(KeyId::from_ulid(Ulid::from(n.saturating_mul(0x9e37_79b9)))))
        .collect();
    let rates = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| checked_alone(limiter, &subjects, span)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_default())
            .collect::<Vec<f64>>()
    });
    rates.iter().sum()
}

fn checked_alone(limiter: &MemoryLimiter, subjects: &[Subject], span: Duration) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < span {
        for subject in subjects {
            // The answer is there at once; to ask for it is what a caller does.
            let mut answer = std::pin::pin!(limiter.check(*subject, LIMIT));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            black_box(answer.as_mut().poll(&mut context).is_ready());
            count = count.saturating_add(1);
        }
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

fn nanoseconds(took: Duration, count: u32) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(count.max(1))
}
