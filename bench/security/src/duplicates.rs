//! Whether a creation that is sent many times at once is done once.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{client::Client, server::Server};

/// What `duplicates` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many idempotency keys, each with one org to create.
    #[arg(long, default_value_t = 10_000)]
    keys: usize,
    /// How many copies of each creation, sent at once on as many connections.
    #[arg(long, default_value_t = 64)]
    each: usize,
    /// The server, such as http://127.0.0.1:8080.
    #[arg(long, required_unless_present = "spawn", requires = "admin_key")]
    url: Option<String>,
    /// An admin key of that server.
    #[arg(long)]
    admin_key: Option<String>,
    /// Start the server that was built beside this program, on an empty folder.
    #[arg(long, conflicts_with = "url")]
    spawn: bool,
}

/// What one copy was answered; of the body only a hash is kept.
#[derive(Clone, Copy)]
struct Told {
    status: u16,
    replayed: bool,
    in_progress: bool,
    body: u64,
}

/// What came of all copies.
#[derive(Default)]
struct Sum {
    statuses: BTreeMap<u16, usize>,
    /// Keys not answered with exactly one creation that is not a repetition.
    not_once: usize,
    /// Keys whose 201 answers are not the same bytes.
    unlike: usize,
    /// Answers that are neither 201 nor 409 `idempotency-in-progress`.
    strange: usize,
}

/// Sends all copies, pages through the orgs and prints the counts.
pub(crate) fn run(args: Args) -> Result<bool> {
    let server = args.spawn.then(Server::start).transpose()?;
    let (url, admin_key) = match &server {
        Some(server) => (server.url.clone(), server.admin_key.clone()),
        None => (
            args.url.context("--url is missing")?,
            args.admin_key.context("--admin-key is missing")?,
        ),
    };
    let key = new_key(&url, &admin_key)?;
    let start = Instant::now();
    let told = send_all(&url, &key, args.keys, args.each)?;
    let took = start.elapsed();
    let sum = Sum::of(&told, args.keys);
    let slugs = slugs_there(&url, &key)?;
    let distinct: BTreeSet<&String> = slugs.iter().collect();
    print(&sum, args.keys * args.each, slugs.len(), took);
    let each_once = slugs.len() == args.keys
        && distinct.len() == args.keys
        && (0..args.keys).all(|n| distinct.contains(&slug(n)));
    Ok(each_once && sum.not_once == 0 && sum.unlike == 0 && sum.strange == 0)
}

fn print(sum: &Sum, sent: usize, orgs: usize, took: Duration) {
    println!("requests: {sent}, {:.1} s", took.as_secs_f64());
    for (status, count) in &sum.statuses {
        println!("answers {status}: {count}");
    }
    println!("orgs there: {orgs}");
    println!("keys not answered with one creation: {}", sum.not_once);
    println!("keys with 201 answers that differ: {}", sum.unlike);
    println!("other answers: {}", sum.strange);
}

/// A key whose limit is out of the way, with a partner of its own.
fn new_key(url: &str, admin_key: &str) -> Result<String> {
    let body = r#"{"name": "duplicates", "scopes": ["orgs:create", "orgs:list"],
        "rate_limit": {"limit": 100000000, "window_seconds": 1}}"#;
    let made = Client::connect(url, admin_key)?
        .post("/cp/admin/partner-keys", "", body)?
        .json(201)?;
    let key = made.get("key").and_then(Value::as_str);
    Ok(key.context("the answer has no key")?.to_owned())
}

/// The answers of each connection, by the number of the idempotency key.
fn send_all(url: &str, key: &str, keys: usize, each: usize) -> Result<Vec<Vec<Told>>> {
    // All are connected before one waits for the others, so that none waits in vain.
    let clients = (0..each)
        .map(|_| Client::connect(url, key))
        .collect::<Result<Vec<_>>>()?;
    let barrier = Barrier::new(each);
    thread::scope(|scope| {
        let workers: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(|| send_share(client, &barrier, keys)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().ok().context("a thread panicked")?)
            .collect()
    })
}

fn send_share(mut client: Client, barrier: &Barrier, keys: usize) -> Result<Vec<Told>> {
    let mut told = Vec::with_capacity(keys);
    let mut broken = None;
    for n in 0..keys {
        barrier.wait();
        // A broken connection goes on waiting, for the others would wait for it.
        if broken.is_none() {
            match send_one(&mut client, n) {
                Ok(one) => told.push(one),
                Err(error) => broken = Some(error.context(format!("the creation of {}", slug(n)))),
            }
        }
    }
    broken.map_or(Ok(told), Err)
}

fn send_one(client: &mut Client, n: usize) -> Result<Told> {
    let slug = slug(n);
    let header = format!("Idempotency-Key: \"{slug}\"\r\n");
    let body = format!(r#"{{"name": "Org {n}", "slug": "{slug}", "plan": "standard"}}"#);
    let answer = client.post("/cp/orgs", &header, &body)?;
    let code = (answer.status == 409)
        .then(|| answer.json(409))
        .transpose()?;
    let mut hasher = DefaultHasher::new();
    answer.body.hash(&mut hasher);
    Ok(Told {
        status: answer.status,
        replayed: answer.replayed,
        in_progress: code.is_some_and(|body| {
            body.get("code")
                .is_some_and(|c| c == "idempotency-in-progress")
        }),
        body: hasher.finish(),
    })
}

fn slug(n: usize) -> String {
    format!("dup-{n}")
}

impl Sum {
    fn of(told: &[Vec<Told>], keys: usize) -> Self {
        let mut sum = Self::default();
        for n in 0..keys {
            let answers: Vec<Told> = told.iter().filter_map(|own| own.get(n).copied()).collect();
            let made = || answers.iter().filter(|one| one.status == 201);
            let first = made().filter(|one| !one.replayed).count();
            let bodies: HashSet<u64> = made().map(|one| one.body).collect();
            sum.not_once += usize::from(first != 1);
            sum.unlike += usize::from(bodies.len() > 1);
            for one in answers {
                *sum.statuses.entry(one.status).or_default() += 1;
                let known = one.status == 201 || one.status == 409 && one.in_progress;
                sum.strange += usize::from(!known);
            }
        }
        sum
    }
}

/// The slugs of all orgs that the key's partner has.
fn slugs_there(url: &str, key: &str) -> Result<Vec<String>> {
    let mut client = Client::connect(url, key)?;
    let mut slugs = Vec::new();
    let mut path = "/cp/orgs?limit=100".to_owned();
    loop {
        let page = client.get(&path)?.json(200)?;
        let data = page.get("data").and_then(Value::as_array);
        for org in data.context("the list has no data")? {
            let slug = org.get("slug").and_then(Value::as_str);
            slugs.push(slug.context("an org has no slug")?.to_owned());
        }
        let Some(cursor) = page.get("next_cursor").and_then(Value::as_str) else {
            ensure!(
                page.get("has_more") == Some(&Value::Bool(false)),
                "no cursor"
            );
            return Ok(slugs);
        };
        path = format!("/cp/orgs?limit=100&cursor={cursor}");
    }
}
