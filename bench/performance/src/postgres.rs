//! A throwaway PostgreSQL of the installed binaries, as the tests have it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{machine::output, process::free_address};

/// Starts, stops and takes away the server, however this process ends. Nothing in it makes the server
/// less durable: `fsync` and `synchronous_commit` are on.
const GUARD: &str = include_str!("../../../crates/testkit/src/postgres/guard.sh");

/// A running PostgreSQL that ends with this value.
pub(crate) struct Postgres {
    binaries: PathBuf,
    port: u16,
    guard: Child,
    answers: BufReader<ChildStdout>,
    databases: u32,
}

impl Postgres {
    /// Starts one.
    pub(crate) fn start() -> Result<Self> {
        let binaries = find().context("PostgreSQL is not installed (Debian: postgresql)")?;
        let folder = TempDir::with_prefix("bench-postgres-")?;
        let port = free_address()?.port();
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "postgres-guard"])
            .args([folder.path(), &binaries])
            .arg(port.to_string())
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // PostgreSQL refuses to be root's.
        if output("id", &["-u"]).as_deref() == Some("0") {
            let id = |flag| output("id", &[flag, "postgres"]).and_then(|id| id.parse::<u32>().ok());
            let uid = id("-u").context("root needs a user postgres to run PostgreSQL as")?;
            let gid = id("-g").context("the user postgres has no group")?;
            chown(folder.path(), Some(uid), Some(gid))?;
            command.uid(uid).gid(gid);
        }
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        let mut guard = command.spawn()?;
        let answers = guard.stdout.take().context("a pipe was asked for")?;
        let mut postgres = Self {
            binaries,
            port,
            guard,
            answers: BufReader::new(answers),
            databases: 0,
        };
        // From here on the folder is the guard's to remove.
        let folder = folder.keep();
        ensure!(postgres.order("start")?, "PostgreSQL does not start");
        let settings = folder.join("data/postgresql.auto.conf");
        // Fewer checkpoints than tests need; the memory is what the guard gives.
        let mut text = fs::read_to_string(&settings)?;
        text.push_str("max_wal_size = '4GB'\nmaintenance_work_mem = '256MB'\n");
        fs::write(&settings, text)?;
        ensure!(
            postgres.order("stop")? && postgres.order("start")?,
            "PostgreSQL does not start again"
        );
        Ok(postgres)
    }

    /// Makes an empty database and tells its URL.
    pub(crate) fn new_database(&mut self) -> Result<String> {
        self.databases = self.databases.saturating_add(1);
        let name = format!("bench_{}", self.databases);
        self.sql("postgres", &format!("create database {name}"))?;
        Ok(self.url(&name))
    }

    /// Runs statements in a database, named or by its URL; gives what they tell.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let url = if database.contains("://") {
            database.to_owned()
        } else {
            self.url(database)
        };
        let output = Command::new(self.binaries.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .arg("--set=ON_ERROR_STOP=1")
            .args([format!("--dbname={url}"), format!("--command={statements}")])
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{statements}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// All files of a database, in bytes.
    pub(crate) fn size_of(&self, url: &str) -> Result<u64> {
        let told = self.sql(url, "select pg_database_size(current_database())")?;
        Ok(told.trim().parse()?)
    }

    /// Where `pgbench` is.
    pub(crate) fn pgbench(&self) -> Option<PathBuf> {
        let beside = self.binaries.join("pgbench");
        if beside.is_file() {
            return Some(beside);
        }
        output("which", &["pgbench"]).map(PathBuf::from)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn order(&mut self, order: &str) -> Result<bool> {
        let stdin = self.guard.stdin.as_mut().context("a pipe was asked for")?;
        writeln!(stdin, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim() == "ok")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The guard ends when all is gone; that it is gone already is as well.
        let _ = self.guard.wait();
    }
}

/// The folder that has all binaries that are needed, of one version.
fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let complete = |folder: &Path| {
        let needed = ["initdb", "postgres", "psql"];
        needed.iter().all(|name| folder.join(name).is_file())
    };
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    debian.sort();
    env::split_paths(&path)
        .chain(debian.into_iter().rev())
        .find(|folder| complete(folder))
}
