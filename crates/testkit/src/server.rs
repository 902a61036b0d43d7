//! The real program, run as a process on a database of its own.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    http::{Client, text},
    process,
};

/// The operator's own admin key of every server that is started here.
pub const ADMIN_KEY: &str = "operators-own-admin-key-of-throwaway-servers-1";
/// Names another build of the program to run.
pub const PROGRAM: &str = "MOLECULE_CP_BENCH_PROGRAM";

/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often to look whether a process has started or ended.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Its own start is logged, and of everything else what is wrong.
const LOG_FILTER: &str = "warn,molecule_cp=info,actix_server=off";

/// The program that was built beside this one, or the one that the environment names.
///
/// # Errors
/// When this program is nowhere.
pub fn program() -> io::Result<PathBuf> {
    match env::var_os(PROGRAM) {
        Some(program) => Ok(program.into()),
        None => Ok(env::current_exe()?.with_file_name("molecule-cp")),
    }
}

/// Where a server keeps its data from one start to the next, and how it is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// The folder of its data.
    pub data: PathBuf,
    /// The database; without one, an SQLite file among the data.
    pub database_url: Option<String>,
    /// Where its log goes.
    pub log: PathBuf,
    environment: Vec<(String, OsString)>,
}

impl Setup {
    /// A server whose data and log are in a folder, with the limits of the admin out of the way.
    pub fn new(program: impl Into<PathBuf>, folder: &Path) -> Self {
        Self {
            program: program.into(),
            data: folder.join("data"),
            database_url: None,
            log: folder.join("server.log"),
            environment: Vec::new(),
        }
        .with_env("RUST_LOG", LOG_FILTER)
        .with("LISTEN", "127.0.0.1:0")
        .with("ADMIN_KEY", ADMIN_KEY)
        .with("ADMIN_RATE_LIMIT", "100000000/1")
    }

    /// The same with a setting of this name, without `MOLECULE_CP_`.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<OsString>) -> Self {
        self.with_env(&format!("MOLECULE_CP_{name}"), value)
    }

    /// The same with a variable of the environment.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The file of SQLite, if that is the database.
    #[must_use]
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let file = self.data.join("molecule.db");
        self.database_url.is_none().then_some(file)
    }

    /// The URL of the database.
    #[must_use]
    pub fn database_url(&self) -> String {
        let sqlite = || format!("sqlite:{}", self.data.join("molecule.db").display());
        self.database_url.clone().unwrap_or_else(sqlite)
    }

    /// Starts the program and waits until it listens.
    ///
    /// # Errors
    /// When it can't be started or does not listen in time; the message has its log.
    pub fn start(&self) -> io::Result<Server> {
        self.start_by(command(&self.program))
    }

    /// Starts the program by a command that runs it, and waits until it listens.
    ///
    /// # Errors
    /// As for [`Setup::start`].
    pub fn start_by(&self, mut command: Command) -> io::Result<Server> {
        fs::create_dir_all(&self.data)?;
        forget_settings(&mut command);
        if let Some(url) = &self.database_url {
            command.env("MOLECULE_CP_DATABASE_URL", url);
        }
        command
            .arg("serve")
            .current_dir(&self.data)
            .env("MOLECULE_CP_DATA_DIR", &self.data)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        Server::start(command, &self.log)
    }
}

/// A command that knows no setting of the one who runs the tests, and reads nothing.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    forget_settings(&mut command);
    command
}

fn forget_settings(command: &mut Command) {
    command.env_remove("RUST_LOG");
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if ["MOLECULE_CP_", "OTEL_"]
            .iter()
            .any(|ours| name_text.starts_with(ours))
        {
            command.env_remove(name);
        }
    }
}

/// The address in the line of the log that says where the server listens.
fn listening(log: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let message = line.get("message")?.as_str()?;
        message.strip_prefix("listening on http://")?.parse().ok()
    })
}

/// A running server; it is killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Runs a command that starts the program, with its log in a file and what it prints beside it, and waits
    /// until it listens.
    ///
    /// # Errors
    /// When it can't be started or does not listen in time; the message has its log.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let child = command
            .stdout(File::create(output_beside(log))?)
            .stderr(File::create(log)?)
            .spawn()
            .map_err(|error| {
                let program = command.get_program().display();
                io::Error::new(error.kind(), format!("{program} can't be started: {error}"))
            })?;
        let mut server = Self {
            child,
            log: log.to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let begun = Instant::now();
        loop {
            let log = server.log()?;
            if let Some(address) = listening(&log) {
                server.address = address;
                return Ok(server);
            }
            if !server.is_running()? || begun.elapsed() > START_TIMEOUT {
                let message = format!("the server does not listen:\n{log}");
                return Err(io::Error::other(message));
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// What it has logged.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(&self.log)
    }

    /// What it has printed.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn output(&self) -> io::Result<String> {
        fs::read_to_string(output_beside(&self.log))
    }

    /// Where it listens, `http://…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A caller with a token.
    #[must_use]
    pub fn client(&self, token: &str) -> Client {
        Client::new(&self.url(), token)
    }

    /// The operator.
    #[must_use]
    pub fn admin(&self) -> Client {
        self.client(ADMIN_KEY)
    }

    /// A new partner key by a request, which needs no name and has no limit unless it names one.
    ///
    /// # Errors
    /// When it is not created.
    pub fn key(&self, request: Value) -> io::Result<Key> {
        create_key(&self.admin(), request)
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it has not within this time; when the system can't tell.
    pub fn terminate(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("the process has no id"))?;
        kill_process(id, Signal::TERM)?;
        self.wait(timeout)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it has not within this time; when the system can't tell.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > timeout {
                let message = format!("the server has not ended within {timeout:?}");
                return Err(io::Error::other(message));
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// Kills it in whatever it does.
    ///
    /// # Errors
    /// When the system can't tell how it ended.
    pub fn kill(&mut self) -> io::Result<()> {
        process::kill(&mut self.child)
    }
}

/// The file of what a server prints, beside its log.
fn output_beside(log: &Path) -> PathBuf {
    log.with_extension("out")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Creates a partner key as the operator, by a request as for [`Server::key`].
///
/// # Errors
/// When it is not created.
pub fn create_key(admin: &Client, mut request: Value) -> io::Result<Key> {
    if let Some(members) = request.as_object_mut() {
        members.entry("name").or_insert_with(|| json!("a key"));
        members.entry("rate_limit").or_insert_with(unlimited);
    }
    let created = admin
        .post("/cp/admin/partner-keys", &request)?
        .expect(201)?;
    Ok(Key {
        id: text(&created, "/id")?.to_owned(),
        secret: text(&created, "/key")?.to_owned(),
    })
}

/// A limit that nobody reaches.
#[must_use]
pub fn unlimited() -> Value {
    json!({"limit": 100_000_000, "window_seconds": 1})
}

/// A partner key.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}
