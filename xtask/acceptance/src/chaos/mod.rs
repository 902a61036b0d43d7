//! Orgs under the provisioner `exec`, with a program that fails at random in every verb and a server that is
//! killed all the time. `xtask/acceptance/NOTES.md` has the figures.
//!
//! It ends with exit code 1 when an org is left in between, has a mix of what two runs handed back, was worked on
//! by two programs at a time, or left something behind, and when a secret stands anywhere in plain text.

mod findings;
mod killer;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{
    http::{Client, text},
    ports, postgres,
    search::files_with,
    server::{self, ADMIN_KEY, Setup, unlimited},
};

use self::{
    findings::{Findings, report},
    killer::Killer,
};
use crate::parallel::in_parts;

/// The plan of each update; the option `size` is its number.
const UPDATES: [&str; 2] = ["standard", "enterprise"];

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
    orgs: usize,
    /// How many in a hundred calls of the program fail
    #[arg(long, default_value_t = 30)]
    fails: u32,
    /// How long the server lives each time, in milliseconds; at least as long as its start has taken
    #[arg(long, default_value_t = 1000)]
    kill_every: u64,
    /// How many programs run at once; with many of them, few end before the next kill
    #[arg(long, default_value_t = 4)]
    at_once: u32,
    /// How many clients call at once
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Only on SQLite
    #[arg(long)]
    sqlite: bool,
    /// Only on this database
    #[arg(long, conflicts_with = "sqlite")]
    database_url: Option<String>,
    /// After how many seconds to give up
    #[arg(long, default_value_t = 1800)]
    timeout: u64,
}

/// Tries it on SQLite and on a PostgreSQL of its own, or on the database that is named; `None` where that is not
/// installed and SQLite holds.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    if let Some(url) = &args.database_url {
        return Ok(Some(on(args, Some(url), None)?));
    }
    println!("SQLite");
    let mut holds = on(args, None, None)?;
    if args.sqlite {
        return Ok(Some(holds));
    }
    let Some(postgres) = postgres::Server::start() else {
        println!("there is no PostgreSQL here");
        return Ok((!holds).then_some(false));
    };
    println!("PostgreSQL");
    holds &= on(args, Some(&postgres.new_database()), Some(&postgres))?;
    Ok(Some(holds))
}

fn on(args: &Args, url: Option<&str>, postgres: Option<&postgres::Server>) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("provision");
    fs::write(&program, include_str!("provision.sh"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    for name in ["created", "running", "calls", "done", "logs"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let address = format!("127.0.0.1:{}", ports::free());
    let mut setup = Setup::new(server::program()?, folder.path())
        .with("LISTEN", &address)
        .with("PROVISIONER", "exec")
        .with("PROVISIONER_EXEC", program)
        .with("PROVISIONER_AT_ONCE", args.at_once.to_string())
        .with("WEBHOOK_ALLOW_PRIVATE", "true")
        .with("PROVISIONER_ENV", "FOLDER,FAILS,MARK")
        .with_env("FOLDER", folder.path())
        .with_env("FAILS", args.fails.to_string())
        .with_env("MARK", findings::MARK);
    setup.database_url = url.map(str::to_owned);
    setup.log = folder.path().join("logs").join("0.log");
    let mut stored = vec![setup.data.clone(), folder.path().join("logs")];
    let killer = Killer::start(setup, Duration::from_millis(args.kill_every));
    let url_of_server = format!("http://{address}");
    let scenario = Scenario {
        args,
        folder: folder.path(),
        client: Client::new(&url_of_server, &issue(&url_of_server)?),
        killer: &killer,
        began: Instant::now(),
    };
    let mut holds = scenario.run()?;
    killer.stop()?;
    if let Some(postgres) = postgres {
        postgres.ask(url.unwrap_or_default(), "checkpoint");
        stored.push(postgres.folder().to_owned());
    }
    let plain: Vec<_> = stored
        .iter()
        .flat_map(|folder| files_with(folder, findings::MARK))
        .inspect(|path| println!("{}", path.display()))
        .collect();
    holds &= report("places with a secret in plain text", plain.len());
    Ok(holds)
}

struct Scenario<'a> {
    args: &'a Args,
    folder: &'a Path,
    client: Client,
    killer: &'a Killer,
    began: Instant,
}

impl Scenario<'_> {
    fn run(&self) -> Result<bool> {
        let created = in_parts(self.args.orgs, self.args.clients, |n| {
            let slug = format!("chaos-{n}");
            let options = json!({"size": 0});
            let body = json!({"name": "chaos", "slug": slug, "plan": "free", "options": options});
            let org = self.call("POST", "/cp/orgs", &slug, &body, &[201])?;
            Ok(text(&org, "/id")?.to_owned())
        })?;
        let ids: BTreeSet<String> = created.into_iter().collect();
        self.settle("provisioning", "made")?;
        for (n, plan) in UPDATES.iter().enumerate() {
            let change = json!({"plan": plan, "options": {"size": n + 1}});
            self.for_each(&self.ready()?, |id| {
                // Sent again after a kill it may be done, or under way.
                let path = format!("/cp/orgs/{id}");
                self.call("PATCH", &path, "", &change, &[200, 202, 409])
            })?;
            self.settle("updating", "updated")?;
            self.for_each(&self.ready()?, |id| {
                let path = format!("/cp/orgs/{id}/rotate-secrets");
                let once = format!("{n}-{path}");
                self.call("POST", &path, &once, &json!({}), &[202])
            })?;
            self.settle("updating", "rotated")?;
        }
        let mut findings = Findings::default();
        for id in &ids {
            let org = self.get(&format!("/cp/orgs/{id}"))?;
            let secrets = self.get(&format!("/cp/orgs/{id}/secrets"))?;
            findings.check(self.folder, &org, &secrets)?;
        }
        let mut holds = findings.print()?;
        let created = findings::names(&self.folder.join("created"))?;
        holds &= report("folders of no org", created.difference(&ids).count());
        self.delete(&ids).map(|gone| holds && gone)
    }

    fn delete(&self, ids: &BTreeSet<String>) -> Result<bool> {
        self.for_each(ids, |id| {
            let path = format!("/cp/orgs/{id}");
            self.call("DELETE", &path, "", &Value::Null, &[202, 204])
        })?;
        self.settle("deprovisioning", "deleted")?;
        let mut holds = list(&self.client, "&status=deleted")?.len() == ids.len();
        let left = findings::names(&self.folder.join("created"))?;
        holds &= report("folders left behind", left.len());
        let overlaps = fs::read_to_string(self.folder.join("overlaps")).unwrap_or_default();
        holds &= report(
            "programs beside another of the same org",
            overlaps.lines().count(),
        );
        let calls = findings::lines(&self.folder.join("calls"))?;
        println!("{calls} calls of the program");
        Ok(holds)
    }

    fn ready(&self) -> Result<BTreeSet<String>> {
        let orgs = list(&self.client, "&status=ready")?;
        orgs.iter()
            .map(|org| Ok(text(org, "/id")?.to_owned()))
            .collect()
    }

    /// Calls for each org, by several clients at a time.
    fn for_each(
        &self,
        ids: &BTreeSet<String>,
        call: impl Fn(&str) -> Result<Value> + Sync,
    ) -> Result<()> {
        let ids: Vec<&String> = ids.iter().collect();
        let work = |n: usize| call(ids.get(n).context("no org")?).map(drop);
        in_parts(ids.len(), self.args.clients, work).map(drop)
    }

    /// Waits until no org has this status any more.
    fn settle(&self, status: &str, done: &str) -> Result<()> {
        let began = Instant::now();
        while self
            .get(&format!("/cp/orgs?limit=1&status={status}"))?
            .pointer("/data")
            != Some(&json!([]))
        {
            ensure!(!self.killer.gave_up(), "the server does not start any more");
            ensure!(
                began.elapsed() < Duration::from_secs(self.args.timeout),
                "orgs are still {status}"
            );
            sleep(POLL_INTERVAL);
        }
        let (kills, took) = (self.killer.kills(), self.began.elapsed());
        println!("all are {done}, or failed, after {took:.0?} and {kills} kills");
        Ok(())
    }

    fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, "", &Value::Null, &[200])
    }

    /// Calls until there is an answer, which must have one of these statuses.
    fn call(
        &self,
        method: &str,
        path: &str,
        once: &str,
        body: &Value,
        expect: &[u16],
    ) -> Result<Value> {
        let once = [("idempotency-key", once)];
        let headers = if method == "POST" { &once[..] } else { &[] };
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, answer) = call(&self.client, method, path, headers, &body)?;
        ensure!(
            expect.contains(&status),
            "{method} {path}: {status}: {answer}"
        );
        Ok(answer)
    }
}

/// A key that may call as often as it likes.
fn issue(url: &str) -> Result<String> {
    let scopes = [
        "orgs:create",
        "orgs:list",
        "orgs:update",
        "orgs:secrets",
        "orgs:delete",
        "webhooks:manage",
    ];
    let admin = Client::new(url, ADMIN_KEY);
    let body = json!({"name": "chaos", "scopes": scopes, "rate_limit": unlimited()}).to_string();
    let once = [("idempotency-key", "the-key")];
    let (_, key) = call(&admin, "POST", "/cp/admin/partner-keys", &once, &body)?;
    let key = text(&key, "/key")?.to_owned();
    // Nobody listens there, so the messages stay in the database and are searched for secrets too.
    let events = [
        "org.ready",
        "org.updated",
        "org.secrets_rotated",
        "org.failed",
    ];
    let body = json!({"url": "http://127.0.0.1:9/", "events": events}).to_string();
    let once = [("idempotency-key", "the-endpoint")];
    let partner = Client::new(url, &key);
    let (status, answer) = call(&partner, "POST", "/cp/webhook-endpoints", &once, &body)?;
    ensure!(status == 201, "no endpoint: {answer}");
    Ok(key)
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
