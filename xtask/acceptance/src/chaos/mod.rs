//! Orgs under the provisioner `exec`, with a program that fails at random and a server that is killed
//! all the time. `xtask/acceptance/NOTES.md` has the figures.
//!
//! It ends with exit code 1 when an org is left in between, was worked on by two programs at a time, or
//! left something behind.

mod killer;
pub(crate) mod secrets;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{
    http::{Client, text},
    server::{self, ADMIN_KEY, Setup, unlimited},
};

use self::killer::{Killer, free_address};

/// How long one call may be tried.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait until a server that is down may be up again.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// How often to look whether any org is still worked on.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What `chaos` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
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
    timeout: u64,
}

/// Creates and deletes the orgs, prints what came of it and tells whether all is as it should be.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("provision");
    fs::write(&program, include_str!("provision.sh"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    for name in ["created", "running", "calls"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let address = free_address()?;
    let mut setup = Setup::new(server::program()?, folder.path())
        .with("LISTEN", &address)
        .with("PROVISIONER", "exec")
        .with("PROVISIONER_EXEC", program)
        .with("PROVISIONER_AT_ONCE", args.at_once.to_string())
        .with("PROVISIONER_ENV", "FOLDER,FAILS")
        .with_env("FOLDER", folder.path())
        .with_env("FAILS", args.fails.to_string());
    setup.database_url.clone_from(&args.database_url);
    let killer = Killer::start(setup, Duration::from_millis(args.kill_every));
    let holds = chaos(args, folder.path(), &format!("http://{address}"), &killer)?;
    killer.stop()?;
    Ok(holds)
}

fn chaos(args: &Args, folder: &Path, url: &str, killer: &Killer) -> Result<bool> {
    let key = issue(url, &["orgs:create", "orgs:list", "orgs:delete"])?;
    let client = Client::new(url, &key);
    let began = Instant::now();
    let mut ids = BTreeSet::new();
    for n in 0..args.orgs {
        let slug = format!("chaos-{n}");
        let body = json!({"name": "chaos", "slug": slug, "plan": "free"}).to_string();
        let (status, org) = call(
            &client,
            "POST",
            "/cp/orgs",
            &[("idempotency-key", &slug)],
            &body,
        )?;
        ensure!(status == 201, "{status}: {org}");
        ids.insert(text(&org, "/id")?.to_owned());
    }
    println!(
        "{} orgs were asked for within {:.0?}",
        ids.len(),
        began.elapsed()
    );
    wait_until_none(args, &client, killer, "provisioning")?;
    println!(
        "all are ready or failed after {:.0?}, {} kills",
        began.elapsed(),
        killer.kills()
    );

    let orgs = list(&client, "")?;
    let (mut ready, mut failed, mut silent) = (BTreeSet::new(), 0, 0);
    for org in &orgs {
        match text(org, "/status")? {
            "ready" => drop(ready.insert(text(org, "/id")?.to_owned())),
            "failed" => {
                failed += 1;
                silent += u32::from(text(org, "/failure/message")?.is_empty());
            }
            other => bail!("{other}: {org}"),
        }
    }
    let created = names(&folder.join("created"))?;
    println!(
        "{} ready, {failed} failed, {silent} of them without a reason",
        ready.len()
    );
    let mut holds = orgs.len() == ids.len() && silent == 0;
    holds &= report(
        "ready orgs without their folder",
        ready.difference(&created).count(),
    );
    holds &= report("folders of no org", created.difference(&ids).count());

    let began = Instant::now();
    for id in &ids {
        let (status, answer) = call(&client, "DELETE", &format!("/cp/orgs/{id}"), &[], "")?;
        ensure!(status == 202 || status == 204, "{status}: {answer}");
    }
    wait_until_none(args, &client, killer, "deprovisioning")?;
    println!(
        "all are deleted after {:.0?}, {} kills",
        began.elapsed(),
        killer.kills()
    );
    holds &= list(&client, "&status=deleted")?.len() == ids.len();
    holds &= report("folders left behind", names(&folder.join("created"))?.len());
    let overlaps = fs::read_to_string(folder.join("overlaps")).unwrap_or_default();
    holds &= report(
        "programs beside another of the same org",
        overlaps.lines().count(),
    );
    println!("{} calls of the program", calls(&folder.join("calls"))?);
    Ok(holds)
}

/// A key with these scopes that may call as often as it likes.
fn issue(url: &str, scopes: &[&str]) -> Result<String> {
    let admin = Client::new(url, ADMIN_KEY);
    let body = json!({"name": "chaos", "scopes": scopes, "rate_limit": unlimited()}).to_string();
    let once = [("idempotency-key", "the-key")];
    let (_, key) = call(&admin, "POST", "/cp/admin/partner-keys", &once, &body)?;
    Ok(text(&key, "/key")?.to_owned())
}

/// Calls until there is an answer that is neither 5xx nor 409 `idempotency-in-progress`. Every call may be
/// sent again, since a POST has its own idempotency key.
fn call(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(u16, Value)> {
    let began = Instant::now();
    loop {
        if let Ok(response) = client.call(method, path, headers, body)
            && response.status < 500
            && response.text("/code").as_deref() != Some("idempotency-in-progress")
        {
            return Ok((response.status, response.json()));
        }
        if began.elapsed() > CALL_TIMEOUT {
            bail!("no answer to {method} {path} within {CALL_TIMEOUT:?}");
        }
        sleep(RETRY_INTERVAL);
    }
}

/// All orgs that a query finds.
fn list(client: &Client, query: &str) -> Result<Vec<Value>> {
    let (mut orgs, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/cp/orgs?limit=100{query}{cursor}");
        let (_, page) = call(client, "GET", &path, &[], "")?;
        let Some(data) = page.pointer("/data").and_then(Value::as_array) else {
            bail!("no list: {page}");
        };
        orgs.extend(data.iter().cloned());
        match page.pointer("/next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(orgs),
        }
    }
}

/// Waits until no org has this status any more.
fn wait_until_none(args: &Args, client: &Client, killer: &Killer, status: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let path = format!("/cp/orgs?limit=1&status={status}");
        let (_, page) = call(client, "GET", &path, &[], "")?;
        if page.pointer("/data") == Some(&json!([])) {
            return Ok(());
        }
        ensure!(!killer.gave_up(), "the server does not start any more");
        ensure!(
            began.elapsed() < Duration::from_secs(args.timeout),
            "orgs are still {status}: {page}"
        );
        sleep(POLL_INTERVAL);
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
