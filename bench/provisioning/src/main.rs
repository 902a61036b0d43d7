//! Orgs under the provisioner `exec`, with a program that fails at random and a server that is killed
//! all the time. `docs/provisioning.md` has the figures.
//!
//! It ends with exit code 1 when an org is left in between, was worked on by two programs at a time, or
//! left something behind.

mod client;
mod server;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::{
    client::Client,
    server::{ADMIN_KEY, Killer, Setup},
};

/// Makes and deletes orgs with a program that fails at random and a server that is killed all the time.
#[derive(Parser)]
#[command(name = "bench-provisioning")]
struct Args {
    /// How many orgs
    #[arg(long, default_value_t = 1000)]
    orgs: u32,
    /// How many in a hundred calls of the program fail
    #[arg(long, default_value_t = 30)]
    fails: u32,
    /// How often the server is killed, in milliseconds
    #[arg(long, default_value_t = 1000)]
    kill_every: u64,
    /// How many programs run at once
    #[arg(long, default_value_t = 8)]
    at_once: u32,
    /// A database instead of SQLite
    #[arg(long)]
    database_url: Option<String>,
    /// After how many seconds to give up
    #[arg(long, default_value_t = 1800)]
    patience: u64,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("provision");
    fs::write(&program, include_str!("provision.sh"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    for name in ["made", "running", "calls"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let numbers = (args.at_once, args.fails);
    let setup = Setup::new(folder.path(), &program, numbers, args.database_url.clone())?;
    let url = setup.url();
    let killer = Killer::start(setup, Duration::from_millis(args.kill_every));
    let holds = chaos(&args, folder.path(), &url, &killer)?;
    killer.stop()?;
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn chaos(args: &Args, folder: &Path, url: &str, killer: &Killer) -> Result<bool> {
    let key = issue(url)?;
    let client = Client::new(url, &key);
    let began = Instant::now();
    let mut ids = BTreeSet::new();
    for n in 0..args.orgs {
        let body = json!({"name": "chaos", "slug": format!("chaos-{n}"), "plan": "free"});
        let once = format!("chaos-{n}");
        let (status, org) = client.call(&Method::POST, "/cp/orgs", &once, &body.to_string())?;
        ensure!(status == 201, "{status}: {org}");
        ids.insert(text(&org, "/id")?);
    }
    println!(
        "{} orgs were asked for within {:.0?}",
        ids.len(),
        began.elapsed()
    );
    settle(args, &client, killer, "provisioning")?;
    println!(
        "all are settled after {:.0?}, {} kills",
        began.elapsed(),
        killer.kills()
    );

    let orgs = client.orgs("")?;
    let (mut ready, mut failed, mut silent) = (BTreeSet::new(), 0, 0);
    for org in &orgs {
        match text(org, "/status")?.as_str() {
            "ready" => drop(ready.insert(text(org, "/id")?)),
            "failed" => {
                failed += 1;
                silent += u32::from(text(org, "/failure/message")?.is_empty());
            }
            other => bail!("{other}: {org}"),
        }
    }
    let made = names(&folder.join("made"))?;
    println!(
        "{} ready, {failed} failed, {silent} of them without a reason",
        ready.len()
    );
    let mut holds = orgs.len() == ids.len() && silent == 0;
    holds &= report(
        "ready orgs without their folder",
        ready.difference(&made).count(),
    );
    holds &= report("folders of no org", made.difference(&ids).count());

    let began = Instant::now();
    for id in &ids {
        let (status, answer) = client.call(&Method::DELETE, &format!("/cp/orgs/{id}"), "", "")?;
        ensure!(status == 202 || status == 204, "{status}: {answer}");
    }
    settle(args, &client, killer, "deprovisioning")?;
    println!(
        "all are deleted after {:.0?}, {} kills",
        began.elapsed(),
        killer.kills()
    );
    holds &= client.orgs("&status=deleted")?.len() == ids.len();
    holds &= report("folders left behind", names(&folder.join("made"))?.len());
    let overlaps = fs::read_to_string(folder.join("overlaps")).unwrap_or_default();
    holds &= report(
        "programs beside another of the same org",
        overlaps.lines().count(),
    );
    println!("{} calls of the program", calls(&folder.join("calls"))?);
    Ok(holds)
}

/// A key that may do everything, as often as it likes.
fn issue(url: &str) -> Result<String> {
    let admin = Client::new(url, ADMIN_KEY);
    let body = json!({
        "name": "chaos",
        "scopes": ["orgs:create", "orgs:list", "orgs:delete"],
        "rate_limit": {"limit": 100_000_000, "window_seconds": 1},
    });
    let path = "/cp/admin/partner-keys";
    let (_, key) = admin.call(&Method::POST, path, "the-key", &body.to_string())?;
    text(&key, "/key")
}

/// Waits until no org has this status any more.
fn settle(args: &Args, client: &Client, killer: &Killer, status: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let path = format!("/cp/orgs?limit=1&status={status}");
        let (_, page) = client.call(&Method::GET, &path, "", "")?;
        if page.pointer("/data") == Some(&json!([])) {
            return Ok(());
        }
        ensure!(!killer.gave_up(), "the server does not start any more");
        ensure!(
            began.elapsed() < Duration::from_secs(args.patience),
            "orgs are still {status}: {page}"
        );
        sleep(Duration::from_millis(200));
    }
}

fn report(what: &str, count: usize) -> bool {
    println!("{count} {what}");
    count == 0
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn calls(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for name in names(folder)? {
        count += fs::read_to_string(folder.join(name))?.lines().count();
    }
    Ok(count)
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("no {pointer} in {value}"))?
        .to_owned())
}
