//! A server of our own, on an empty folder and a free port.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A server that serves for the first time; it ends with this.
pub(crate) struct Server {
    process: Child,
    /// Held open, for a server whose reader has gone may not print.
    output: BufReader<ChildStdout>,
    _folder: TempDir,
    /// Where it listens.
    pub(crate) url: String,
    /// The key that it printed.
    pub(crate) admin_key: String,
}

impl Server {
    /// Starts the program that was built beside this one.
    pub(crate) fn start() -> Result<Self> {
        let program = env::current_exe()?.with_file_name("molecule-cp");
        let folder = tempfile::tempdir()?;
        let mut process = Command::new(&program)
            .current_dir(&folder)
            .args(["--listen", "127.0.0.1:0", "--data-dir", "data"])
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started; build it first", program.display()))?;
        let output = process.stdout.take().context("a pipe was asked for")?;
        let mut server = Self {
            process,
            output: BufReader::new(output),
            _folder: folder,
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
