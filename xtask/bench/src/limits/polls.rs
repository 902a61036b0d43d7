//! Polls of an org's status on all instances at once, by one key whose limit is out of the way, and what each
//! costs the PostgreSQL and the Redis that they share.

use std::{cell::Cell, path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use testkit::{http::text, server::Server};

use super::{
    INSTANCES,
    instances::{Asked, Instances, Kept},
};
use crate::performance::{
    lab::Lab,
    report::Spread,
    wrk::{self, Load, Sample},
};

/// How many connections there are to all instances together.
const CONNECTIONS: u32 = 64;
/// What the leased mode must reach of the exact one.
const OVER_EXACT: f64 = 2.0;
/// What the leased mode must reach of one process without Redis.
const OVER_ONE: f64 = 0.9;
/// What two processes must reach of one, each without Redis.
const TWO_OVER_ONE: f64 = 0.9;
/// After this PostgreSQL's sessions have reported what they did.
const REPORTED: Duration = Duration::from_millis(1500);

/// One side of the comparison, and what it answered in each round.
struct Side {
    kept: Kept,
    instances: Instances,
    list: PathBuf,
    rates: Vec<f64>,
    p99: Vec<f64>,
    /// Of all rounds.
    calls: f64,
    before: Asked,
}

/// Measures all sides in turn, and prints a table.
pub(crate) fn run(root: PathBuf, own: PathBuf, seconds: u32, rounds: u32) -> Result<bool> {
    wrk::is_there()?;
    let scratch = tempfile::tempdir()?;
    let lab = Lab {
        root,
        own,
        kept: scratch.path().to_owned(),
        scratch: scratch.path().to_owned(),
        rounds,
        seconds,
        quick: false,
        born: 0,
        named: Cell::new(0),
    };
    let sides = [
        (Kept::Memory, 1),
        (Kept::Memory, 2),
        (Kept::Memory, INSTANCES),
        (Kept::Exact, 1),
        (Kept::Exact, 2),
        (Kept::Exact, INSTANCES),
        (Kept::Exact, INSTANCES + 1),
        (Kept::Leased, INSTANCES),
    ];
    let sides = sides.map(|(kept, count)| Side::start(&lab, kept, count));
    let mut sides = sides.into_iter().collect::<Result<Vec<Side>>>()?;
    for side in &sides {
        side.load(&lab, 1)?;
    }
    thread::sleep(REPORTED);
    for side in &mut sides {
        side.before = side.instances.asked()?;
    }
    for round in 0..rounds {
        let mut turns: Vec<&mut Side> = sides.iter_mut().collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for side in turns {
            let samples = side.load(&lab, seconds)?;
            let calls = samples.iter().map(|sample| u32::try_from(sample.requests));
            let calls = calls.collect::<Result<Vec<_>, _>>()?;
            side.calls += calls.into_iter().map(f64::from).sum::<f64>();
            side.rates
                .push(samples.iter().map(Sample::per_second).sum());
            let worst = samples.iter().map(|sample| sample.p99_us / 1000.0);
            side.p99.push(worst.fold(0.0, f64::max));
        }
    }
    thread::sleep(REPORTED);
    println!(
        "| limits | instances | polls/s, median | p99, median | for each 1 000 polls: transactions of PostgreSQL \
         | scripts of Redis | their time |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut medians = Vec::new();
    for side in &sides {
        let rate = median(&side.rates)?;
        let asked = side.instances.asked()?;
        let for_each = |now: f64, before: f64| (now - before) * 1000.0 / side.calls;
        println!(
            "| {} | {} | {rate:.0} | {:.1} ms | {:.1} | {:.1} | {:.2} ms |",
            side.kept.name(),
            side.instances.servers.len(),
            median(&side.p99)?,
            for_each(asked.transactions, side.before.transactions),
            for_each(asked.scripts, side.before.scripts),
            for_each(asked.script_micros, side.before.script_micros) / 1000.0,
        );
        medians.push(rate);
    }
    let [one, two, _, _, _, exact, _, leased] = medians.as_slice() else {
        bail!("a side is missing")
    };
    let (over_exact, over_one, two) = (leased / exact, leased / one, two / one);
    println!("\nleased over exact: {over_exact:.2} (at least {OVER_EXACT})");
    println!("leased over one process without Redis: {over_one:.2} (at least {OVER_ONE})");
    println!("two processes over one, without Redis: {two:.2} (at least {TWO_OVER_ONE})\n");
    Ok(over_exact >= OVER_EXACT && over_one >= OVER_ONE && two >= TWO_OVER_ONE)
}

fn median(values: &[f64]) -> Result<f64> {
    Ok(Spread::of(values).context("nothing was measured")?.median)
}

impl Side {
    fn start(lab: &Lab, kept: Kept, count: u32) -> Result<Self> {
        let instances = Instances::start(kept, count)?;
        let first = instances.servers.first().context("there is no instance")?;
        let line = org(first)?;
        Ok(Self {
            kept,
            list: lab.list(&[line])?,
            before: instances.asked()?,
            instances,
            rates: Vec::new(),
            p99: Vec::new(),
            calls: 0.0,
        })
    }

    /// Loads all instances at the same time.
    fn load(&self, lab: &Lab, seconds: u32) -> Result<Vec<Sample>> {
        let servers = &self.instances.servers;
        let each = CONNECTIONS / u32::try_from(servers.len())?.max(1);
        let load = |server: &Server| Load {
            address: server.address,
            connections: each,
            script: "get.lua",
            args: vec![self.list.display().to_string()],
            refused: false,
        };
        let scripts = lab.root.clone();
        thread::scope(|scope| {
            let running = servers.iter().map(|server| {
                let (load, root) = (load(server), &scripts);
                scope.spawn(move || load.run_in(root, seconds))
            });
            let running: Vec<_> = running.collect();
            let samples = running.into_iter();
            samples
                .map(|load| load.join().ok().context("a load has panicked")?)
                .collect()
        })
    }
}

/// `path` and `token` of the status of an org that is ready.
fn org(server: &Server) -> Result<(String, String)> {
    let key = server.key(json!({"scopes": ["orgs:create", "orgs:list"]}))?;
    let caller = server.client(&key.secret);
    let request = json!({"name": "an org", "slug": "an-org", "plan": "free"});
    let created = caller.post("/cp/orgs", &request)?.expect(201)?;
    let path = format!("/cp/orgs/{}/status", text(&created, "/id")?);
    for _ in 0..200 {
        if caller.get(&path)?.text("/status").as_deref() == Some("ready") {
            return Ok((path, key.secret));
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("the org does not become ready")
}
