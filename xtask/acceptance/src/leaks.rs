//! Whether reported keys are dead on every instance soon after the answer, and whether the time of an answer tells how
//! many of the reported tokens were real.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use keys::{KeyKind, PlainKey};
use serde_json::json;
use testkit::{
    http::Client,
    latency::Latencies,
    postgres,
    random::SeededRandom,
    server::{self, Server, Setup, create_key},
};

use crate::crash::Engine;

/// How many tokens a report has.
const TOKENS: usize = 1000;
/// How many of them are real in the reports of which all must die.
const REAL: usize = 10;
/// How soon after the answer all are to be refused.
const WITHIN: Duration = Duration::from_secs(2);
/// How many real tokens the timed reports have.
const CLASSES: [usize; 3] = [0, REAL, TOKENS];
/// How far the medians of the classes may be apart, as a part of the largest: what chance makes of so few.
const TOLERANCE: f64 = 0.25;
/// What the medians may be apart in any case.
const CLOCK: Duration = Duration::from_millis(2);
/// Between two timed reports: the work on the last one is done then.
const PAUSE: Duration = Duration::from_millis(1500);

/// What `leaks` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many reports of which all must die.
    #[arg(long, default_value_t = 10)]
    reports: usize,
    /// How many reports of each class are timed.
    #[arg(long, default_value_t = 15)]
    timed: usize,
    /// How many instances; one on SQLite is enough.
    #[arg(long, default_value_t = 3)]
    instances: usize,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

/// Runs it on servers of its own and prints the figures; `None` without PostgreSQL.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    let folder = tempfile::tempdir()?;
    // Each report comes from an address of its own, as a proxy would tell.
    let mut setup =
        Setup::new(server::program()?, folder.path()).with("TRUSTED_PROXIES", "127.0.0.0/8");
    let database = match args.engine {
        Engine::Sqlite => None,
        Engine::Postgres => match postgres::Server::start() {
            Some(server) => Some(server),
            None => return Ok(None),
        },
    };
    setup.database_url = database.as_ref().map(postgres::Server::new_database);
    let mut servers = Vec::new();
    for n in 0..args.instances {
        setup.log = folder.path().join(format!("{n}.log"));
        servers.push(setup.start()?);
    }
    let mut reporter = Reporter {
        random: SeededRandom::new(7),
        sent: 0,
    };
    let mut slowest = Latencies::default();
    for n in 0..args.reports {
        slowest.record(reporter.all_die(&servers, n)?);
    }
    let [p50, max] = slowest.millis([50, 100]);
    println!(
        "{} reports of {TOKENS} tokens, {REAL} of them real, {} instances, {:?}: the last was refused everywhere \
         after p50 {p50:.0} ms, max {max:.0} ms",
        args.reports, args.instances, args.engine
    );
    let dead = max <= WITHIN.as_secs_f64() * 1000.0;
    let medians = reporter.timed(servers.first().context("no instance")?, args.timed)?;
    Ok(Some(dead && are_alike(medians)))
}

/// Whether nobody could tell the classes apart by these medians, in milliseconds.
fn are_alike(medians: [f64; 3]) -> bool {
    let [largest, smallest] = [
        medians.into_iter().fold(f64::MIN, f64::max),
        medians.into_iter().fold(f64::MAX, f64::min),
    ];
    largest - smallest <= (largest * TOLERANCE).max(CLOCK.as_secs_f64() * 1000.0)
}

struct Reporter {
    random: SeededRandom,
    sent: usize,
}

impl Reporter {
    /// Reports so many tokens with these among them; how long the answer took.
    fn report(&mut self, client: &Client, real: &[String]) -> Result<Duration> {
        let mut tokens = real.to_vec();
        while tokens.len() < TOKENS {
            let token = PlainKey::generate(KeyKind::Partner, &mut self.random);
            tokens.push(token.expose().to_owned());
        }
        tokens.sort_unstable();
        self.sent += 1;
        let address = format!("198.51.{}.{}", self.sent / 250, self.sent % 250 + 1);
        let body = json!({"tokens": tokens, "source": "acceptance"}).to_string();
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", &*address),
        ];
        let began = Instant::now();
        let answer = client.send("POST", "/cp/leaks", &headers, body.as_bytes())?;
        let took = began.elapsed();
        ensure!(answer.status == 202, "the answer was {}", answer.status);
        Ok(took)
    }

    /// Reports real keys to one instance; how long after the answer the last one was refused by the last instance.
    fn all_die(&mut self, servers: &[Server], n: usize) -> Result<Duration> {
        let by = servers.get(n % servers.len()).context("no instance")?;
        let keys = real_keys(by, REAL)?;
        let callers: Vec<Client> = servers
            .iter()
            .flat_map(|server| keys.iter().map(|key| server.client(key)))
            .collect();
        for caller in &callers {
            caller.get("/cp/whoami")?.expect(200)?;
        }
        self.report(&by.client(""), &keys)?;
        let answered = Instant::now();
        for caller in &callers {
            while caller.get("/cp/whoami")?.status == 200 {
                ensure!(answered.elapsed() < WITHIN * 5, "a key is not refused");
                thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(answered.elapsed())
    }

    /// Times reports of each class in turn and prints their medians.
    fn timed(&mut self, server: &Server, count: usize) -> Result<[f64; 3]> {
        let client = server.client("");
        let mut classes: [Latencies; 3] = Default::default();
        for _ in 0..count {
            for (real, latencies) in std::iter::zip(CLASSES, &mut classes) {
                let keys = real_keys(server, real)?;
                latencies.record(self.report(&client, &keys)?);
                thread::sleep(PAUSE);
            }
        }
        let mut medians = [0.0; 3];
        for ((real, latencies), median) in
            std::iter::zip(std::iter::zip(CLASSES, classes), &mut medians)
        {
            let [p50, p90] = latencies.millis([50, 90]);
            println!(
                "answers to reports with {real} real tokens: p50 {p50:.2} ms, p90 {p90:.2} ms"
            );
            *median = p50;
        }
        Ok(medians)
    }
}

fn real_keys(server: &Server, count: usize) -> Result<Vec<String>> {
    let admin = server.admin();
    (0..count)
        .map(|_| Ok(create_key(&admin, json!({"scopes": ["orgs:list"]}))?.secret))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_far_apart_are_told_apart() {
        assert!(are_alike([10.0, 10.5, 11.9]));
        assert!(are_alike([0.5, 1.0, 2.0]));
        assert!(!are_alike([10.0, 10.0, 20.0]));
    }
}
