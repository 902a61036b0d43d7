//! A server of our own, on an empty folder and a free port.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;

fn spawn(folder: &TempDir) -> Result<Child> {
    let program = env::current_exe()?.with_file_name("molecule-cp");
    Command::new(&program)
        .current_dir(folder)
        .args(["--listen", "127.0.0.1:0", "--data-dir", "data"])
        .env("RUST_LOG", "warn")
        // What is measured is not how many calls an admin may make.
        .env("MOLECULE_CP_ADMIN_RATE_LIMIT", "100000000/1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} can't be started; build it first", program.display()))
}

/// A running server; it ends with this.
pub(crate) struct Server {
    process: Child,
    /// Held open, for a server whose reader has gone may not print.
    output: BufReader<ChildStdout>,
    folder: TempDir,
    /// Where it listens.
    pub(crate) url: String,
    /// The key that it printed.
    pub(crate) admin_key: String,
}

impl Server {
    /// Starts the program that was built beside this one.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut process = spawn(&folder)?;
        let output = process.stdout.take().context("a pipe was asked for")?;
        let mut server = Self {
            process,
            output: BufReader::new(output),
            folder,
            url: String::new(),
            admin_key: String::new(),
        };
        let mut line = String::new();
        while server.url.is_empty() || server.admin_key.is_empty() {
            line.clear();
            let read = server.output.read_line(&mut line)?;
            ensure!(read > 0, "the server said no address or no admin key");
            server.hear(&line);
        }
        Ok(server)
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The URL of its database.
    pub(crate) fn database_url(&self) -> String {
        let folder = self.folder.path().display();
        format!("sqlite:{folder}/data/molecule.db")
    }

    /// A partner key with these scopes and no limit to speak of.
    pub(crate) fn key(&self, scopes: &[&str]) -> Result<String> {
        let request = json!({
            "name": "bench", "scopes": scopes,
            "rate_limit": {"limit": 100_000_000, "window_seconds": 1},
        });
        let mut admin = Client::connect(&self.url, &self.admin_key)?;
        let issued = admin
            .post("/cp/admin/partner-keys", "", &request.to_string())?
            .json(201)?;
        let key = issued.get("key").and_then(Value::as_str);
        Ok(key.context("no key in the answer")?.to_owned())
    }

    /// Takes the key and the address from a line of what a first start prints.
    fn hear(&mut self, line: &str) {
        for word in line.split_whitespace() {
            if word.starts_with("mol_ak_") {
                word.clone_into(&mut self.admin_key);
            } else if word.starts_with("http://")
                && let Some((url, _)) = word.split_once("/cp/")
            {
                url.clone_into(&mut self.url);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself can't be killed, and that is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
