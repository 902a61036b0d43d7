//! Load at a constant rate: a call is sent when its time has come, whether or not earlier ones have
//! been answered, and its latency counts from that time. So a server that stalls can't hide it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// How many connections share the rate.
const CONNECTIONS: u32 = 64;

/// Latencies in milliseconds, and whether the rate was kept.
pub(crate) struct Seen {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The share of calls that were sent, of those that were due.
    pub(crate) kept: f64,
}

/// Sends GETs of a list of `path token` at so many a second.
pub(crate) fn run(address: SocketAddr, list: &Path, rate: f64, seconds: u32) -> Result<Seen> {
    let requests: Vec<String> = fs::read_to_string(list)?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(path, token)| {
            format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
        })
        .collect();
    ensure!(
        !requests.is_empty() && rate > 0.0,
        "there is nothing to send"
    );
    let gap = Duration::from_secs_f64(1.0 / rate);
    let each = gap.saturating_mul(CONNECTIONS);
    let begin = Instant::now() + Duration::from_millis(100);
    let end = begin + Duration::from_secs(seconds.into());
    let shares: Result<Vec<Vec<Duration>>> = thread::scope(|scope| {
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
    let mut all: Vec<Duration> = shares?.into_iter().flatten().collect();
    all.sort_unstable();
    let at = |share: usize| {
        let index = all.len().saturating_mul(share) / 100;
        let found = all.get(index).or(all.last());
        found.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    };
    let sent = u32::try_from(all.len()).map_or(f64::INFINITY, f64::from);
    Ok(Seen {
        p50: at(50),
        p99: at(99),
        kept: sent / (rate * f64::from(seconds)),
    })
}

fn share<'a>(
    address: SocketAddr,
    mut requests: impl Iterator<Item = &'a String>,
    first: Instant,
    each: Duration,
    end: Instant,
) -> Result<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = BufReader::new(stream);
    let mut latencies = Vec::new();
    let mut due = first;
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = requests.next().context("the list ended")?;
        stream.get_mut().write_all(request.as_bytes())?;
        answer(&mut stream)?;
        latencies.push(due.elapsed());
        due += each;
        // Far behind, the backlog would go on long after the end; what was not sent is told.
        if Instant::now() > end + Duration::from_secs(5) {
            break;
        }
    }
    Ok(latencies)
}

/// Reads one answer, which must be a success.
fn answer(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    let mut length = 0;
    stream.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200"), "not a success: {line:?}");
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the server hung up");
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(())
}
