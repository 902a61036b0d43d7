//! Whether orgs with a lease are gone soon after its end, and none before it.

use std::{
    collections::HashMap,
    thread,
    time::{Duration as StdDuration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    client::{Client, all, text},
    server::Server,
};

/// What `leases` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many orgs.
    #[arg(long, default_value_t = 10_000)]
    orgs: usize,
    /// How long the lease of each is, in seconds.
    #[arg(long, default_value_t = 60)]
    ttl: u32,
    /// How long after its creation an org must be gone, in seconds.
    #[arg(long, default_value_t = 90)]
    within: u32,
}

/// On how many connections orgs are created.
const CONNECTIONS: usize = 16;
/// How long to wait for the last of them beyond what is promised.
const PATIENCE: StdDuration = StdDuration::from_secs(120);

/// Creates the orgs, waits until all are gone and prints when they went.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let server = Server::start()?;
    let key = server.key(&["orgs:create", "orgs:list"])?;
    let began = Instant::now();
    create(&server.url, &key, args)?;
    println!(
        "{} orgs with a lease of {} s created in {:.1} s",
        args.orgs,
        args.ttl,
        began.elapsed().as_secs_f64()
    );
    let mut client = Client::connect(&server.url, &key)?;
    let patience = StdDuration::from_secs(args.within.into()) + PATIENCE;
    while !live(&mut client)?.is_empty() {
        ensure!(began.elapsed() < patience, "there still are orgs");
        thread::sleep(StdDuration::from_millis(200));
    }
    let gone = all(&mut client, "/cp/orgs?status=deleted")?;
    let mut admin = Client::connect(&server.url, &server.admin_key)?;
    let events = all(&mut admin, "/cp/admin/audit-events?action=org.expired")?;
    let expired = expirations(&events)?;
    let mut sum = Sum::default();
    for org in &gone {
        let end = time(org, "expires_at")?;
        let (made, gone) = (time(org, "created_at")?, time(org, "deleted_at")?);
        let expired = *expired.get(text(org, "id")?).context("no org.expired")?;
        sum.early += usize::from(expired < end || gone < end);
        sum.latest_expiry = sum.latest_expiry.max(expired - end);
        sum.longest_life = sum.longest_life.max(gone - made);
    }
    println!(
        "{} gone, {} events org.expired; {} before the end of the lease; org.expired at the latest \
         {:.2} s after it; gone at the latest {:.2} s after the creation",
        gone.len(),
        events.len(),
        sum.early,
        sum.latest_expiry.as_seconds_f64(),
        sum.longest_life.as_seconds_f64(),
    );
    Ok(gone.len() == args.orgs
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

fn create(url: &str, key: &str, args: &Args) -> Result<()> {
    let one = |connection: usize| -> Result<()> {
        let mut client = Client::connect(url, key)?;
        for n in (connection..args.orgs).step_by(CONNECTIONS) {
            let request = json!({
                "name": "leased", "slug": format!("leased-{n}"), "plan": "free",
                "ttl_seconds": args.ttl,
            });
            client
                .post("/cp/orgs", "", &request.to_string())?
                .json(201)?;
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

fn live(client: &mut Client) -> Result<Vec<Value>> {
    let page = client.get("/cp/orgs?limit=1")?.json(200)?;
    let data = page.get("data").and_then(Value::as_array);
    Ok(data.context("no list")?.clone())
}

/// When each org's lease was found to have run out.
fn expirations(events: &[Value]) -> Result<HashMap<&str, OffsetDateTime>> {
    events
        .iter()
        .map(|event| {
            let target = event.get("target").context("no target")?;
            Ok((text(target, "id")?, time(event, "occurred_at")?))
        })
        .collect()
}

fn time(object: &Value, name: &str) -> Result<OffsetDateTime> {
    Ok(OffsetDateTime::parse(text(object, name)?, &Rfc3339)?)
}
