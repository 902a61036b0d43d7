//! A good tenant's latencies beside attacks on what all callers share. `docs/security.md` has the table.
//!
//! For each attack a server of its own is started. A tenant polls an org's status and creates orgs at a
//! constant rate: first alone, then beside the attack, then after its end. The tenant calls from another
//! loopback address than the attackers, as its own clients would, unless the attack is about the address.

mod attacks;
mod server;
mod tail;
mod tenant;

use std::time::Duration;

use anyhow::{Result, ensure};

use self::{
    attacks::Attack,
    server::Server,
    tenant::{Measured, Tenant},
};
use crate::engine::Engine;

/// How many times its quiet p99 a call of the tenant may take beside an attack.
const FACTOR: f64 = 3.0;
/// The p99 is compared with at least this: below it, a factor says more of the scheduler than of us.
const LEAST_MILLIS: f64 = 1.0;
/// How long the tenant may take to be as quick as before.
const RECOVERY: Duration = Duration::from_secs(2);

/// What `isolation` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The engines to measure on; both unless named.
    #[arg(long, value_enum)]
    engine: Vec<Engine>,
    /// The attacks to run; all unless named.
    #[arg(long, value_enum)]
    attack: Vec<Attack>,
    /// How long each attack goes on, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How long the tenant is measured alone before, in seconds.
    #[arg(long, default_value_t = 10)]
    quiet: u64,
    /// Follow the audit log for `--seconds` on two instances under load instead.
    #[arg(long)]
    tail: bool,
    /// From how many connections each attack comes.
    #[arg(long, default_value_t = 256)]
    connections: usize,
}

/// What was seen beside one attack.
struct Row {
    attack: Attack,
    engine: Engine,
    quiet: Measured,
    beside: Measured,
    /// Until the tenant was as quick as before; `None` when it never was.
    recovery: Option<Duration>,
    /// What the attackers got: a status, or 0 for a connection that was closed, and how often.
    answers: String,
    /// Resident memory at the most, in MiB.
    memory: u64,
}

/// Measures, prints a table and tells whether all of it is good enough.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let all = |chosen: &[Attack]| match chosen {
        [] => Attack::ALL.to_vec(),
        chosen => chosen.to_vec(),
    };
    let engines = match args.engine.as_slice() {
        [] => vec![Engine::Sqlite, Engine::Postgres],
        chosen => chosen.to_vec(),
    };
    if args.tail {
        let mut holds = true;
        for &engine in &engines {
            holds &= tail::run(engine, Duration::from_secs(args.seconds))?;
        }
        return Ok(holds);
    }
    println!(
        "| attack | engine | poll p99 quiet → beside, ms | creation p99 quiet → beside, ms | longest until ready, ms | other answers \
         than success | quiet again after | memory | the attackers' answers |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut holds = true;
    for &engine in &engines {
        for attack in all(&args.attack) {
            let row = measure(args, engine, attack)?;
            println!("{row}");
            holds &= row.holds();
        }
    }
    Ok(holds)
}

fn measure(args: &Args, engine: Engine, attack: Attack) -> Result<Row> {
    let server = Server::start(engine)?;
    let tenant = Tenant::new(&server)?;
    let plan = attack.prepare(&server, args.connections)?;
    let quiet = tenant.measure(Duration::from_secs(args.quiet))?;
    ensure!(quiet.others == 0, "the tenant is refused when it is alone");
    let length = Duration::from_secs(args.seconds);
    let (beside, attackers) = plan.run(length, || tenant.measure(length))?;
    let recovery = tenant.until_quick(quiet.poll_p99.max(LEAST_MILLIS) * FACTOR)?;
    Ok(Row {
        attack,
        engine,
        quiet,
        beside: beside?,
        recovery,
        answers: attackers,
        memory: server.peak_memory()?,
    })
}

impl Row {
    fn holds(&self) -> bool {
        let quick = |quiet: f64, beside: f64| beside <= quiet.max(LEAST_MILLIS) * FACTOR;
        quick(self.quiet.poll_p99, self.beside.poll_p99)
            && quick(self.quiet.creation_p99, self.beside.creation_p99)
            && self.beside.others == 0
            && self.recovery.is_some_and(|time| time <= RECOVERY)
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let recovery = self.recovery.map_or("never".to_owned(), |time| {
            format!("{:.1} s", time.as_secs_f64())
        });
        write!(
            f,
            "| {} | {} | {:.1} → {:.1} | {:.1} → {:.1} | {:.0} → {:.0} | {} | {recovery} | {} MiB | {} |",
            self.attack.describe(),
            self.engine.name(),
            self.quiet.poll_p99,
            self.beside.poll_p99,
            self.quiet.creation_p99,
            self.beside.creation_p99,
            self.quiet.ready_max,
            self.beside.ready_max,
            self.beside.others,
            self.memory,
            self.answers,
        )
    }
}
