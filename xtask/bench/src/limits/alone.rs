//! The limiter alone: decisions in a second by three instances in this process, for one key.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ids::{KeyId, TypedId as _, Ulid};
use ratelimit::{Limiter, MemoryLimiter, RateLimit, Subject};
use ratelimit_redis::{Mode, RESPONSE_TIMEOUT, RedisLimiter, RedisUrl, Settings};
use testkit::redis::Server as Redis;
use tokio::time::sleep;

use super::INSTANCES;

/// For how long each is measured.
const TIME: Duration = Duration::from_secs(5);
/// How many calls each instance decides at a time.
const AT_A_TIME: u32 = 32;
/// What the leased mode must reach of the exact one.
const OVER_EXACT: f64 = 2.0;

/// Measures and prints a table.
pub(crate) fn run() -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        println!("| limiter alone | decisions/s | of them without Redis |");
        println!("|---|---|---|");
        let began = Instant::now();
        let memory = Arc::new(MemoryLimiter::new(move || began.elapsed()));
        let rate = decisions(&[memory.clone(), memory.clone(), memory]).await;
        println!("| memory | {rate:.0} | |");
        let exact = shared(Mode::Exact).await?;
        let leased = shared(Mode::Leased).await?;
        let over_exact = leased / exact;
        println!("\nleased over exact: {over_exact:.2} (at least {OVER_EXACT})\n");
        Ok(over_exact >= OVER_EXACT)
    })
}

async fn shared(mode: Mode) -> Result<f64> {
    let redis = Redis::start(&[]).context("neither Redis nor Valkey is installed")?;
    let instances = NonZeroU32::new(INSTANCES).context("there is an instance")?;
    let mut limiters = Vec::new();
    for _ in 0..INSTANCES {
        let settings = Settings {
            url: RedisUrl::new(&redis.url(), None)?,
            owners: vec!["bench".to_owned()],
            mode,
            response_timeout: RESPONSE_TIMEOUT,
        };
        let began = Instant::now();
        let limiter = RedisLimiter::new(settings, move || began.elapsed(), move || instances);
        limiter.start().await?;
        let limiter = Arc::new(limiter);
        let maintained = Arc::clone(&limiter);
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(250)).await;
                maintained.maintain().await;
            }
        });
        limiters.push(limiter);
    }
    let rate = decisions(&limiters).await;
    let (mut without, mut all) = (0, 0);
    for limiter in &limiters {
        let stats = limiter.stats();
        without += stats.leased + stats.fallback;
        all += stats.leased + stats.fallback + stats.exact;
    }
    let name = match mode {
        Mode::Exact => "exact",
        Mode::Leased => "leased",
    };
    println!("| {name} | {rate:.0} | {} % |", without * 100 / all.max(1));
    Ok(rate)
}

/// Decisions in a second of all limiters together.
async fn decisions<L: Limiter>(limiters: &[Arc<L>]) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let subject = Subject::Key(KeyId::from_ulid(Ulid::from(1_u128)));
    let limit = RateLimit::literal(100_000_000, 1);
    let mut callers = Vec::new();
    let began = Instant::now();
    for limiter in limiters {
        for _ in 0..AT_A_TIME {
            let (limiter, stop) = (Arc::clone(limiter), Arc::clone(&stop));
            callers.push(tokio::spawn(async move {
                let mut count = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    limiter.check(subject, limit).await;
                    count = count.saturating_add(1);
                    tokio::task::coop::consume_budget().await;
                }
                count
            }));
        }
    }
    sleep(TIME).await;
    stop.store(true, Ordering::Relaxed);
    let mut count = 0.0;
    for caller in callers {
        count += f64::from(caller.await.unwrap_or_default());
    }
    count / began.elapsed().as_secs_f64()
}
