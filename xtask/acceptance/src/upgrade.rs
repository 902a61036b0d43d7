//! Whether two versions work on one database while instances are replaced one by one, and back again.
//!
//! At each step every instance, old and new, sees what every other one has written: orgs, revocations, and
//! answers kept for idempotency keys.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::{
    http::text,
    postgres::Server as Postgres,
    server::{self, Server, Setup, create_key},
};

use crate::crash::Engine;

/// How soon a revocation holds on every instance.
const REVOKED_WITHIN: Duration = Duration::from_secs(2);
/// How long an instance may take to end.
const END: Duration = Duration::from_secs(30);

/// What `upgrade` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program of the version before, such as one that was built in a worktree of its tag.
    #[arg(long)]
    old: PathBuf,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

struct Database {
    setup: Setup,
    old: PathBuf,
    new: PathBuf,
    started: usize,
}

impl Database {
    fn start(&mut self, program: &Path) -> Result<Server> {
        self.started += 1;
        self.setup.program = program.to_owned();
        self.setup.log = self.setup.data.join(format!("{}.log", self.started));
        let server = self.setup.start();
        server.with_context(|| format!("{} does not start", program.display()))
    }

    fn start_old(&mut self) -> Result<Server> {
        self.start(&self.old.clone())
    }

    fn start_new(&mut self) -> Result<Server> {
        self.start(&self.new.clone())
    }
}

/// Replaces two old instances by new ones, and one of those by an old one again; `None` without PostgreSQL.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    let folder = tempfile::tempdir()?;
    let mut setup = Setup::new(server::program()?, folder.path());
    let postgres = match args.engine {
        Engine::Sqlite => None,
        Engine::Postgres => match Postgres::start() {
            Some(server) => Some(server),
            None => return Ok(None),
        },
    };
    setup.database_url = postgres.as_ref().map(Postgres::new_database);
    let mut database = Database {
        new: setup.program.clone(),
        old: std::path::absolute(&args.old)?,
        setup,
        started: 0,
    };
    let mut servers = vec![database.start_old()?, database.start_old()?];
    agree("two old instances", &servers)?;
    servers.push(database.start_new()?);
    agree("a new one beside two old ones", &servers)?;
    end(servers.remove(0))?;
    servers.push(database.start_new()?);
    agree("two new ones beside an old one", &servers)?;
    end(servers.remove(0))?;
    agree("two new ones", &servers)?;
    end(servers.remove(0))?;
    servers.push(database.start_old()?);
    agree("an old one back beside a new one", &servers)?;
    Ok(Some(true))
}

fn end(mut server: Server) -> Result<()> {
    let status = server.terminate(END)?;
    ensure!(status.success(), "{status}: {}", server.log()?);
    Ok(())
}

/// What one instance writes, every instance sees.
fn agree(step: &str, servers: &[Server]) -> Result<()> {
    let begun = Instant::now();
    for (n, writer) in servers.iter().enumerate() {
        let scopes = json!({"scopes": ["orgs:create", "orgs:list", "orgs:delete", "audit:read"]});
        let key = create_key(&writer.admin(), scopes)?;
        let unique = key.id.get(16..).unwrap_or_default().to_lowercase();
        let org = json!({"name": "a", "slug": format!("org-{n}-{unique}"), "plan": "free"});
        let create = |server: &Server| {
            let headers = [("idempotency-key", "the-one")];
            let client = server.client(&key.secret);
            client.call("POST", "/cp/orgs", &headers, &org.to_string())
        };
        let created = create(writer)?;
        let id = text(&created.expect(201)?, "/id")?.to_owned();
        for reader in servers {
            let client = reader.client(&key.secret);
            let read = client.get(&format!("/cp/orgs/{id}"))?.expect(200)?;
            ensure!(text(&read, "/id")? == id, "{read}");
            let replayed = create(reader)?;
            ensure!(replayed.body == created.body, "{step}: {}", replayed.body);
            ensure!(!client.list("/cp/audit-events")?.is_empty(), "{step}");
        }
        wait_until_ready(writer, &key.secret, &id)?;
        for reader in servers {
            let client = reader.client(&key.secret);
            let path = format!("/cp/orgs/{id}/status");
            let status = client.get(&path)?.expect(200)?;
            ensure!(text(&status, "/status")? == "ready", "{step}: {status}");
        }
        let path = format!("/cp/admin/partner-keys/{}", key.id);
        writer.admin().delete(&path)?.expect(204)?;
        let revoked = Instant::now();
        for reader in servers {
            let client = reader.client(&key.secret);
            while client.get("/cp/orgs")?.status != 401 {
                ensure!(
                    revoked.elapsed() < REVOKED_WITHIN,
                    "{step}: a revoked key is accepted"
                );
            }
        }
    }
    println!("{step}: agree, {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn wait_until_ready(server: &Server, key: &str, org: &str) -> Result<()> {
    let client = server.client(key);
    let path = format!("/cp/orgs/{org}/status");
    for _ in 0..10 {
        let status = client
            .call("GET", &path, &[("prefer", "wait=5")], "")?
            .expect(200)?;
        if text(&status, "/status")? == "ready" {
            return Ok(());
        }
    }
    anyhow::bail!("{org} does not become ready")
}
