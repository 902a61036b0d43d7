//! Servers that a measurement starts, each on a free port; they end with their values.

use std::{
    fs::{self, File},
    io::{BufReader, Read},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use testkit::{
    http::{Client, Response},
    ports,
    process::MemoryUse,
    server::{self, ADMIN_KEY},
};

use super::lab::Lab;

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to end once it is asked to.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);
/// Headers that a framework writes by itself, into whatever answer.
const FRAMEWORKS: &[&str] = &["content-length", "date", "transfer-encoding", "connection"];

/// A running server.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a program and waits until it answers; what it says goes to `log`.
    pub(crate) fn start(mut command: Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{:?} can't be started", command.get_program()))?;
        let mut process = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = process.child.try_wait()?.is_some();
            if ended || begun.elapsed() > START_TIMEOUT {
                bail!("{:?} does not start: {}", command.get_program(), tail(log));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(process)
    }

    /// A caller with a token.
    pub(crate) fn client(&self, token: &str) -> Client {
        Client::new(&format!("http://{}", self.address), token)
    }

    /// The resident memory, in bytes.
    pub(crate) fn resident(&self) -> Option<u64> {
        Some(MemoryUse::of(self.child.id()).ok()?.now)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first, so that what it started itself ends too and files are left whole.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let begun = Instant::now();
        while begun.elapsed() < SHUTDOWN_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log, as one.
pub(crate) fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(log) {
        let _ = BufReader::new(file).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.reverse();
    lines.join(" | ")
}

/// What follows a word at the beginning of a line of a log.
pub(crate) fn value_in_log(log: &Path, word: &str) -> Result<String> {
    let text = fs::read_to_string(log)?;
    let found = text.lines().find_map(|line| line.strip_prefix(word));
    let found = found.with_context(|| format!("{} says no {word}", log.display()))?;
    Ok(found.trim().to_owned())
}

/// A server of ours that is being set up.
pub(crate) struct Ours {
    pub(crate) process: Process,
}

/// The pepper of every server of ours here.
pub(crate) const PEPPER: &str = "bench-pepper-bench-pepper-bench-pepper";

impl Ours {
    /// Starts the server on a database, with more settings.
    pub(crate) fn start(folder: &Path, database: &str, settings: &[(&str, &str)]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let mut command = Command::new(server::program()?);
        command
            .current_dir(folder)
            .env("RUST_LOG", "warn")
            .env("MOLECULE_CP_LISTEN", address.to_string())
            .env("MOLECULE_CP_DATA_DIR", folder)
            .env("MOLECULE_CP_DATABASE_URL", database)
            .env("MOLECULE_CP_ADMIN_KEY", ADMIN_KEY)
            .env("MOLECULE_CP_PEPPER", PEPPER)
            .env("MOLECULE_CP_ADMIN_RATE_LIMIT", "100000000/1")
            .envs(settings.iter().copied());
        let process = Process::start(command, address, &folder.join("server.log"))?;
        Ok(Self { process })
    }

    /// The operator.
    pub(crate) fn admin(&self) -> Client {
        self.process.client(ADMIN_KEY)
    }
}

/// Where a bare server records calls.
pub(crate) struct Record {
    /// What `bare --append` takes.
    pub(crate) target: String,
    /// Whether calls are answered before they are recorded.
    pub(crate) ahead: bool,
}

/// Starts the bare server, which answers everything with this response, and records calls if it is told
/// where.
pub(crate) fn bare(lab: &Lab, response: &Response, record: Option<&Record>) -> Result<Process> {
    let folder = lab.folder("bare")?;
    let file = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    };
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let mut command = Command::new(&lab.own);
    command
        .arg("bare")
        .args(["--listen", &address.to_string()])
        .args(["--status", &response.status.to_string()])
        .arg("--headers")
        .arg(file("headers", own_headers(&response.head).as_bytes())?)
        .arg("--body")
        .arg(file("body", response.body.as_bytes())?);
    if let Some(Record { target, ahead }) = record {
        command.args(["--append", target]);
        if *ahead {
            command.arg("--ahead");
        }
    }
    Process::start(command, address, &folder.join("bare.log"))
}

/// The headers that the server's own code wrote.
fn own_headers(head: &str) -> String {
    let is_own = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        !FRAMEWORKS.contains(&name)
    };
    head.lines()
        .filter(is_own)
        .map(|line| format!("{line}\n"))
        .collect()
}
