//! Whether many status polls can be held at once, and are all answered when the orgs change.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use audit::{Action, AuditVisibility, EventFilter};
use ids::{OrgId, PageRequest};
use orgs::{OrgStatus, OrgVisibility};
use serde_json::{Value, json};
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use testkit::{
    http::text,
    process::{MemoryUse, mebibytes, processor_time},
    server::{self, Server, Setup},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Builder,
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};

/// What `held-polls` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many clients wait at once, each on a connection of its own.
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// For how many orgs they wait, by turns; up to 1000.
    #[arg(long, default_value_t = 1000)]
    orgs: usize,
    /// How much memory the server may have in use, in MiB.
    #[arg(long, default_value_t = 300)]
    memory: u64,
}

/// How long all may take to be answered.
const MAX_LATENCY: Duration = Duration::from_secs(1);
/// How many clients connect at the same time.
const MAX_CONNECTING: usize = 100;
/// How long the server has until it holds all that was sent.
const HOLD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to watch the server while all wait.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// The label of all orgs.
const LABEL: &str = "run:waits";

/// What one client was answered, and when. The connection stays open, as a client's that keeps it
/// would.
struct Sample {
    at: Instant,
    response: Vec<u8>,
    _stream: TcpStream,
}

/// Holds the polls twice: once another process changes the orgs, once the server does.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::new(server::program()?, folder.path());
    let server = setup.start()?;
    let scopes = json!({"scopes": ["orgs:create", "orgs:list", "orgs:delete"]});
    let key = server.key(scopes)?.secret;
    let ids = create(&server, &key, args.orgs)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let db = SqlDatabase::open(&setup.database_url().parse()?)?;
        let before = mebibytes(MemoryUse::of(server.id())?.now);
        println!("{} orgs; the server has {before} MiB in use", ids.len());
        let bench = Bench {
            server: &server,
            key: Arc::from(key.as_str()),
            ids: ids.clone(),
            clients: args.clients,
        };
        set(&db, &ids, OrgStatus::Provisioning).await?;
        // The status of an org is cached for a moment.
        sleep(Duration::from_millis(500)).await;
        let by_other = bench
            .round("another process changed the orgs", async || {
                set(&db, &ids, OrgStatus::Ready).await?;
                Ok(Instant::now())
            })
            .await?;
        set(&db, &ids, OrgStatus::Provisioning).await?;
        sleep(Duration::from_millis(500)).await;
        let by_server = bench
            .round("the server deleted the orgs", async || {
                let client = server.client(&key);
                let path = format!("/cp/orgs?label={LABEL}");
                let deleted = tokio::task::spawn_blocking(move || {
                    client.delete(&path)?.expect(202)?;
                    Ok::<_, anyhow::Error>(Instant::now())
                });
                deleted.await?
            })
            .await?;
        let events = recorded_polls(&db).await?;
        let most = mebibytes(MemoryUse::of(server.id())?.peak);
        println!("{events} events org.status; the server has had {most} MiB in use at the most");
        Ok(by_other && by_server && events == args.clients * 2 && most <= args.memory)
    })
}

/// Creates the orgs and waits until all are ready.
fn create(server: &Server, key: &str, count: usize) -> Result<Vec<OrgId>> {
    let client = server.client(key);
    let mut ids = Vec::with_capacity(count);
    for n in 0..count {
        let request = json!({
            "name": "awaited", "slug": format!("awaited-{n}"), "plan": "free",
            "labels": {"run": "waits"},
        });
        let org = client.post("/cp/orgs", &request)?.expect(201)?;
        ids.push(text(&org, "/id")?.parse()?);
    }
    loop {
        let page = client.get("/cp/orgs?status=provisioning&limit=1")?;
        let page = page.expect(200)?;
        let data = page.get("data").and_then(Value::as_array);
        if data.context("no list")?.is_empty() {
            return Ok(ids);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Gives all orgs a status, with nothing to do for the reconciler.
async fn set(db: &SqlDatabase, ids: &[OrgId], status: OrgStatus) -> Result<()> {
    let ids = ids.to_vec();
    let written: Result<(), StoreError> = db
        .write(move |tx| {
            for &id in &ids {
                if let Some(mut org) = tx.org_for_update(OrgVisibility::All, id)? {
                    org.status = status;
                    tx.org_update(&org, None)?;
                }
            }
            Ok(())
        })
        .await;
    Ok(written?)
}

async fn recorded_polls(db: &SqlDatabase) -> Result<usize> {
    let (mut count, mut after) = (0, None);
    loop {
        let filter = EventFilter {
            action: Some(Action::OrgStatus),
            ..EventFilter::all(AuditVisibility::All)
        };
        let page = PageRequest::new(1000, after);
        let read = db.read(move |view| view.events(&filter, page)).await;
        let page = read.map_err(|error: StoreError| error)?;
        count += page.items.len();
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

struct Bench<'a> {
    server: &'a Server,
    key: Arc<str>,
    ids: Vec<OrgId>,
    clients: usize,
}

impl Bench<'_> {
    /// Has all clients wait, changes the orgs, and says whether all were answered in time.
    async fn round(
        &self,
        what: &str,
        change: impl AsyncFnOnce() -> Result<Instant>,
    ) -> Result<bool> {
        let address = self.server.address;
        let connecting = Arc::new(Semaphore::new(MAX_CONNECTING));
        let sent = Arc::new(Semaphore::new(0));
        let mut clients = JoinSet::new();
        for (&id, _) in self.ids.iter().cycle().zip(0..self.clients) {
            let (connecting, sent) = (Arc::clone(&connecting), Arc::clone(&sent));
            let key = Arc::clone(&self.key);
            clients.spawn(async move {
                let stream = {
                    let _turn = connecting.acquire().await?;
                    let mut stream = TcpStream::connect(address).await?;
                    let request = format!(
                        "GET /cp/orgs/{id}/status HTTP/1.1\r\nHost: cp\r\n\
                         Authorization: Bearer {key}\r\nPrefer: wait=60\r\n\r\n"
                    );
                    stream.write_all(request.as_bytes()).await?;
                    stream
                };
                sent.add_permits(1);
                drop((key, connecting));
                answer(stream).await
            });
        }
        let all = u32::try_from(self.clients)?;
        sent.acquire_many(all).await?.forget();
        sleep(HOLD_TIMEOUT).await;
        ensure!(
            clients.try_join_next().is_none(),
            "a client was answered before anything had changed"
        );
        let pid = self.server.id();
        let used = processor_time(pid)?;
        sleep(IDLE_TIME).await;
        let idle = processor_time(pid)? - used;
        let held = mebibytes(MemoryUse::of(pid)?.now);
        println!(
            "{} clients wait: {held} MiB in use, {:.1} % of a processor",
            self.clients,
            idle.as_secs_f64() / IDLE_TIME.as_secs_f64() * 100.0
        );
        let own = std::process::id();
        let changed = change().await?;
        let used = (processor_time(pid)?, processor_time(own)?);
        let mut samples = Vec::with_capacity(self.clients);
        while let Some(one) = clients.join_next().await {
            samples.push(one??);
        }
        let (server, client) = (processor_time(pid)? - used.0, processor_time(own)? - used.1);
        samples.sort_unstable_by_key(|sample| sample.at);
        let after = |place: usize| {
            samples
                .get(place)
                .map_or(Duration::MAX, |sample| sample.at - changed)
        };
        let (half, took) = (after(self.clients / 2), after(self.clients - 1));
        let mut others = BTreeMap::<(u16, String), usize>::new();
        let mut fine = 0;
        for sample in &samples {
            let (status, org) = read(&sample.response)?;
            if status == 200 && org != "provisioning" {
                fine += 1;
            } else {
                *others.entry((status, org)).or_default() += 1;
            }
        }
        println!(
            "{what}: {fine} answered, half after {:.3} s, the last after {:.3} s; others: {others:?}; \
             meanwhile the server used {:.2} s of a processor, the clients {:.2} s",
            half.as_secs_f64(),
            took.as_secs_f64(),
            server.as_secs_f64(),
            client.as_secs_f64()
        );
        Ok(fine == self.clients && took <= MAX_LATENCY)
    }
}

/// Takes one answer, which is read when all are there: what the clients cost, the server lacks.
async fn answer(mut stream: TcpStream) -> Result<Sample> {
    let mut bytes = Vec::with_capacity(2048);
    while !is_whole(&bytes)? {
        let read = stream.read_buf(&mut bytes).await?;
        ensure!(read > 0, "the server hung up");
    }
    Ok(Sample {
        at: Instant::now(),
        response: bytes,
        _stream: stream,
    })
}

/// Whether all of an answer is there.
fn is_whole(bytes: &[u8]) -> Result<bool> {
    let text = std::str::from_utf8(bytes)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(false);
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(body.len() >= length.context("an answer without a length")?)
}

/// The status of an answer, and that of the org that it tells of.
fn read(answer: &[u8]) -> Result<(u16, String)> {
    let text = std::str::from_utf8(answer)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the head")?;
    let Some(status) = head.split(' ').nth(1).and_then(|word| word.parse().ok()) else {
        bail!("no status in {head:?}");
    };
    let body: Value = serde_json::from_str(body)?;
    let org = body.get("status").and_then(Value::as_str);
    Ok((status, org.unwrap_or_default().to_owned()))
}
