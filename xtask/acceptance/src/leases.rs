//! Whether orgs with a lease are deleted soon after its end, and none before it.

use std::{
    collections::HashMap,
    thread,
    time::{Duration as StdDuration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    http::{Client, text},
    server::{self, Server, Setup},
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// What `leases` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many orgs.
    #[arg(long, default_value_t = 10_000)]
    orgs: usize,
    /// How long the lease of each is, in seconds.
    #[arg(long, default_value_t = 60)]
    ttl: u32,
    /// How long after its creation an org must be deleted, in seconds.
    #[arg(long, default_value_t = 90)]
    within: u32,
}

/// On how many connections orgs are created.
const CONNECTIONS: usize = 16;
/// How long to wait for the last of them beyond what is promised.
const EXTRA_TIMEOUT: StdDuration = StdDuration::from_secs(120);

/// Creates the orgs, waits until all are deleted and prints when they were.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let server = Setup::new(server::program()?, folder.path()).start()?;
    let key = server
        .key(json!({"scopes": ["orgs:create", "orgs:list"]}))?
        .secret;
    let began = Instant::now();
    create(&server, &key, args)?;
    println!(
        "{} orgs with a lease of {} s created in {:.1} s",
        args.orgs,
        args.ttl,
        began.elapsed().as_secs_f64()
    );
    let client = server.client(&key);
    let timeout = StdDuration::from_secs(args.within.into()) + EXTRA_TIMEOUT;
    while has_orgs(&client)? {
        ensure!(began.elapsed() < timeout, "there still are orgs");
        thread::sleep(StdDuration::from_millis(200));
    }
    let deleted = client.list("/cp/orgs?status=deleted")?;
    let events = server
        .admin()
        .list("/cp/admin/audit-events?action=org.expired")?;
    let expired = expirations(&events)?;
    let mut sum = Sum::default();
    for org in &deleted {
        let end = time(org, "/expires_at")?;
        let (created, deleted) = (time(org, "/created_at")?, time(org, "/deleted_at")?);
        let expired = *expired.get(text(org, "/id")?).context("no org.expired")?;
        sum.early += usize::from(expired < end || deleted < end);
        sum.latest_expiry = sum.latest_expiry.max(expired - end);
        sum.longest_life = sum.longest_life.max(deleted - created);
    }
    println!(
        "{} deleted, {} events org.expired; {} before the end of the lease; org.expired at the latest \
         {:.2} s after it; deleted at the latest {:.2} s after the creation",
        deleted.len(),
        events.len(),
        sum.early,
        sum.latest_expiry.as_seconds_f64(),
        sum.longest_life.as_seconds_f64(),
    );
    Ok(deleted.len() == args.orgs
        && events.len() == args.orgs
        && sum.early == 0
        && sum.longest_life <= Duration::seconds(args.within.into()))
}

#[derive(Default)]
struct Sum {
    early: usize,
    latest_expiry: Duration,
    longest_life: Duration,
}

fn create(server: &Server, key: &str, args: &Args) -> Result<()> {
    let one = |connection: usize| -> Result<()> {
        let client = server.client(key);
        for n in (connection..args.orgs).step_by(CONNECTIONS) {
            let request = json!({
                "name": "leased", "slug": format!("leased-{n}"), "plan": "free",
                "ttl_seconds": args.ttl,
            });
            client.post("/cp/orgs", &request)?.expect(201)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|connection| scope.spawn(move || one(connection)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?
        })
    })
}

fn has_orgs(client: &Client) -> Result<bool> {
    let page = client.get("/cp/orgs?limit=1")?.expect(200)?;
    let data = page.get("data").and_then(Value::as_array);
    Ok(!data.context("no list")?.is_empty())
}

/// When each org's lease was found to have run out.
fn expirations(events: &[Value]) -> Result<HashMap<&str, OffsetDateTime>> {
    events
        .iter()
        .map(|event| Ok((text(event, "/target/id")?, time(event, "/occurred_at")?)))
        .collect()
}

fn time(object: &Value, pointer: &str) -> Result<OffsetDateTime> {
    Ok(OffsetDateTime::parse(text(object, pointer)?, &Rfc3339)?)
}
