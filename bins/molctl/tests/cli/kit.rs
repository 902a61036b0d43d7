//! Runs of the program in an environment of their own, and a server that always answers the same.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

/// A key of the right form that no server knows.
pub const KEY: &str = "mol_pk_05Kc1YtE0OgkAb3vTq7Zr906QnLw2xXb8HdRjUfMs4PyGa1cVe";

/// A home of its own, in which the program runs.
pub struct Home {
    folder: TempDir,
    server: Option<String>,
    key: Option<String>,
}

impl Home {
    /// One without a server and a key.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: None,
            key: None,
        }
    }

    /// One whose environment names a server and a key.
    pub fn with(server: &str, key: &str) -> Self {
        Self {
            server: Some(server.to_owned()),
            key: Some(key.to_owned()),
            ..Self::new()
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file of profiles.
    pub fn config(&self) -> PathBuf {
        self.path().join(".config/molctl/config.toml")
    }

    /// Writes a file into the home.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with these arguments, tried once.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_molctl"));
        command
            .args(args)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("HOME", self.path())
            .env("NO_PROXY", "*")
            // No keyring, least of all that of whoever runs the tests.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
            .env("MOLCTL_RETRY_FOR", "0")
            .current_dir(self.path())
            .stdin(Stdio::null());
        if let Some(server) = &self.server {
            command.env("MOLCTL_SERVER", server);
        }
        if let Some(key) = &self.key {
            command.env("MOLCTL_KEY", key);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args), args)
    }

    /// Runs the program with a text on its standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that needs no input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::new(child.wait_with_output().unwrap(), args)
    }
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub args: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(mut command: Command, args: &[&str]) -> Self {
        Self::new(command.output().unwrap(), args)
    }

    pub fn new(output: std::process::Output, args: &[&str]) -> Self {
        let ran = Self {
            args: args.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        ran
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "molctl {}\n{}{}",
            self.args, self.stdout, self.stderr
        );
        self
    }

    /// Standard output, JSON and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error on standard error, JSON and nothing else.
    #[track_caller]
    pub fn error(&self) -> Value {
        let error: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        error["error"].clone()
    }

    /// Checks that one line of standard error says this, and that there is no other.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        assert!(self.stderr.lines().count() <= 2, "{self:?}");
        self
    }
}

/// A server that answers every request alike.
pub struct Scripted {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// One that answers with this status, type and body, and these headers beside them.
    pub fn new(status: u16, content_type: &str, body: &str, headers: &[(&str, &str)]) -> Self {
        let mut answer = format!("HTTP/1.1 {status} Scripted\r\ncontent-type: {content_type}\r\n");
        for (name, value) in headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        answer.push_str(&format!(
            "content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ));
        Self::answering(move |_| answer.clone())
    }

    /// One whose answers, as bytes, are made from the beginnings of the requests and their number.
    pub fn answering(answer: impl Fn(usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that is gone is none of the server's business.
                if let Ok(stream) = stream
                    && let Some(request) = read(&stream)
                {
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request);
                        seen.len()
                    };
                    let mut stream = stream;
                    let _ = stream.write_all(answer(number).as_bytes());
                }
            }
        });
        Self { address, requests }
    }

    /// A problem document of the API with this status and code.
    pub fn problem(status: u16, code: &str) -> Self {
        let body = format!(
            r#"{{"type":"http://h/problems/{code}","title":"T","status":{status},"detail":"what is wrong and what to do","code":"{code}","request_id":"req_1"}}"#
        );
        Self::new(
            status,
            "application/problem+json",
            &body,
            &[("retry-after", "1")],
        )
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests that came, in lower case.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads a request and returns its head.
fn read(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(head)
}

/// An address at which nothing listens.
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
