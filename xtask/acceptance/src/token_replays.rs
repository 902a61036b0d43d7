//! Whether a token that is sent many times at once, to several instances, is exchanged once.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{
    http::{Client, text},
    issuer::{Issuer, TestKey},
    postgres,
    server::{self, Setup},
};

use crate::crash::Engine;

/// The audience of the rule.
const AUDIENCE: &str = "https://cp.example.com";

/// What `token-replays` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each token is sent.
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// How many tokens, one after the other.
    #[arg(long, default_value_t = 1)]
    tokens: usize,
    /// How many instances.
    #[arg(long, default_value_t = 3)]
    instances: usize,
    /// How many connections send at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

/// Sends the tokens and counts answers and keys; `None` without PostgreSQL.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    let folder = tempfile::tempdir()?;
    // So that every replay is looked at, and none is only limited.
    let mut setup = Setup::new(server::program()?, folder.path())
        .with("OIDC_ALLOW_PRIVATE", "true")
        .with("AUTH_FAILURE_LIMIT", "100000000/1");
    let database = match args.engine {
        Engine::Sqlite => None,
        Engine::Postgres => match postgres::Server::start() {
            Some(server) => Some(server),
            None => return Ok(None),
        },
    };
    setup.database_url = database.as_ref().map(postgres::Server::new_database);
    let mut servers = Vec::new();
    for n in 0..args.instances {
        setup.log = folder.path().join(format!("{n}.log"));
        servers.push(setup.start()?);
    }
    let admin = servers.first().context("there is no instance")?.admin();
    let issuer = Issuer::start();
    let partner = json!({"name": "replays", "plan": "partner"});
    let partner = admin.post("/cp/admin/partners", &partner)?.expect(201)?;
    let rule = json!({
        "name": "replays", "partner_id": text(&partner, "/id")?, "issuer": issuer.url(), "audience": AUDIENCE,
        "claims": {"sub": "acme"}, "scopes": ["orgs:list"],
    });
    let rule = admin.post("/cp/admin/trust-rules", &rule)?.expect(201)?;
    let rule = text(&rule, "/id")?;
    let urls: Vec<String> = servers.iter().map(server::Server::url).collect();
    let begun = Instant::now();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let mut once = 0;
    for _ in 0..args.tokens {
        let token = issuer.token(TestKey::P256One, AUDIENCE, &json!({"sub": "acme"}));
        let form = form(rule, &token);
        let seen = replay(&urls, &form, args)?;
        once += usize::from(seen.get(&200) == Some(&1));
        for (status, count) in seen {
            *statuses.entry(status).or_default() += count;
        }
    }
    let keys = admin.list("/cp/admin/partner-keys")?.len();
    println!(
        "replays: {} of {} tokens on {} instances, {:?}, {:.1} s",
        args.count,
        args.tokens,
        args.instances,
        args.engine,
        begun.elapsed().as_secs_f64()
    );
    for (status, count) in &statuses {
        println!("answers {status}: {count}");
    }
    println!("keys there: {keys}");
    let only = statuses.keys().all(|status| [200, 400].contains(status));
    Ok(Some(once == args.tokens && keys == args.tokens && only))
}

/// The form of an exchange; none of its values needs an escape.
fn form(rule: &str, token: &str) -> String {
    format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
         &subject_token_type=urn:ietf:params:oauth:token-type:jwt&trust_rule={rule}"
    )
}

/// How often each status was answered.
fn replay(urls: &[String], form: &str, args: &Args) -> Result<BTreeMap<u16, usize>> {
    let sent = AtomicUsize::new(0);
    let send = |n: usize| -> Result<Vec<u16>> {
        let clients: Vec<Client> = urls.iter().map(|url| Client::new(url, "")).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let mut statuses = Vec::new();
        let mut turns = clients.iter().cycle().skip(n);
        while sent.fetch_add(1, Ordering::Relaxed) < args.count {
            let client = turns.next().context("there is no instance")?;
            let response = client.send("POST", "/cp/token", &headers, form.as_bytes())?;
            statuses.push(response.status);
        }
        Ok(statuses)
    };
    let all: Vec<u16> = thread::scope(|scope| {
        let workers: Vec<_> = (0..args.connections)
            .map(|n| {
                scope.spawn({
                    let send = &send;
                    move || send(n)
                })
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().ok().context("a thread panicked")??);
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    let mut seen = BTreeMap::new();
    for status in all {
        *seen.entry(status).or_default() += 1;
    }
    Ok(seen)
}
