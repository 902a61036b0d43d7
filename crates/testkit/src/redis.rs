//! A throwaway Redis or Valkey of the installed binary: its own folder, its own port, gone afterwards.
//!
//! It refuses to use a server that happens to run. A shell owns the server and waits on a pipe from the test
//! process; so the server vanishes also when that process is killed.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{missing, ports};

/// The programs that are tried, in this order.
const PROGRAMS: &[&str] = &["redis-server", "valkey-server"];
/// Names a program to be tried before them.
const PROGRAM: &str = "MOLECULE_TEST_REDIS";
/// How long it may take to start.
const START: Duration = Duration::from_secs(20);
/// Starts the server, tells its number and ends it when the input ends.
const GUARD: &str = "\"$@\" >>log 2>&1 </dev/null & echo $!; read -r _; kill -9 $!; wait";

/// A running server that ends with this value, or with the process.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    port: u16,
    running: Mutex<Option<Running>>,
}

/// The shell that owns the server, and the number of the server's process.
#[derive(Debug)]
struct Running {
    guard: Child,
    process: String,
}

impl Server {
    /// A server with these arguments beside those that any test needs.
    ///
    /// `None` when neither Redis nor Valkey is installed, which is said loudly.
    ///
    /// # Panics
    /// When it does not start, or, where `CI` is set, when it is not installed.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let Some(program) = find() else {
            missing::report("Redis");
            return None;
        };
        let server = Self {
            program,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            folder: tempfile::tempdir().unwrap(),
            port: ports::free(),
            running: Mutex::new(None),
        };
        server.restart();
        Some(server)
    }

    /// Its port on 127.0.0.1, which stays the same, also where it speaks TLS.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its URL without a password and without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Starts it, without anything that it had before.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.kill();
        let port = self.port.to_string();
        let is_encrypted = self
            .arguments
            .iter()
            .any(|argument| argument == "--tls-cert-file");
        let ports = if is_encrypted {
            ["--port", "0", "--tls-port", &port]
        } else {
            ["--port", &port, "--loglevel", "notice"]
        };
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "redis-guard"])
            .arg(&self.program)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(ports)
            .args(&self.arguments)
            .current_dir(self.folder.path())
            // A signal to the tests' process group must not end the guard before the server.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = String::new();
        let told = guard.stdout.take().unwrap();
        BufReader::new(told).read_line(&mut process).unwrap();
        let process = process.trim().to_owned();
        *self.running.lock().unwrap() = Some(Running { guard, process });
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "Redis does not start:\n{}",
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it in whatever it does.
    ///
    /// # Panics
    /// When the system can't tell how it ended.
    pub fn kill(&self) {
        let running = self.running.lock().unwrap().take();
        if let Some(mut running) = running {
            // One that is stopped ends by this signal too.
            drop(running.guard.stdin.take());
            running.guard.wait().unwrap();
        }
    }

    /// Stops it where it is: connections stay and nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let running = self.running.lock().unwrap();
        let process = &running.as_ref().unwrap().process;
        let sent = Command::new("kill").args([name, process]).status().unwrap();
        assert!(sent.success(), "Redis has ended");
    }

    /// Sends one command of words without spaces, on a connection of its own, and gives the first line of
    /// the answer.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn command(&self, words: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(START)).unwrap();
        stream.write_all(format!("{words}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// The text that a command answers with.
    ///
    /// # Panics
    /// When it answers with something else.
    pub fn text(&self, words: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(START)).unwrap();
        stream.write_all(format!("{words}\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = String::new();
        reader.read_line(&mut length).unwrap();
        let length = length
            .trim_end()
            .strip_prefix('$')
            .unwrap()
            .parse()
            .unwrap();
        let mut text = vec![0; length];
        reader.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the program is.
fn find() -> Option<PathBuf> {
    if let Some(program) = env::var_os(PROGRAM) {
        return Some(program.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/bin".into(), "/usr/local/bin".into()]);
    let programs = folders.flat_map(|folder| PROGRAMS.iter().map(move |name| folder.join(name)));
    programs
        .into_iter()
        .find(|program: &PathBuf| Path::is_file(program))
}
