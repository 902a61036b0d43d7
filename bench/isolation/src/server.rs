//! A server of our own on an empty database and a free port.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::connection::{Connection, TENANT, request};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// The operator's own admin key.
const ADMIN_KEY: &str = "an-admin-key-for-measurements-alone";
/// Makes an org at once, but for those whose slug tells of another pace.
const PROVISIONER: &str = "#!/bin/sh\norg=$(cat)\ncase \"$org\" in\n\
    *'\"slug\":\"never-'*) [ \"$1\" = provision ] && exec sleep 600 ;;\n\
    *'\"slug\":\"slow-'*) [ \"$1\" = provision ] && exec sleep 1 ;;\nesac\nexit 0\n";

/// What the server stores its data in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A running server; it ends with this.
pub(crate) struct Server {
    process: Child,
    place: Arc<Place>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// What the instances on one database share.
struct Place {
    folder: TempDir,
    /// The server and the database on it.
    postgres: Option<(testkit::postgres::Server, String)>,
}

impl Server {
    /// Starts the program that was built beside this one. With `MOLECULE_CP_BENCH_PROGRAM` another build
    /// is measured.
    pub(crate) fn start(engine: Engine) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let server =
                    testkit::postgres::Server::start().context("PostgreSQL is not installed")?;
                let url = server.new_database();
                Some((server, url))
            }
        };
        let provisioner = folder.path().join("provision");
        fs::write(&provisioner, PROVISIONER)?;
        fs::set_permissions(&provisioner, fs::Permissions::from_mode(0o755))?;
        Self::start_in(Arc::new(Place { folder, postgres }))
    }

    /// Starts another instance on the same database.
    pub(crate) fn twin(&self) -> Result<Self> {
        Self::start_in(Arc::clone(&self.place))
    }

    fn start_in(place: Arc<Place>) -> Result<Self> {
        let program = match env::var_os("MOLECULE_CP_BENCH_PROGRAM") {
            Some(program) => program.into(),
            None => env::current_exe()?.with_file_name("molecule-cp"),
        };
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(&program);
        command
            .current_dir(&place.folder)
            .args(["--listen", &address.to_string(), "--data-dir", "data"])
            .env_remove("MOLECULE_CP_BENCH_PROGRAM")
            .env("RUST_LOG", "error")
            .env("MOLECULE_CP_ADMIN_KEY", ADMIN_KEY)
            .env("MOLECULE_CP_ADMIN_RATE_LIMIT", "100000000/1")
            .env("MOLECULE_CP_WEBHOOK_ALLOW_PRIVATE", "true")
            .env("MOLECULE_CP_PROVISIONER", "exec")
            .env(
                "MOLECULE_CP_PROVISIONER_EXEC",
                place.folder.path().join("provision"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some((_, url)) = &place.postgres {
            command.env("MOLECULE_CP_DATABASE_URL", url);
        }
        let process = command
            .spawn()
            .with_context(|| format!("{} can't be started; build it first", program.display()))?;
        let server = Self {
            process,
            place,
            address,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(begun.elapsed() < START, "the server does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// A call of the admin.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request(method, path, ADMIN_KEY, "", &body);
        let answer = Connection::new(TENANT, self.address).send(&request)?;
        match answer.status {
            204 => Ok(Value::Null),
            status @ (200 | 201) => answer.json(status),
            _ => answer.json(200),
        }
    }

    /// A new partner's key with all scopes. Without a limit it has the default, 600 calls in 60 s.
    pub(crate) fn key(&self, limit: Option<u32>) -> Result<Key> {
        let made = self.admin(
            "POST",
            "/cp/admin/partner-keys",
            &json!({
                "name": "bench",
                "scopes": ["orgs:create", "orgs:list", "orgs:delete", "workspaces:create",
                    "billing:read", "audit:read", "webhooks:manage"],
                "rate_limit": limit.map(|limit| json!({"limit": limit, "window_seconds": 1})),
            }),
        )?;
        let text = |name: &str| {
            let value = made.get(name).and_then(Value::as_str);
            Ok::<_, anyhow::Error>(value.with_context(|| format!("no {name}"))?.to_owned())
        };
        Ok(Key {
            id: text("id")?,
            secret: text("key")?,
        })
    }

    /// The most memory that it has had, in MiB.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        let kibibytes: u64 = peak.context("no VmHWM in /proc")?.parse()?;
        Ok(kibibytes.div_ceil(1024))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself can't be killed, and that is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A partner key.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}
