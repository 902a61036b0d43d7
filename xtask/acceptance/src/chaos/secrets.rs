//! The outputs and secrets of orgs whose program fails at random while the server is killed all the time: each
//! org ends with those of its last run that went well, never with a mix of two, and no secret stands anywhere
//! in plain text. `xtask/acceptance/NOTES.md` has the figures.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    http::{Client, text},
    postgres,
    server::{self, Setup},
};

use super::{
    Args, call, issue,
    killer::{Killer, free_address},
    list, report, wait_until_none,
};

/// What every secret begins with.
const MARK: &str = "Zq81xWm5hunter2";
/// How often the secrets of each org are rotated.
const ROTATIONS: u32 = 2;

/// Tries it on SQLite and on a PostgreSQL of its own, or on the database that is named; `None` where that is not
/// installed and SQLite holds.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    if let Some(url) = &args.database_url {
        return Ok(Some(on(args, Some(url), None)?));
    }
    println!("SQLite");
    let mut holds = on(args, None, None)?;
    let Some(postgres) = postgres::Server::start() else {
        println!("there is no PostgreSQL here");
        return Ok((!holds).then_some(false));
    };
    println!("PostgreSQL");
    let url = postgres.new_database();
    holds &= on(args, Some(&url), Some(&postgres))?;
    Ok(Some(holds))
}

fn on(args: &Args, url: Option<&str>, postgres: Option<&postgres::Server>) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("provision");
    fs::write(&program, include_str!("secrets.sh"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    for name in ["runs", "done"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let address = free_address()?;
    let mut setup = Setup::new(server::program()?, folder.path())
        .with("LISTEN", &address)
        .with("PROVISIONER", "exec")
        .with("PROVISIONER_EXEC", program)
        .with("PROVISIONER_AT_ONCE", args.at_once.to_string())
        .with("PROVISIONER_ENV", "FOLDER,FAILS,MARK")
        .with_env("FOLDER", folder.path())
        .with_env("FAILS", args.fails.to_string())
        .with_env("MARK", MARK);
    setup.database_url = url.map(str::to_owned);
    let log = setup.log.clone();
    let mut stored = vec![setup.data.clone()];
    let killer = Killer::start(setup, Duration::from_millis(args.kill_every));
    let scopes = ["orgs:create", "orgs:list", "orgs:secrets"];
    let key = issue(&format!("http://{address}"), &scopes)?;
    let scenario = Scenario {
        args,
        folder: folder.path(),
        client: Client::new(&format!("http://{address}"), &key),
        killer: &killer,
    };
    let mut holds = scenario.run()?;
    killer.stop()?;
    if let Some(postgres) = postgres {
        postgres.ask(url.unwrap_or_default(), "checkpoint");
        stored.push(postgres.folder().to_owned());
    }
    stored.push(log);
    holds &= report("places with a secret in plain text", plain(stored)?.len());
    Ok(holds)
}

struct Scenario<'a> {
    args: &'a Args,
    folder: &'a Path,
    client: Client,
    killer: &'a Killer,
}

impl Scenario<'_> {
    fn run(&self) -> Result<bool> {
        let began = Instant::now();
        let mut ids = Vec::new();
        for n in 0..self.args.orgs {
            let slug = format!("chaos-{n}");
            let body = json!({"name": "chaos", "slug": slug, "plan": "free"});
            let org = self.post("/cp/orgs", &slug, &body, 201)?;
            ids.push(text(&org, "/id")?.to_owned());
        }
        self.settled("provisioning")?;
        for rotation in 0..ROTATIONS {
            for org in list(&self.client, "&status=ready")? {
                let id = text(&org, "/id")?;
                let path = format!("/cp/orgs/{id}/rotate-secrets");
                self.post(&path, &format!("{rotation}-{id}"), &json!({}), 202)?;
            }
            self.settled("updating")?;
        }
        println!(
            "{} orgs, {} kills, {:.0?}",
            ids.len(),
            self.killer.kills(),
            began.elapsed()
        );
        let mut counts = Counts::default();
        for id in &ids {
            self.check(id, &mut counts)?;
        }
        counts.print()
    }

    fn settled(&self, status: &str) -> Result<()> {
        wait_until_none(self.args, &self.client, self.killer, status)
    }

    fn post(&self, path: &str, once: &str, body: &Value, expect: u16) -> Result<Value> {
        let headers = [("idempotency-key", once)];
        let (status, answer) = call(&self.client, "POST", path, &headers, &body.to_string())?;
        ensure!(status == expect, "{path}: {status}: {answer}");
        Ok(answer)
    }

    /// Compares what an org has with what its runs have handed back.
    fn check(&self, id: &str, counts: &mut Counts) -> Result<()> {
        let (_, org) = call(&self.client, "GET", &format!("/cp/orgs/{id}"), &[], "")?;
        let (_, secrets) = call(
            &self.client,
            "GET",
            &format!("/cp/orgs/{id}/secrets"),
            &[],
            "",
        )?;
        let done = fs::read_to_string(self.folder.join("done").join(id)).unwrap_or_default();
        let good: Vec<&str> = done.lines().collect();
        let failure = org.pointer("/failure/message").and_then(Value::as_str);
        counts.leaks += u32::from(failure.is_some_and(|text| text.contains(MARK)));
        counts.failed += u32::from(failure.is_some());
        let output = org.pointer("/outputs/run").and_then(Value::as_str);
        let member = |name: &str| {
            let value = secrets.pointer(&format!("/secrets/{name}"));
            value.and_then(Value::as_str)
        };
        let Some(run) = output else {
            counts.mixed += u32::from(member("password").is_some());
            // Whatever a run hands back is there as soon as the org is ready.
            counts.missing += u32::from(text(&org, "/status")? != "failed");
            return Ok(());
        };
        let password = format!("{MARK}-{id}-{run}");
        let is_one = member("password") == Some(&password) && member("number") == Some(run);
        counts.mixed += u32::from(!is_one);
        counts.unknown += u32::from(!good.contains(&run));
        // A run whose server was killed before it could write that down counts when nothing went wrong after.
        let is_last = good.last() == Some(&run);
        counts.outdated += u32::from(failure.is_none() && !is_last);
        counts.whole += u32::from(is_one && is_last);
        Ok(())
    }
}

/// How many orgs there are of each kind.
#[derive(Default)]
struct Counts {
    whole: u32,
    failed: u32,
    mixed: u32,
    missing: u32,
    unknown: u32,
    outdated: u32,
    leaks: u32,
}

impl Counts {
    fn print(&self) -> Result<bool> {
        println!(
            "{} with what their last good run handed back, {} with a failure",
            self.whole, self.failed
        );
        let mut holds = self.whole > 0;
        for (what, count) in [
            ("with a mix of two runs", self.mixed),
            ("ready without outputs", self.missing),
            ("with what no good run handed back", self.unknown),
            ("with an earlier run's, and no failure since", self.outdated),
            ("failures that show a secret", self.leaks),
        ] {
            holds &= report(what, usize::try_from(count).context("too many")?);
        }
        Ok(holds)
    }
}

/// The files that hold the mark of a secret.
fn plain(mut places: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    while let Some(path) = places.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                places.push(entry?.path());
            }
            continue;
        }
        // A file of the database may be removed meanwhile.
        let bytes = fs::read(&path).unwrap_or_default();
        if bytes
            .windows(MARK.len())
            .any(|part| part == MARK.as_bytes())
        {
            println!("{}", path.display());
            found.push(path);
        }
    }
    Ok(found)
}
