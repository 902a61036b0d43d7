//! A server of our own, on an empty folder and a free port, and callers of it.

use std::{
    env,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use ureq::Agent;

/// The operator's own admin key of this server.
const ADMIN_KEY: &str = "operators-own-admin-key-of-the-bench-0001";
/// How long a server may take to begin, and a call to be answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it ends with this.
pub(crate) struct Server {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Server {
    /// Starts the program that was built beside this one, on SQLite or on the database of a URL.
    pub(crate) fn start(database: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = env::current_exe()?.with_file_name("molecule-cp");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(&program);
        command
            .current_dir(folder.path())
            .args(["--listen", &address.to_string(), "--data-dir", "data"])
            .env("RUST_LOG", "error")
            .env("MOLECULE_CP_ADMIN_KEY", ADMIN_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(url) = database {
            command.env("MOLECULE_CP_DATABASE_URL", url);
        }
        let process = command
            .spawn()
            .with_context(|| format!("{} can't be started; build it first", program.display()))?;
        let server = Self {
            process,
            url: format!("http://{address}"),
            _folder: folder,
        };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < PATIENCE, "the server does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Makes something as the operator.
    pub(crate) fn admin(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, made) = self.caller(ADMIN_KEY).post(path, body)?;
        ensure!(status == 201, "{path}: {status} {made}");
        Ok(made)
    }

    /// Whoever calls with a key.
    pub(crate) fn caller(&self, key: &str) -> Caller {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build();
        Caller {
            agent: agent.into(),
            url: self.url.clone(),
            authorization: format!("Bearer {key}"),
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

/// A caller with one key.
pub(crate) struct Caller {
    agent: Agent,
    url: String,
    authorization: String,
}

impl Caller {
    /// Posts JSON; the status and the body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let answer = request
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/json")
            .send(body.to_string())?;
        read(answer)
    }

    /// Asks, and has the answer held until there is something to say.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, Value)> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let answer = request
            .header("Authorization", &self.authorization)
            .header("Prefer", "wait=20")
            .call()?;
        read(answer)
    }

    /// Deletes; the status.
    pub(crate) fn delete(&self, path: &str) -> Result<u16> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        let answer = request
            .header("Authorization", &self.authorization)
            .call()?;
        Ok(read(answer)?.0)
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Result<(u16, Value)> {
    let text = answer.body_mut().read_to_string()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok((answer.status().as_u16(), body))
}
