//! A throwaway PgBouncer before a throwaway PostgreSQL.

use std::{
    fs,
    net::TcpStream,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Server, user};
use crate::{missing, ports};

/// Where packages put it.
const PLACES: &[&str] = &[
    "/usr/sbin/pgbouncer",
    "/usr/bin/pgbouncer",
    "/usr/local/bin/pgbouncer",
    "/opt/homebrew/bin/pgbouncer",
];
/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// A running PgBouncer that ends with this value, or with the process.
#[derive(Debug)]
pub struct PgBouncer {
    /// A shell that ends it as soon as its input does.
    guard: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// One that hands sessions of a server on in this mode: `session` or `transaction`.
    ///
    /// `None` when it is not installed, which is said loudly.
    ///
    /// # Panics
    /// When it does not start, or, where `CI` is set, when it is not installed.
    #[must_use]
    pub fn start(server: &Server, mode: &str) -> Option<Self> {
        let Some(program) = PLACES.iter().find(|place| Path::new(place).is_file()) else {
            missing::report("PgBouncer");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let users = folder.path().join("users");
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let settings = folder.path().join("settings");
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
                 max_client_conn = 1000\ndefault_pool_size = 8\nserver_idle_timeout = 1\n\
                 unix_socket_dir =\nignore_startup_parameters = extra_float_digits\n",
                server.port(),
                users.display()
            ),
        )
        .unwrap();
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "\"$1\" -q \"$2\" & read -r _; kill $!",
                "guard",
                program,
            ])
            .arg(&settings)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(user) = user::for_server() {
            for path in [folder.path(), &users, &settings] {
                chown(path, Some(user.uid), Some(user.gid)).unwrap();
            }
            command.uid(user.uid).gid(user.gid);
        }
        let pooler = Self {
            guard: command.spawn().unwrap(),
            port,
            _folder: folder,
        };
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Some(pooler)
    }

    /// The URL of a server's database, through this.
    #[must_use]
    pub fn url(&self, server: &Server, url: &str) -> String {
        url.replace(&format!(":{}/", server.port()), &format!(":{}/", self.port))
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
