//! Load at a constant rate: a call is sent when its time has come, whether or not earlier ones have
//! been answered, and its latency counts from that time. So a server that stalls can't hide it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use testkit::{
    http::{RawConnection, request},
    latency::Latencies,
};

/// How many connections share the rate.
const CONNECTIONS: u32 = 64;

/// Latencies in milliseconds, and whether the rate was kept.
pub(crate) struct Measured {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The share of calls that were sent, of those that were due.
    pub(crate) kept: f64,
}

/// Sends GETs of a list of `path token` at so many a second.
pub(crate) fn run(address: SocketAddr, list: &Path, rate: f64, seconds: u32) -> Result<Measured> {
    let requests: Vec<String> = fs::read_to_string(list)?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(path, token)| request("GET", path, token, "", ""))
        .collect();
    ensure!(
        !requests.is_empty() && rate > 0.0,
        "there is nothing to send"
    );
    let gap = Duration::from_secs_f64(1.0 / rate);
    let each = gap.saturating_mul(CONNECTIONS);
    let begin = Instant::now() + Duration::from_millis(100);
    let end = begin + Duration::from_secs(seconds.into());
    let shares: Result<Vec<Latencies>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                let first = begin + gap.saturating_mul(n);
                let own = requests
                    .iter()
                    .cycle()
                    .skip(usize::try_from(n).unwrap_or(0))
                    .step_by(usize::try_from(CONNECTIONS).unwrap_or(1));
                scope.spawn(move || share(address, own, first, each, end))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().ok().context("a thread panicked")?)
            .collect()
    });
    let mut all = Latencies::default();
    for share in shares? {
        all.merge(share);
    }
    let sent = u32::try_from(all.len()).map_or(f64::INFINITY, f64::from);
    let [p50, p99] = all.millis([50, 99]);
    Ok(Measured {
        p50,
        p99,
        kept: sent / (rate * f64::from(seconds)),
    })
}

fn share<'a>(
    address: SocketAddr,
    mut requests: impl Iterator<Item = &'a String>,
    first: Instant,
    each: Duration,
    end: Instant,
) -> Result<Latencies> {
    let mut connection = RawConnection::new(Ipv4Addr::LOCALHOST, address);
    connection.connect()?;
    let mut latencies = Latencies::default();
    let mut due = first;
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = requests.next().context("the list ended")?;
        let status = connection.send(request)?.status;
        ensure!(status == 200, "{status} instead of 200");
        latencies.record(due.elapsed());
        due += each;
        // Far behind, the backlog would go on long after the end; what was not sent is told.
        if Instant::now() > end + Duration::from_secs(5) {
            break;
        }
    }
    Ok(latencies)
}
