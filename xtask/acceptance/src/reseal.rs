//! Whether a new pepper costs nobody an answer: what is sealed under the old one is resealed while it is read, and
//! then the old one can be taken away.
//!
//! Orgs and the responses to their creation are made through the API, webhook endpoints too. The orgs' secrets are
//! put into the database, sealed as the server seals them, since a program for each would take hours.

mod checks;

use std::{
    process::Command,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use getrandom::SysRng;
use ids::OrgId;
use keys::{Pepper, Peppers};
use rand_core::UnwrapErr;
use serde_json::json;
use storage::SqlDatabase;
use stores::{Database as _, SealedOrgSecrets, StoreError, prelude::*};
use testkit::{
    http::text,
    postgres,
    server::{self, Server, Setup, create_key, unlimited},
};
use time::OffsetDateTime;

use self::checks::{Checker, Counts};
use crate::{crash::Engine, parallel::in_parts};

const FIRST: &str = "the-first-pepper-has-32-bytes-or-more";
const SECOND: &str = "the-second-pepper-has-32-bytes-or-more";

/// How many orgs a key creates; a key may have no more `Idempotency-Key`s.
const ORGS_PER_KEY: usize = 1000;
/// How many webhook endpoints a key creates.
const ENDPOINTS_PER_KEY: usize = 10;
/// How many secrets share a transaction.
const BATCH: usize = 1000;
/// How often `pepper status` is asked; each time it opens all that is sealed.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// What `reseal` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many orgs, each with secrets and a stored response.
    #[arg(long, default_value_t = 100_000)]
    orgs: usize,
    /// How many clients read meanwhile.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// After how many seconds of resealing to give up.
    #[arg(long, default_value_t = 1800)]
    timeout: u64,
}

/// An org and what it was answered when it was created.
struct Created {
    id: OrgId,
    /// The place of its key.
    key: usize,
    /// Its `Idempotency-Key` and slug.
    slug: String,
    /// The body of the response.
    response: String,
}

/// Tries it on a server of its own and prints what was seen; `None` without PostgreSQL.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    let folder = tempfile::tempdir()?;
    let database = match args.engine {
        Engine::Sqlite => None,
        Engine::Postgres => match postgres::Server::start() {
            Some(server) => Some(server),
            None => return Ok(None),
        },
    };
    let url = database.as_ref().map(postgres::Server::new_database);
    let setup = |current: &str, retired: &str| {
        let mut setup = Setup::new(server::program()?, folder.path()).with("PEPPER", current);
        if !retired.is_empty() {
            setup = setup.with("RETIRED_PEPPERS", retired);
        }
        setup.database_url.clone_from(&url);
        anyhow::Ok(setup)
    };
    let (first, both, second) = (setup(FIRST, "")?, setup(SECOND, FIRST)?, setup(SECOND, "")?);

    let begun = Instant::now();
    let (keys, created) = fill(args, &first)?;
    let endpoints = keys.len().saturating_mul(ENDPOINTS_PER_KEY);
    println!(
        "{} orgs with secrets and stored responses, {endpoints} webhook endpoints, {:?}, filled in {:.0?}",
        created.len(),
        args.engine,
        begun.elapsed()
    );
    let sent = webhook_secrets(&first, FIRST)?;

    let server = both.start()?;
    let checker = Checker::new(&server, &keys, &created);
    let (resealed, meanwhile) = reseal(args, &both, &checker)?;
    println!(
        "all is under the new pepper after {resealed:.0?}; {} answers meanwhile, {} of them wrong",
        meanwhile.answers, meanwhile.wrong
    );
    drop(server);

    // It starts without `--force`, which says that nothing needs the pepper that is gone.
    let server = second.start()?;
    let begun = Instant::now();
    let after = Checker::new(&server, &keys, &created).check_all(args.clients)?;
    println!(
        "without the old pepper: {} answers in {:.0?}, {} of them wrong",
        after.answers,
        begun.elapsed(),
        after.wrong
    );
    drop(server);
    let kept = webhook_secrets(&second, SECOND)?;
    let lost = sent.iter().zip(&kept).filter(|(a, b)| a != b).count();
    println!("webhook secrets: {}, {lost} of them changed", kept.len());
    let is_whole = kept.len() == endpoints && sent.len() == endpoints;
    let is_complete = after.answers == created.len().saturating_mul(2) && meanwhile.answers > 0;
    Ok(Some(
        is_whole && is_complete && lost == 0 && meanwhile.wrong == 0 && after.wrong == 0,
    ))
}

/// Keys, orgs, stored responses, webhook endpoints and secrets, all under the first pepper.
fn fill(args: &Args, setup: &Setup) -> Result<(Vec<String>, Vec<Created>)> {
    let server = setup.start()?;
    let scopes = [
        "orgs:create",
        "orgs:list",
        "orgs:secrets",
        "webhooks:manage",
    ];
    let mut keys = Vec::new();
    for n in 0..args.orgs.div_ceil(ORGS_PER_KEY) {
        let request = json!({
            "name": format!("reseal-{n}"), "scopes": scopes, "rate_limit": unlimited(),
        });
        let key = create_key(&server.admin(), request)?.secret;
        for endpoint in 0..ENDPOINTS_PER_KEY {
            let address = format!("https://example.com/{n}/{endpoint}");
            let request = json!({"url": address, "events": ["org.deleted"]});
            let client = server.client(&key);
            client
                .post("/cp/webhook-endpoints", &request)?
                .expect(201)?;
        }
        keys.push(key);
    }
    let created = in_parts(args.orgs, args.clients, |n| create(&server, &keys, n))?;
    for key in &keys {
        let path = "/cp/orgs?limit=1&status=provisioning";
        while server.client(key).get(path)?.json().pointer("/data") != Some(&json!([])) {
            sleep(Duration::from_millis(100));
        }
    }
    drop(server);
    put_secrets(setup, &created)?;
    Ok((keys, created))
}

fn create(server: &Server, keys: &[String], n: usize) -> Result<Created> {
    let key = n % keys.len();
    let slug = format!("reseal-{n}");
    let client = server.client(keys.get(key).context("no key")?);
    let answer = checks::create(&client, &slug)?;
    let id = text(&answer.expect(201)?, "/id")?.parse()?;
    Ok(Created {
        id,
        key,
        slug,
        response: answer.body,
    })
}

/// Stores secrets as the server would, had a program handed them back.
fn put_secrets(setup: &Setup, created: &[Created]) -> Result<()> {
    let peppers = Peppers::new(Pepper::new(FIRST)?, []);
    let db = SqlDatabase::open(&setup.database_url().parse()?)?;
    let runtime = runtime()?;
    for part in created.chunks(BATCH) {
        let mut secrets = Vec::new();
        for Created { id, .. } in part {
            let plain = json!({"password": checks::password(*id)}).to_string();
            let bound = format!("secrets of {id}");
            secrets.push(SealedOrgSecrets {
                org: *id,
                sealed: peppers.seal(plain.as_bytes(), bound.as_bytes(), &mut UnwrapErr(SysRng)),
                pepper: peppers.current_id(),
                updated_at: OffsetDateTime::now_utc(),
            });
        }
        // Rows are locked in the order of their ids.
        secrets.sort_by_key(|secrets| secrets.org);
        runtime.block_on(db.write::<_, StoreError>(move |tx| {
            secrets.iter().try_for_each(|one| tx.org_secrets_put(one))
        }))?;
    }
    Ok(())
}

/// The secrets of all webhook endpoints in plain text, in the order of the endpoints' ids.
fn webhook_secrets(setup: &Setup, pepper: &str) -> Result<Vec<Vec<u8>>> {
    let peppers = Peppers::new(Pepper::new(pepper)?, []);
    let db = SqlDatabase::open(&setup.database_url().parse()?)?;
    let runtime = runtime()?;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let read = db.read::<_, StoreError>(move |view| view.sealed_secrets(after, BATCH));
        let page = runtime.block_on(read)?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        after = Some(*last);
        for (id, sealed) in &page {
            let bound = format!("webhook secret of {id}");
            for sealed in sealed.all() {
                let plain = peppers.open(sealed, bound.as_bytes());
                found.push(
                    plain
                        .context("a webhook secret is under another pepper")?
                        .to_vec(),
                );
            }
        }
    }
}

/// Reads everything over and over until nothing needs the old pepper; how long that took.
fn reseal(args: &Args, setup: &Setup, checker: &Checker<'_>) -> Result<(Duration, Counts)> {
    let begun = Instant::now();
    // Keys are renewed by their use.
    checker.use_keys()?;
    scope(|threads| {
        let readers: Vec<_> = (0..args.clients)
            .map(|place| threads.spawn(move || checker.check_until_stopped(place)))
            .collect();
        let waited = wait_for_reseal(setup, begun, Duration::from_secs(args.timeout));
        let took = begun.elapsed();
        checker.stop();
        let mut counts = Counts::default();
        for reader in readers {
            counts.add(
                reader
                    .join()
                    .map_err(|_| anyhow::anyhow!("a reader panicked"))??,
            );
        }
        waited?;
        Ok((took, counts))
    })
}

fn wait_for_reseal(setup: &Setup, begun: Instant, timeout: Duration) -> Result<()> {
    loop {
        let status = pepper_status(setup)?;
        if status.contains("retired ones can be taken away") {
            print!("{status}");
            return Ok(());
        }
        ensure!(begun.elapsed() < timeout, "not all is resealed:\n{status}");
        sleep(STATUS_INTERVAL);
    }
}

/// What `molecule-cp pepper status` says.
fn pepper_status(setup: &Setup) -> Result<String> {
    let mut command: Command = server::command(&setup.program);
    let output = command
        .args(["pepper", "status"])
        .current_dir(&setup.data)
        .env("MOLECULE_CP_DATA_DIR", &setup.data)
        .env("MOLECULE_CP_DATABASE_URL", setup.database_url())
        .env("MOLECULE_CP_PEPPER", SECOND)
        .env("MOLECULE_CP_RETIRED_PEPPERS", FIRST)
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pepper status failed: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    // The way to PostgreSQL has a clock: nobody waits for a connection for ever.
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?)
}
