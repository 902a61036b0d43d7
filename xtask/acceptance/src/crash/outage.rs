//! Storage that fails under load and comes back: a disk that is full, a PostgreSQL that is restarted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use testkit::{postgres, random::SeededRandom, server::Setup, sqlite};

use super::{
    Args,
    caller::Outcome,
    kills::{Sum, tell},
    load::Progress,
    scenario::{Scenario, unavailable_after},
};

/// How large the small disk is, in MiB, and how much of it is taken at first. What is set free has room for
/// SQLite's log at its usual length: when that alone fills the disk, it can't be moved into the file.
const DISK_MIB: usize = 48;
const BALLAST_MIB: usize = 43;
/// How long the load may take to fill the disk.
const FILL_TIMEOUT: Duration = Duration::from_secs(60);
/// How soon a server must answer again.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an outage lasts once it is noticed.
const OUTAGE_TIME: Duration = Duration::from_millis(1000);
/// How long there must be answers again without any of 503, and how many.
const CALM_TIME: Duration = Duration::from_millis(1000);
const MIN_ANSWERS: usize = 12;

/// Fills the disk under load and makes space again; `None` when there can be no small disk.
pub(crate) fn disk_full(args: &Args) -> Result<Option<bool>> {
    let folder = tempfile::tempdir()?;
    let Some(disk) = Disk::mount(folder.path())? else {
        return Ok(None);
    };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0_u8; BALLAST_MIB << 20])?;
    let mut setup = Setup::new(args.program()?, &disk.0);
    // The log is not part of the data.
    setup.log = folder.path().join("server.log");
    let file = setup.sqlite_file();
    let mut scenario = Scenario::new(setup, None)?;
    let holds = outage(args, &mut scenario, |progress| {
        let start = Instant::now();
        while progress.unavailable.load(Ordering::Relaxed) == 0 {
            ensure!(start.elapsed() < FILL_TIMEOUT, "the disk does not get full");
            sleep(Duration::from_millis(20));
        }
        sleep(OUTAGE_TIME);
        fs::remove_file(&ballast)?;
        Ok(())
    })?;
    let faults = file.map_or_else(Vec::new, |file| sqlite::faults(&file));
    for fault in &faults {
        println!("- {fault}");
    }
    drop(scenario);
    drop(disk);
    Ok(Some(holds && faults.is_empty()))
}

/// Restarts PostgreSQL under load, once for each round, every other time without letting it end what it
/// does; `None` when it is not installed.
pub(crate) fn postgres_restart(args: &Args) -> Result<Option<bool>> {
    let Some(postgres) = postgres::Server::start() else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let url = postgres.new_database();
    let mut setup = Setup::new(args.program()?, folder.path());
    setup.database_url = Some(url.clone());
    let mut scenario = Scenario::new(setup, None)?;
    let mut random = SeededRandom::stream(args.seed, 0);
    let holds = outage(args, &mut scenario, |progress| {
        for round in (0..args.rounds).rev() {
            sleep(random.millis(100, 800));
            if round % 2 == 0 {
                postgres.crash();
            } else {
                postgres.stop();
            }
            // The last one is long enough to be noticed.
            sleep(if round == 0 {
                OUTAGE_TIME
            } else {
                random.millis(0, 300)
            });
            postgres.restart();
            if round > 0 {
                recovered(progress);
            }
        }
        Ok(())
    })?;
    let faults = postgres.faults(&url);
    for fault in &faults {
        println!("- {fault}");
    }
    Ok(Some(holds && faults.is_empty()))
}

/// Has storage fail and come back under load, sees that the server answers again without a restart, and
/// compares; then once more after a kill.
fn outage(
    args: &Args,
    scenario: &mut Scenario,
    fail: impl FnOnce(&Progress) -> Result<()>,
) -> Result<bool> {
    let ((back, recovered), calls) = scenario.work(args.seed, true, |_, progress| {
        fail(progress)?;
        let back = Instant::now();
        Ok((back, recovered(progress)))
    })?;
    let refused = unavailable_after(&calls, back);
    let first_answer = |since: Instant| {
        let good = calls.iter().filter(|call| call.at >= since);
        good.filter(|call| matches!(call.outcome, Outcome::Answered { .. }))
            .map(|call| call.at)
            .min()
    };
    let last = calls
        .iter()
        .filter(|call| matches!(call.outcome, Outcome::Unavailable { .. }))
        .map(|call| call.at)
        .max();
    let Some(last) = last else {
        scenario.findings.push("no call met the outage".to_owned());
        return finish(args, scenario);
    };
    println!(
        "first answer {:.2} s after storage was back, last 503 {:.2} s after it ({refused} in all)",
        first_answer(back).map_or(f64::NAN, |at| (at - back).as_secs_f64()),
        last.saturating_duration_since(back).as_secs_f64(),
    );
    if !recovered {
        scenario
            .findings
            .push("the server does not recover by itself".to_owned());
    }
    if calls
        .iter()
        .any(|call| matches!(call.outcome, Outcome::Unanswered))
    {
        scenario.findings.push("a call was not answered".to_owned());
    }
    finish(args, scenario)
}

/// Waits until there are answers again and none of 503; whether that was in time.
fn recovered(progress: &Progress) -> bool {
    let start = Instant::now();
    let read = || {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (read(&progress.unavailable), read(&progress.answered))
    };
    let (mut since, (mut unavailable, mut answered)) = (start, read());
    while since.elapsed() < CALM_TIME || read().1 < answered + MIN_ANSWERS {
        sleep(Duration::from_millis(20));
        let now = read();
        if now.0 > unavailable {
            (since, (unavailable, answered)) = (Instant::now(), now);
        }
        if start.elapsed() > RECOVERY_TIMEOUT + CALM_TIME {
            return false;
        }
    }
    true
}

fn finish(args: &Args, scenario: &mut Scenario) -> Result<bool> {
    scenario.compare(false)?;
    scenario.restart()?;
    scenario.compare(true)?;
    let mut sum = Sum::default();
    sum.add(&scenario.tally);
    println!("{sum}");
    if !scenario.findings.is_empty() {
        tell(scenario, args.seed, 1);
        println!("{}", fs::read_to_string(&scenario.setup.log)?);
    }
    Ok(scenario.findings.is_empty())
}

/// A small file system in memory; it is taken away with this.
struct Disk(PathBuf);

impl Disk {
    /// Mounts it below a folder; `None`, said loudly, where that is not allowed.
    fn mount(below: &Path) -> Result<Option<Self>> {
        let folder = below.join("disk");
        fs::create_dir(&folder)?;
        let mounted = mount(
            &["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "crash"],
            &folder,
        )?;
        if !mounted {
            println!("a tmpfs can't be mounted here: this needs root");
        }
        Ok(mounted.then_some(Self(folder)))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("{} is still mounted", self.0.display());
        }
    }
}

fn mount(args: &[&str], folder: &Path) -> Result<bool> {
    match Command::new("mount").args(args).arg(folder).status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
