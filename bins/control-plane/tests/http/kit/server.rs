//! A running server.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::{Command, ExitStatus},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::server;

use super::{ADMIN_KEY, Caller};

/// A running server; it is killed when dropped.
pub struct Server {
    server: server::Server,
    address: String,
    /// The folder of its log.
    _folder: TempDir,
}

impl Server {
    /// Starts the program and waits until it listens.
    #[track_caller]
    pub fn start(program: Command) -> Self {
        Self::try_start(program).unwrap()
    }

    /// The same; the error has the log of a server that has ended instead.
    pub fn try_start(program: Command) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = server::Server::start(program, &folder.path().join("server.log"))?;
        Ok(Self {
            address: server.address.to_string(),
            server,
            _folder: folder,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.server.log().unwrap()
    }

    /// What it has written to standard output.
    pub fn output(&self) -> String {
        self.server.output().unwrap()
    }

    /// Somebody without a credential.
    pub fn anon(&self) -> Caller {
        Caller::new(&self.address, "")
    }

    /// Whoever holds this token.
    pub fn with_token(&self, token: &str) -> Caller {
        Caller::new(&self.address, token)
    }

    /// The operator.
    pub fn admin(&self) -> Caller {
        self.with_token(ADMIN_KEY)
    }

    /// Issues a key with these scopes, of a partner of its own.
    #[track_caller]
    pub fn key(&self, scopes: &[&str]) -> Caller {
        self.issue(json!({"scopes": scopes}))
    }

    /// Issues a key of a partner.
    #[track_caller]
    pub fn key_of(&self, partner_id: &str, scopes: &[&str]) -> Caller {
        self.issue(json!({"scopes": scopes, "partner_id": partner_id}))
    }

    /// Issues a key by this request, which needs no name.
    #[track_caller]
    pub fn issue(&self, mut request: Value) -> Caller {
        let members = request.as_object_mut().unwrap();
        members.entry("name").or_insert_with(|| json!("a key"));
        let key = self
            .admin()
            .post("/cp/admin/partner-keys", request)
            .expect(201);
        Caller::holding(&self.address, key)
    }

    /// Makes a partner by this request, which needs no name; gives its id.
    #[track_caller]
    pub fn partner(&self, mut request: Value) -> String {
        let members = request.as_object_mut().unwrap();
        members.entry("name").or_insert_with(|| json!("a partner"));
        members.entry("plan").or_insert_with(|| json!("partner"));
        let partner = self.admin().post("/cp/admin/partners", request).expect(201);
        partner["id"].as_str().unwrap().to_owned()
    }

    /// The events that fit a query, oldest first, as the operator sees them.
    #[track_caller]
    pub fn events(&self, query: &str) -> Vec<Value> {
        let mut events = self.admin().all(&format!("/cp/admin/audit-events?{query}"));
        events.reverse();
        events
    }

    /// Sends bytes as they are and gives the whole response; the connection is closed after it.
    pub fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(request.as_ref()).unwrap();
        let mut response = Vec::new();
        // A server that has answered may close with bytes unread, which resets the connection.
        let _ = stream.read_to_end(&mut response);
        let _ = stream.shutdown(Shutdown::Both);
        String::from_utf8_lossy(&response).into_owned()
    }

    /// Asks the server to end; tells how it did, and what it has logged.
    #[track_caller]
    pub fn terminate(mut self, timeout: Duration) -> (ExitStatus, String) {
        let status = self.server.terminate(timeout).unwrap();
        (status, self.log())
    }

    /// As [`Server::terminate`], with what it has written to standard output.
    #[track_caller]
    pub fn terminate_with_output(mut self, timeout: Duration) -> (ExitStatus, String) {
        let status = self.server.terminate(timeout).unwrap();
        (status, self.output())
    }

    /// Stops the server in whatever it does, until [`Server::resume`].
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Has a server go on that was paused.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Sends a signal of this name.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let (name, id) = (format!("-{name}"), self.server.id().to_string());
        let sent = Command::new("kill").args([name, id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the server has ended by itself; tells how, and what it has logged.
    #[track_caller]
    pub fn wait(mut self, timeout: Duration) -> (ExitStatus, String) {
        let status = self.server.wait(timeout).unwrap();
        (status, self.log())
    }

    /// Kills the server in whatever it does.
    pub fn kill(&mut self) {
        self.server.kill().unwrap();
    }
}
