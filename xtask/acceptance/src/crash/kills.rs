//! Rounds: load, a kill at a random moment, which may be a power failure too, a restart, the comparison.

use std::{thread::sleep, time::Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use testkit::{postgres, random::SeededRandom, server::Setup, sqlite};

use super::{
    Args, Engine,
    disk::{Cut, Disk},
    scenario::{Scenario, Tally},
};

/// After how many rounds the data is deleted and a new scenario begun.
const ROUNDS_PER_SCENARIO: u64 = 50;
/// One of so many rounds kills PostgreSQL too.
const POSTGRES_KILL_INTERVAL: u64 = 4;

/// In so many power failures some writes must be lost; in a few there may be none that could be.
const MIN_POWER_FAILURES: u64 = 10;

/// The data of one scenario; it is deleted with this, unless something was found.
struct Storage {
    folder: TempDir,
    postgres: Option<(postgres::Server, String)>,
}

impl Storage {
    fn new(engine: Engine) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => match postgres::Server::start() {
                None => return Ok(None),
                Some(server) => {
                    let url = server.new_database();
                    Some((server, url))
                }
            },
        };
        Ok(Some(Self { folder, postgres }))
    }

    fn setup(&self, args: &Args) -> Result<Setup> {
        let mut setup = Setup::new(args.program()?, self.folder.path());
        setup.database_url = self.postgres.as_ref().map(|(_, url)| url.clone());
        Ok(setup)
    }
}

/// What became of all rounds; `None` when the engine, or `strace` where the power is to fail, is not
/// there.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    ensure!(
        !args.power || matches!(args.engine, Engine::Sqlite),
        "--power is for SQLite: the files of PostgreSQL are its own to keep"
    );
    let start = Instant::now();
    let mut random = SeededRandom::stream(args.seed, 0);
    let mut sum = Sum::default();
    let mut cuts = Cut::default();
    let mut round = 0;
    while round < args.rounds {
        let Some(storage) = Storage::new(args.engine)? else {
            return Ok(None);
        };
        let disk = if args.power {
            let Some(disk) = Disk::new(storage.folder.path()) else {
                return Ok(None);
            };
            Some(disk)
        } else {
            None
        };
        let mut scenario = Scenario::new(storage.setup(args)?, disk)?;
        let last = args.rounds.min(round + ROUNDS_PER_SCENARIO);
        while round < last && scenario.findings.is_empty() {
            let seed = args.seed ^ (round << 20);
            let cut = one(&mut scenario, &storage, seed, round, &mut random)?;
            cuts.kept += cut.kept;
            cuts.lost += cut.lost;
            round += 1;
        }
        // What was sent again is compared too, and then all there is.
        scenario.restart()?;
        scenario.compare(true)?;
        scenario.findings.extend(faults(&scenario, &storage)?);
        sum.add(&scenario.tally);
        println!(
            "{round} rounds, {:.1} s: {sum}",
            start.elapsed().as_secs_f64()
        );
        if args.power {
            let Cut { kept, lost } = cuts;
            println!(
                "of the writes that were not synced {kept} were there after all, {lost} were not"
            );
        }
        if !scenario.findings.is_empty() {
            tell(&scenario, args.seed, round);
            let kept = storage.folder.keep();
            println!("the data are in {}", kept.display());
            return Ok(Some(false));
        }
    }
    ensure!(
        sum.0.answered > 0 && sum.0.unanswered > 0,
        "nothing was tried"
    );
    ensure!(
        !args.power || cuts.lost > 0 || args.rounds < MIN_POWER_FAILURES,
        "no write was lost"
    );
    Ok(Some(true))
}

fn one(
    scenario: &mut Scenario,
    storage: &Storage,
    seed: u64,
    round: u64,
    random: &mut SeededRandom,
) -> Result<Cut> {
    let until = match scenario.disk {
        None => random.millis(50, 800),
        // Long enough for the log to be moved into the file and to begin anew, under a trace.
        Some(_) => random.millis(100, 4000),
    };
    let with_postgres = round % POSTGRES_KILL_INTERVAL == 1;
    let postgres = storage.postgres.as_ref().map(|(server, _)| server);
    let crashed = postgres.filter(|_| with_postgres);
    let between = random.millis(0, 30);
    scenario.work(seed, crashed.is_some(), |server, _| {
        sleep(until);
        if let Some(postgres) = crashed {
            postgres.crash();
            sleep(between);
        }
        Ok(server.kill()?)
    })?;
    if let Some(postgres) = crashed {
        postgres.restart();
    }
    if let Some(postgres) = postgres {
        wait_for_backends(postgres);
    }
    let cut = match &scenario.disk {
        Some(disk) => disk.cut(&scenario.setup.data, scenario.server.id(), random)?,
        None => Cut::default(),
    };
    scenario.restart()?;
    scenario.compare(false)?;
    if postgres.is_none() || crashed.is_some() {
        scenario.findings.extend(faults(scenario, storage)?);
    }
    Ok(cut)
}

/// A transaction whose client was killed may still be committing.
fn wait_for_backends(postgres: &postgres::Server) {
    postgres.sql(
        "do $$ begin
            for n in 1..500 loop
                exit when not exists (
                    select from pg_stat_activity
                    where backend_type = 'client backend' and pid <> pg_backend_pid()
                );
                perform pg_sleep(0.01);
                perform pg_stat_clear_snapshot();
            end loop;
        end $$",
    );
}

/// What the engine finds wrong with its own files.
fn faults(scenario: &Scenario, storage: &Storage) -> Result<Vec<String>> {
    match (&storage.postgres, scenario.setup.sqlite_file()) {
        (Some((server, url)), _) => Ok(server.faults(url)),
        (None, Some(file)) => Ok(sqlite::faults(&file)),
        (None, None) => Ok(Vec::new()),
    }
}

/// Prints what was found.
pub(crate) fn tell(scenario: &Scenario, seed: u64, round: u64) {
    println!("FOUND with seed {seed} by round {round}:");
    for finding in &scenario.findings {
        println!("- {finding}");
    }
    println!("the log is {}", scenario.setup.log.display());
}

#[derive(Default)]
pub(crate) struct Sum(pub(crate) Tally);

impl Sum {
    pub(crate) fn add(&mut self, tally: &Tally) {
        let sum = &mut self.0;
        sum.answered += tally.answered;
        sum.unavailable += tally.unavailable;
        sum.unanswered += tally.unanswered;
        sum.carried_out += tally.carried_out;
        sum.events += tally.events;
        sum.sent_again += tally.sent_again;
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally {
            answered,
            unavailable,
            unanswered,
            carried_out,
            events,
            sent_again,
        } = &self.0;
        write!(
            f,
            "{answered} calls answered, {unavailable} with 503, {unanswered} not; {carried_out} \
             changes made without an answer; {events} events read; {sent_again} creations sent again"
        )
    }
}
