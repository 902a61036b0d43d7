//! The script decides as the limiter of one process does, at the same times.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ids::{KeyId, TypedId as _, Ulid};
use ratelimit::{Decision, Limiter as _, MemoryLimiter};
use testkit::redis::Server;

use super::*;

const START: u64 = 1_800_000_000_000_000;

/// The script as it is, but for the clock: the time comes last among its arguments.
fn at_a_given_time(text: &str) -> Script {
    let clock = "redis.call('TIME')";
    assert_eq!(text.matches(clock).count(), 1);
    Script::new(&text.replace(clock, "{ARGV[#ARGV - 1], ARGV[#ARGV]}"))
}

struct Bench {
    connection: redis::Connection,
    spend: Script,
    model: MemoryLimiter,
    micros: Arc<AtomicU64>,
    _server: Server,
}

fn bench() -> Option<Bench> {
    let server = Server::start(&[])?;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let marker = ["generation", "1"];
    let _: () = redis::cmd("HSET")
        .arg(MARKER)
        .arg(&marker)
        .query(&mut connection)
        .unwrap();
    let micros = Arc::new(AtomicU64::new(START));
    let clock = Arc::clone(&micros);
    let model = MemoryLimiter::new(move || Duration::from_micros(clock.load(Ordering::Relaxed)));
    Some(Bench {
        connection,
        spend: at_a_given_time(SPEND),
        model,
        micros,
        _server: server,
    })
}

impl Bench {
    fn spend(&mut self, limits: &[(Subject, RateLimit)], calls: i64) -> Spent {
        let now = self.micros.load(Ordering::Relaxed);
        let mut call = self.spend.prepare_invoke();
        call.key(MARKER).arg("1").arg(calls);
        for (subject, limit) in limits {
            call.key(format!("{PREFIX}{subject}"));
            call.arg(limit.period_nanos()).arg(limit.window_nanos());
        }
        call.arg(now / 1_000_000).arg(now % 1_000_000);
        let reply: Vec<i64> = call.invoke(&mut self.connection).unwrap();
        spent(&reply, limits.len()).unwrap()
    }

    fn decide(&mut self, limits: &[(Subject, RateLimit)]) -> Vec<Decision> {
        let Spent::Counted { calls, debts } = self.spend(limits, 1) else {
            panic!("the state is of another generation")
        };
        let told = limits.iter().zip(debts);
        told.map(|((_, limit), debt)| {
            Decision::of_debt(*limit, Duration::from_nanos(debt), calls == 1)
        })
        .collect()
    }
}

fn key(n: u128) -> Subject {
    Subject::Key(KeyId::from_ulid(Ulid::from(n)))
}

#[tokio::test]
async fn decisions_are_those_of_the_limiter_of_one_process() {
    let Some(mut bench) = bench() else { return };
    let limits = [
        "3/60",
        "1/1",
        "600/60",
        "7/86400",
        "1000000/1",
        "100000000/1",
    ];
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % below
    };
    for (n, limit) in (1..).zip(limits) {
        let limit: RateLimit = limit.parse().unwrap();
        let shared: RateLimit = "50/3600".parse().unwrap();
        for step in 0..400 {
            let pause = next(2 * limit.period_nanos() / 1000 + 2);
            bench.micros.fetch_add(pause, Ordering::Relaxed);
            let mut asked = vec![(key(n), limit)];
            if next(3) == 0 {
                asked.push((key(1000 + n), shared));
            }
            let expect = bench.model.check_all(&asked).await;
            assert_eq!(bench.decide(&asked), expect, "{limit} step {step}");
        }
    }
}

#[tokio::test]
async fn a_change_of_a_limit_is_as_in_one_process() {
    let Some(mut bench) = bench() else { return };
    let changes = [
        "20/3600", "19/3600", "21/3600", "100/60", "1/86400", "5000/1", "600/60",
    ];
    for step in 0..200 {
        let limit: RateLimit = changes[step % changes.len()].parse().unwrap();
        bench.micros.fetch_add(700_001, Ordering::Relaxed);
        for _ in 0..3 {
            let asked = [(key(1), limit)];
            let expect = bench.model.check_all(&asked).await;
            let decided = bench.decide(&asked);
            // A debt is converted with another rounding, by a few nanoseconds.
            assert_eq!(
                decided[0].is_allowed(),
                expect[0].is_allowed(),
                "{limit} step {step}"
            );
            let apart = decided[0].full_after.abs_diff(expect[0].full_after);
            assert!(
                apart < Duration::from_micros(1),
                "{limit} step {step}: {apart:?}"
            );
        }
    }
}

#[test]
fn many_calls_are_counted_as_far_as_all_limits_allow() {
    let Some(mut bench) = bench() else { return };
    let (ten, four) = (RateLimit::literal(10, 10), RateLimit::literal(4, 4));
    let second = 1_000_000_000;
    let both = [(key(1), ten), (key(2), four)];
    let counted = |calls, debts: [u64; 2]| Spent::Counted {
        calls,
        debts: debts.to_vec(),
    };
    assert_eq!(bench.spend(&both, 3), counted(3, [0, 0]));
    assert_eq!(bench.spend(&both, 3), counted(1, [3 * second, 3 * second]));
    assert_eq!(bench.spend(&both, 3), counted(0, [4 * second, 4 * second]));
    // Given back.
    assert_eq!(bench.spend(&both, -2), counted(0, [4 * second, 4 * second]));
    assert_eq!(bench.spend(&both, 0), counted(0, [2 * second, 2 * second]));
    assert_eq!(bench.spend(&both, -9), counted(0, [2 * second, 2 * second]));
    assert_eq!(bench.spend(&both, 0), counted(0, [0, 0]));
}

#[test]
fn a_clock_that_is_set_back_lets_a_debt_be_paid_all_the_same() {
    let Some(mut bench) = bench() else { return };
    let limit = RateLimit::literal(2, 2);
    let one = [(key(1), limit)];
    bench.spend(&one, 2);
    bench.micros.fetch_sub(3_600_000_000, Ordering::Relaxed);
    assert_eq!(
        bench.decide(&one)[0].retry_after,
        Some(Duration::from_secs(1))
    );
    bench.micros.fetch_add(1_000_000, Ordering::Relaxed);
    assert!(bench.decide(&one)[0].is_allowed());
}

#[test]
fn answers_that_no_script_gives_are_refused() {
    for reply in [
        &[][..],
        &[1],
        &[1, 2, 3],
        &[-2, 0],
        &[1, -1],
        &[i64::MAX, 0],
    ] {
        assert!(spent(reply, 1).is_err(), "{reply:?}");
    }
    assert_eq!(spent(&[-1], 1).unwrap(), Spent::OtherGeneration);
}
