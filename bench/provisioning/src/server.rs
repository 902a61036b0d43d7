//! A server that is killed every so often and started again on the same data.

use std::{
    env,
    ffi::OsStr,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

/// The operator's own admin key.
pub(crate) const ADMIN_KEY: &str = "operators-own-admin-key-of-this-chaos-0001";

/// What a server is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) folder: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) at_once: u32,
    pub(crate) fails: u32,
    pub(crate) database_url: Option<String>,
    address: String,
}

impl Setup {
    /// A free port and these settings.
    pub(crate) fn new(
        folder: &Path,
        program: &Path,
        (at_once, fails): (u32, u32),
        database_url: Option<String>,
    ) -> Result<Self> {
        // Below the ports that the system gives away, or somebody may get it while the server is down.
        let listener = (20_000..30_000)
            .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .context("no port is free")?;
        Ok(Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            at_once,
            fails,
            database_url,
            address: listener.local_addr()?.to_string(),
        })
    }

    /// Where the server is, when it runs.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn start(&self) -> Result<Child> {
        let server = env::current_exe()?.with_file_name("molecule-cp");
        let mut command = Command::new(&server);
        let settings: [(&str, &OsStr); 6] = [
            ("LISTEN", self.address.as_ref()),
            ("DATA_DIR", self.folder.as_os_str()),
            ("ADMIN_KEY", ADMIN_KEY.as_ref()),
            ("PROVISIONER", "exec".as_ref()),
            ("PROVISIONER_EXEC", self.program.as_os_str()),
            ("PROVISIONER_ENV", "FOLDER,FAILS".as_ref()),
        ];
        for (name, value) in settings {
            command.env(format!("MOLECULE_CP_{name}"), value);
        }
        if let Some(url) = &self.database_url {
            command.env("MOLECULE_CP_DATABASE_URL", url);
        }
        command
            .env("MOLECULE_CP_PROVISIONER_AT_ONCE", self.at_once.to_string())
            .env("FOLDER", &self.folder)
            .env("FAILS", self.fails.to_string())
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} can't be started; build it first", server.display()))
    }
}

/// Whoever kills the server and starts it again.
pub(crate) struct Killer {
    stop: Arc<AtomicBool>,
    kills: Arc<AtomicU32>,
    thread: JoinHandle<Result<()>>,
}

impl Killer {
    /// Starts a server and begins.
    pub(crate) fn start(setup: Setup, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let kills = Arc::new(AtomicU32::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&kills));
        let thread = thread::spawn(move || {
            loop {
                let mut server = setup.start()?;
                thread::sleep(every);
                if let Some(status) = server.try_wait()? {
                    return Err(anyhow!("the server ended by itself: {status}"));
                }
                server.kill()?;
                server.wait()?;
                count.fetch_add(1, Ordering::SeqCst);
                if stopped.load(Ordering::SeqCst) {
                    return Ok(());
                }
            }
        });
        Self {
            stop,
            kills,
            thread,
        }
    }

    /// How often it has killed.
    pub(crate) fn kills(&self) -> u32 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Whether it has given up.
    pub(crate) fn gave_up(&self) -> bool {
        self.thread.is_finished()
    }

    /// Kills once more and ends.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread
            .join()
            .map_err(|_| anyhow!("the killer has panicked"))?
    }
}
