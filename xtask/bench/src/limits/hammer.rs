//! One key of 600 per 60 s, called from all instances without a pause.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ratelimit::{Leases, RateLimit, Subject};
use serde_json::json;
use testkit::server::Server;

use super::{
    INSTANCES,
    admitted::{Admitted, BURST, PER_SECOND},
    instances::{Instances, Kept},
};

/// How many callers each instance has.
const CALLERS: u32 = 4;
/// After a refusal a caller waits so long: what is measured is the limit, not the machine.
const PAUSE: Duration = Duration::from_millis(1);
/// After this the burst is used up.
const SETTLED: Duration = Duration::from_secs(5);
/// How much of what is possible must be admitted.
const USED: f64 = 0.99;
/// How many times its limit a key may have in any minute, whatever happens to Redis.
const OUTAGE_FACTOR: f64 = 1.1;
/// For how long nothing may be admitted, whatever happens to Redis.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// All of the time with Redis.
pub(crate) fn throughout(kept: Kept, seconds: u64) -> Result<bool> {
    let instances = Instances::start(kept, INSTANCES)?;
    let admitted = hammer(&instances, Duration::from_secs(seconds), |_| {})?;
    // A call is admitted a little before its answer is here, so calls at the edge of a stretch may count in it.
    let edge = 0.1 * PER_SECOND;
    let bound = edge
        + match kept {
            Kept::Memory | Kept::Exact => 0.0,
            Kept::Leased => f64::from(held()?),
        };
    let (beyond, used) = (admitted.beyond(), admitted.count() / admitted.possible());
    println!(
        "| {} | {} | {:.0} | {:.1} % | {beyond:.1} | {bound:.1} | {} |",
        kept.name(),
        admitted.count(),
        admitted.possible(),
        used * 100.0,
        fallback(&instances)?
    );
    Ok(beyond <= bound && used >= USED)
}

/// Redis is killed after a third of the time, and comes back empty after two.
pub(crate) fn outage(kept: Kept, seconds: u64) -> Result<bool> {
    let instances = Instances::start(kept, INSTANCES)?;
    let time = Duration::from_secs(seconds);
    let admitted = hammer(&instances, time, |redis| {
        thread::sleep(time / 3);
        redis.redis.kill();
        thread::sleep(time / 3);
        redis.redis.restart();
    })?;
    let most = admitted.most_in_a_minute(SETTLED);
    let bound = f64::from(BURST) * OUTAGE_FACTOR;
    let pause = admitted.longest_pause(SETTLED);
    println!(
        "| {} | {most} | {bound:.0} | {} ms |",
        kept.name(),
        pause.as_millis()
    );
    Ok(super::admitted::count(most) <= bound && pause <= LONGEST_PAUSE)
}

/// How many decisions the instances made without Redis, since it did not answer in time.
fn fallback(instances: &Instances) -> Result<u64> {
    let name = "molecule_limit_decisions_total{mode=\"fallback\"} ";
    let mut sum = 0_u64;
    for server in &instances.servers {
        let text = server.client("").get("/metrics")?.body;
        let count = text.lines().find_map(|line| line.strip_prefix(name));
        sum = sum.saturating_add(count.context("the metric is missing")?.parse()?);
    }
    Ok(sum)
}

/// How many permits all instances may hold.
fn held() -> Result<u32> {
    let limit = RateLimit::new(BURST, 60)?;
    let subject = Subject::address([127, 0, 0, 1].into());
    let instances = NonZeroU32::new(INSTANCES).context("there is an instance")?;
    Ok(Leases::max_batch(&[(subject, limit)], instances).saturating_mul(INSTANCES))
}

/// Has one key call all instances, while something happens.
fn hammer(
    instances: &Instances,
    time: Duration,
    happens: impl FnOnce(&Instances) + Send,
) -> Result<Admitted> {
    let first = instances.servers.first().context("there is no instance")?;
    let key = first.key(json!({
        "scopes": ["orgs:list"], "rate_limit": {"limit": BURST, "window_seconds": 60},
    }))?;
    // Every instance must have heard of the others before.
    thread::sleep(Duration::from_secs(2));
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let times = thread::scope(|scope| {
        let mut callers = Vec::new();
        for server in &instances.servers {
            for _ in 0..CALLERS {
                callers.push(scope.spawn(|| call(server, &key.secret, &stop)));
            }
        }
        scope.spawn(|| happens(instances));
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.join().ok().context("a caller has panicked")??);
        }
        Ok::<_, anyhow::Error>(times)
    })?;
    Ok(Admitted::new(times, began, Instant::now()))
}

fn call(server: &Server, key: &str, stop: &AtomicBool) -> Result<Vec<Instant>> {
    let caller = server.client(key);
    let mut admitted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match caller.get("/cp/whoami")?.status {
            200 => admitted.push(Instant::now()),
            status => {
                ensure!(status == 429, "a call was answered {status}");
                thread::sleep(PAUSE);
            }
        }
    }
    Ok(admitted)
}
