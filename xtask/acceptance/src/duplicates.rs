//! Whether a creation that is sent many times at once is done once.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{
    http::{Client, text},
    server::{self, ADMIN_KEY, Setup, unlimited},
};

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
struct Sample {
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
    different: usize,
    /// Answers that are neither 201 nor 409 `idempotency-in-progress`.
    unexpected: usize,
}

/// Sends all copies, pages through the orgs and prints the counts.
pub(crate) fn run(args: Args) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let start = || Setup::new(server::program()?, folder.path()).start();
    let server = args.spawn.then(start).transpose()?;
    let (url, admin_key) = match &server {
        Some(server) => (server.url(), ADMIN_KEY.to_owned()),
        None => (
            args.url.context("--url is missing")?,
            args.admin_key.context("--admin-key is missing")?,
        ),
    };
    let key = new_key(&url, &admin_key)?;
    let start = Instant::now();
    let samples = send_all(&url, &key, args.keys, args.each)?;
    let took = start.elapsed();
    let sum = Sum::of(&samples, args.keys);
    let slugs = slugs(&url, &key)?;
    let distinct: BTreeSet<&String> = slugs.iter().collect();
    print(&sum, args.keys * args.each, slugs.len(), took);
    let each_once = slugs.len() == args.keys
        && distinct.len() == args.keys
        && (0..args.keys).all(|n| distinct.contains(&slug(n)));
    Ok(each_once && sum.not_once == 0 && sum.different == 0 && sum.unexpected == 0)
}

fn print(sum: &Sum, sent: usize, orgs: usize, took: Duration) {
    println!("requests: {sent}, {:.1} s", took.as_secs_f64());
    for (status, count) in &sum.statuses {
        println!("answers {status}: {count}");
    }
    println!("orgs there: {orgs}");
    println!("keys not answered with one creation: {}", sum.not_once);
    println!("keys with 201 answers that differ: {}", sum.different);
    println!("other answers: {}", sum.unexpected);
}

/// A key whose limit is out of the way, with a partner of its own.
fn new_key(url: &str, admin_key: &str) -> Result<String> {
    let request = json!({
        "name": "duplicates", "scopes": ["orgs:create", "orgs:list"], "rate_limit": unlimited(),
    });
    let created = Client::new(url, admin_key).post("/cp/admin/partner-keys", &request)?;
    Ok(text(&created.expect(201)?, "/key")?.to_owned())
}

/// The answers of each connection, by the number of the idempotency key.
fn send_all(url: &str, key: &str, keys: usize, each: usize) -> Result<Vec<Vec<Sample>>> {
    let clients: Vec<_> = (0..each).map(|_| Client::new(url, key)).collect();
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

fn send_share(client: Client, barrier: &Barrier, keys: usize) -> Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(keys);
    let mut broken = None;
    for n in 0..keys {
        barrier.wait();
        // A broken connection goes on waiting, for the others would wait for it.
        if broken.is_none() {
            match send_one(&client, n) {
                Ok(one) => samples.push(one),
                Err(error) => broken = Some(error.context(format!("the creation of {}", slug(n)))),
            }
        }
    }
    broken.map_or(Ok(samples), Err)
}

fn send_one(client: &Client, n: usize) -> Result<Sample> {
    let slug = slug(n);
    let key = format!("\"{slug}\"");
    let body = json!({"name": format!("Org {n}"), "slug": slug, "plan": "standard"}).to_string();
    let response = client.call("POST", "/cp/orgs", &[("idempotency-key", &key)], &body)?;
    let mut hasher = DefaultHasher::new();
    response.body.hash(&mut hasher);
    Ok(Sample {
        status: response.status,
        replayed: response.header("idempotency-replayed") == Some("true"),
        in_progress: response.text("/code").as_deref() == Some("idempotency-in-progress"),
        body: hasher.finish(),
    })
}

fn slug(n: usize) -> String {
    format!("dup-{n}")
}

impl Sum {
    fn of(samples: &[Vec<Sample>], keys: usize) -> Self {
        let mut sum = Self::default();
        for n in 0..keys {
            let answers: Vec<Sample> = samples
                .iter()
                .filter_map(|own| own.get(n).copied())
                .collect();
            let created = || answers.iter().filter(|one| one.status == 201);
            let first = created().filter(|one| !one.replayed).count();
            let bodies: HashSet<u64> = created().map(|one| one.body).collect();
            sum.not_once += usize::from(first != 1);
            sum.different += usize::from(bodies.len() > 1);
            for one in answers {
                *sum.statuses.entry(one.status).or_default() += 1;
                let known = one.status == 201 || one.status == 409 && one.in_progress;
                sum.unexpected += usize::from(!known);
            }
        }
        sum
    }
}

/// The slugs of all orgs that the key's partner has.
fn slugs(url: &str, key: &str) -> Result<Vec<String>> {
    let orgs = Client::new(url, key).list("/cp/orgs")?;
    let slug = |org| Ok(text(org, "/slug")?.to_owned());
    orgs.iter().map(slug).collect()
}
