//! A throwaway nginx of the installed binary, before servers of the tests.

use std::{
    fs,
    net::TcpStream,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{missing, ports};

/// Where packages put it.
const PROGRAMS: &[&str] = &[
    "/usr/sbin/nginx",
    "/usr/bin/nginx",
    "/usr/local/bin/nginx",
    "/opt/homebrew/bin/nginx",
];
/// For its start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running nginx that ends with this value, or with the process.
#[derive(Debug)]
pub struct Nginx {
    /// A shell that ends it as soon as its input does.
    guard: Child,
    port: u16,
    folder: TempDir,
}

impl Nginx {
    /// One with these `server` and `upstream` blocks, which have the port to listen on from the argument.
    ///
    /// `None` when it is not installed, which is said loudly.
    ///
    /// # Panics
    /// When it does not start, or, where `CI` is set, when it is not installed.
    #[must_use]
    pub fn start(blocks: impl FnOnce(u16) -> String) -> Option<Self> {
        let Some(program) = PROGRAMS.iter().find(|path| Path::new(path).is_file()) else {
            missing::report("nginx");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let path = |name: &str| folder.path().join(name);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {};\n", path(name).display()))
            .collect();
        // Its workers would be nobody's otherwise, and could not enter the folder.
        let user = if folder.path().metadata().unwrap().uid() == 0 {
            "user root;"
        } else {
            ""
        };
        let settings = format!(
            "daemon off;\n{user}\nworker_processes 2;\npid {};\nerror_log {} warn;\n\
             events {{ worker_connections 512; }}\n\
             http {{\naccess_log off;\n{temporary}{}}}\n",
            path("pid").display(),
            path("log").display(),
            blocks(port)
        );
        fs::write(path("nginx.conf"), settings).unwrap();
        let guard = Command::new("sh")
            .args([
                "-c",
                "\"$1\" -e \"$2\" -p \"$3\" -c \"$4\" & read -r _; kill $!; wait $!",
            ])
            .args(["guard", program])
            .args([path("log"), folder.path().to_owned(), path("nginx.conf")])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self {
            guard,
            port,
            folder,
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "nginx does not start:\n{}",
                nginx.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Some(nginx)
    }

    /// Where it listens, `http://…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What has gone wrong, in its own words.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
