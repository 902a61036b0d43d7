//! The server under test, on data that outlives it.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::disk::Disk;

/// The operator's own admin key.
pub(crate) const ADMIN_KEY: &str = "operators-own-admin-key-of-the-crash-runs-1";

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server's data is, from one start to the next.
pub(crate) struct Site {
    /// The program.
    pub(crate) program: PathBuf,
    /// The folder of its data.
    pub(crate) folder: PathBuf,
    /// The database; without one, an SQLite file in the folder.
    pub(crate) database_url: Option<String>,
    /// Where its log goes, which is not part of the data.
    pub(crate) log: PathBuf,
    /// The disk under the folder, when its power is to fail.
    pub(crate) disk: Option<Disk>,
}

impl Site {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(&self) -> Result<Server> {
        let mut command = match &self.disk {
            Some(disk) => disk.start(&self.folder, &self.program)?,
            None => Command::new(&self.program),
        };
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("MOLECULE_CP_") {
                command.env_remove(name);
            }
        }
        if let Some(url) = &self.database_url {
            command.env("MOLECULE_CP_DATABASE_URL", url);
        }
        let process = command
            .arg("serve")
            .env("MOLECULE_CP_LISTEN", "127.0.0.1:0")
            .env("MOLECULE_CP_DATA_DIR", &self.folder)
            .env("MOLECULE_CP_ADMIN_KEY", ADMIN_KEY)
            .env("MOLECULE_CP_ADMIN_RATE_LIMIT", "100000000/1")
            .env("RUST_LOG", "info,actix_server=off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&self.log)?)
            .spawn()
            .with_context(|| format!("{} can't be started", self.program.display()))?;
        let mut server = Server {
            process,
            address: String::new(),
        };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let log = fs::read_to_string(&self.log)?;
            if let Some(address) = listening(&log) {
                server.address = address;
                return Ok(server);
            }
            if server.process.try_wait()?.is_some() {
                bail!("the server does not start:\n{log}");
            }
            sleep(Duration::from_millis(2));
        }
        bail!("the server does not listen")
    }

    /// The file of SQLite.
    pub(crate) fn sqlite_file(&self) -> Option<PathBuf> {
        let file = self.folder.join("molecule.db");
        self.database_url.is_none().then_some(file)
    }

    /// The end of the log, to be shown with a finding.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

fn listening(log: &str) -> Option<String> {
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let message = line.get("message")?.as_str()?;
        let address = message.strip_prefix("listening on http://")?;
        Some(address.to_owned())
    })
}

/// A running server; it is killed when dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Server {
    /// Kills it in whatever it does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        // One that has ended by itself can't be killed, and that is for others to wonder about.
        drop(self.process.kill());
        self.process.wait()?;
        Ok(())
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.kill());
    }
}
