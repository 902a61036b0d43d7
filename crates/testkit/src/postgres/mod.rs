//! A throwaway PostgreSQL of the installed binaries: its own folder, its own port, gone afterwards.
//!
//! A test whose server has detected a deadlock fails (`deadlocks.rs`).
//!
//! It refuses to use a server that happens to run. A small shell script, `guard.sh`, owns the server and
//! waits on a pipe from the test process; so both vanish also when that process is killed.

mod binaries;
mod deadlocks;
mod pgbouncer;
mod user;

pub use pgbouncer::PgBouncer;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use std::os::unix::process::CommandExt;

use crate::ports;

/// How often another port is tried: between finding a free one and using it, somebody may take it.
const ATTEMPTS: u32 = 5;

/// Looks through every index of our tables, and sees that each row is in it.
const AMCHECK: &str = "set client_min_messages = warning;
    create extension if not exists amcheck;
    select bt_index_check(i.indexrelid, true)
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_am a on a.oid = c.relam
    where a.amname = 'btree' and c.relnamespace = 'public'::regnamespace";

/// A row that is seen and whose transaction is in progress was written by this very transaction.
const SECOND_UPDATES: &str = "
    create function refuse_second_update() returns trigger language plpgsql as $$
    begin
        if pg_xact_status(old.xmin::text::xid8) = 'in progress' then
            raise exception 'a second update of a row of % in one transaction', tg_table_name;
        end if;
        return new;
    end $$;
    do $$
    declare referring regclass;
    begin
        for referring in select distinct conrelid::regclass from pg_constraint where contype = 'f'
        loop
            execute format('create trigger one_update before update on %s for each row \
                            execute function refuse_second_update()', referring);
        end loop;
    end $$;";

/// A running PostgreSQL that ends with this value, or with the process.
#[derive(Debug)]
pub struct Server {
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
    guard: Mutex<Guard>,
    databases: AtomicU32,
    /// Whether somebody has asked for the deadlocks, and sees to them.
    asked: AtomicBool,
}

#[derive(Debug)]
struct Guard {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// The one server that all tests of this process share, started when first asked for.
    ///
    /// It leaves it to the system when to write to the disk, which saves most of what a new database costs.
    ///
    /// `None` when PostgreSQL is not installed, which is said loudly.
    ///
    /// # Panics
    /// When it does not start, or, where `CI` is set, when it is not installed.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        let start = || {
            let server = Self::installed("off")?;
            deadlocks::watch(server.log());
            Some(server)
        };
        SHARED.get_or_init(start).as_ref()
    }

    /// A server for one test alone, to be stopped and started at will.
    ///
    /// `None` when PostgreSQL is not installed, which is said loudly.
    ///
    /// # Panics
    /// As for [`Server::shared`].
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::installed("on")
    }

    fn installed(fsync: &str) -> Option<Self> {
        let Some(binaries) = binaries::find() else {
            crate::missing::report("PostgreSQL");
            return None;
        };
        Some(Self::start_from(&binaries, fsync, None))
    }

    /// A copy of this server that follows it and takes no changes, until it is promoted.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        Self::start_from(&self.binaries, "on", Some(self.port))
    }

    fn start_from(binaries: &Path, fsync: &str, primary: Option<u16>) -> Self {
        for _ in 1..ATTEMPTS {
            if let Ok(server) = Self::try_start(binaries, fsync, primary) {
                return server;
            }
        }
        match Self::try_start(binaries, fsync, primary) {
            Ok(server) => server,
            Err(log) => panic!(
                "PostgreSQL of {} does not start:\n{log}",
                binaries.display()
            ),
        }
    }

    /// Has a standby take changes from now on.
    ///
    /// # Panics
    /// When it is none.
    pub fn promote(&self) {
        self.sql("SELECT pg_promote()");
    }

    /// Has a server that is stopped take no changes from its next start on, as a standby.
    ///
    /// # Panics
    /// When its folder can't be written to.
    pub fn demote(&self) {
        std::fs::write(self.folder.join("data/standby.signal"), "").unwrap();
    }

    fn try_start(binaries: &Path, fsync: &str, primary: Option<u16>) -> Result<Self, String> {
        let user = user::for_server();
        let folder = tempfile::Builder::new()
            .prefix("testkit-postgres-")
            .tempdir()
            .unwrap();
        if let Some(user) = user {
            std::os::unix::fs::chown(folder.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let port = ports::free();
        let mut command = Command::new("sh");
        command
            .args(["-c", include_str!("guard.sh"), "postgres-guard"])
            .args([folder.path(), binaries])
            .args([port.to_string().as_str(), fsync])
            .args(primary.map(|port| port.to_string()))
            // A signal to the tests' process group must not reach the guard before its work is done.
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
        let mut process = command.spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let server = Self {
            binaries: binaries.to_owned(),
            // From here on the folder is the guard's to remove.
            folder: folder.keep(),
            port,
            guard: Mutex::new(Guard { process, answers }),
            databases: AtomicU32::new(0),
            asked: AtomicBool::new(false),
        };
        if server.order("start") {
            Ok(server)
        } else {
            Err(std::fs::read_to_string(server.log()).unwrap_or_default())
        }
    }

    /// Makes a fresh empty database and returns its URL.
    ///
    /// # Panics
    /// When it can't be made, as when the server is stopped.
    pub fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst) + 1);
        self.sql(&format!("create database {name}"));
        self.url(&name)
    }

    /// Makes a copy of a database that nobody is connected to, and returns its URL.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn copy_of(&self, url: &str) -> String {
        let (_, original) = url.rsplit_once('/').unwrap();
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst) + 1);
        self.sql(&format!("create database {name} template {original}"));
        self.url(&name)
    }

    /// Runs statements as the superuser, outside of every test database.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, statements: &str) {
        self.ask(&self.url("postgres"), statements);
    }

    /// Runs statements as the superuser in the database of a URL, and gives their rows, a line for each.
    ///
    /// # Panics
    /// When one fails.
    pub fn ask(&self, url: &str, statements: &str) -> String {
        self.psql(url, statements)
            .unwrap_or_else(|errors| panic!("{statements}: {errors}"))
    }

    /// The folder of PostgreSQL's own programs, `psql` among them.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Runs statements in a database; their rows, or what psql says when one fails.
    fn psql(&self, url: &str, statements: &str) -> Result<String, String> {
        let output = Command::new(self.binaries.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--tuples-only", "--no-align"])
            .arg(format!("--dbname={url}"))
            .arg(format!("--command={statements}"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// What is wrong with the indexes of a database and the rows that they are of, by the extension
    /// `amcheck`, which comes with the server; nothing when all is well.
    pub fn faults(&self, url: &str) -> Vec<String> {
        self.psql(url, AMCHECK).err().into_iter().collect()
    }

    /// The port on 127.0.0.1; it stays the same.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder in which all of the server's files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many deadlocks the server has detected. Whoever asks sees to them: the end of the server says
    /// nothing more.
    pub fn deadlocks(&self) -> usize {
        self.asked.store(true, Ordering::SeqCst);
        deadlocks::count(&self.log())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Refuses, from now on, a second update of a row in one transaction, in every table of a database
    /// that refers to others.
    ///
    /// PostgreSQL looks at a row's foreign keys again when it is updated by the transaction that has
    /// written it, whether they change or not. That takes locks on rows which the statement does not
    /// name, in an order that nobody has chosen.
    ///
    /// # Panics
    /// When it can't be done.
    pub fn refuse_second_updates(&self, url: &str) {
        self.ask(url, SECOND_UPDATES);
    }

    /// Stops the server as an operator would: connections end, the data stays.
    ///
    /// # Panics
    /// When the guard is gone.
    pub fn stop(&self) {
        assert!(self.order("stop"), "PostgreSQL does not stop");
    }

    /// Stops the server as a loss of power would: nothing is written down, and the next start recovers.
    ///
    /// # Panics
    /// When the guard is gone.
    pub fn crash(&self) {
        assert!(self.order("crash"), "PostgreSQL does not stop");
    }

    /// Stops all processes of the server where they are: connections stay and nothing answers.
    ///
    /// # Panics
    /// When the guard is gone.
    pub fn pause(&self) {
        assert!(self.order("pause"), "PostgreSQL can't be paused");
    }

    /// Lets the server go on after [`Server::pause`].
    ///
    /// # Panics
    /// When the guard is gone.
    pub fn resume(&self) {
        assert!(self.order("resume"), "PostgreSQL does not go on");
    }

    /// Starts the server after [`Server::stop`] or [`Server::crash`], on the same port and data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.stop();
        assert!(self.order("start"), "PostgreSQL does not start again");
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Gives an order to the guard and waits for its answer.
    fn order(&self, order: &str) -> bool {
        let mut guard = self.guard.lock().unwrap();
        let stdin = guard.process.stdin.as_mut().unwrap();
        writeln!(stdin, "{order}").unwrap();
        let mut answer = String::new();
        guard.answers.read_line(&mut answer).unwrap();
        answer.trim() == "ok"
    }
}

impl Drop for Server {
    /// # Panics
    /// When the server has detected a deadlock, unless the test has failed already.
    fn drop(&mut self) {
        let deadlock = deadlocks::in_log(&self.log());
        if let Ok(guard) = self.guard.get_mut() {
            drop(guard.process.stdin.take());
            // The guard ends when all is gone; that it is gone already is as well.
            let _ = guard.process.wait();
        }
        if let Some(report) = deadlock
            && !*self.asked.get_mut()
            && !std::thread::panicking()
        {
            panic!("PostgreSQL has detected a deadlock:\n{report}");
        }
    }
}
