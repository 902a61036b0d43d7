//! A running server.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Shutdown, TcpStream},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use super::{ADMIN_KEY, Caller, eventually, within};

/// A running server; it is killed when dropped.
pub struct Server {
    child: Child,
    address: String,
    log: Text,
    output: Text,
    readers: Vec<JoinHandle<()>>,
}

/// What a process has written so far.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<String>>);

impl Text {
    fn get(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn follow(&self, source: impl Read + Send + 'static) -> JoinHandle<()> {
        let text = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).lines() {
                let Ok(line) = line else { break };
                let mut text = text.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        })
    }
}

impl Server {
    /// Starts the program and waits until it listens.
    #[track_caller]
    pub fn start(mut program: Command) -> Self {
        let mut child = program.spawn().unwrap();
        let (log, output) = (Text::default(), Text::default());
        let readers = vec![
            log.follow(child.stderr.take().unwrap()),
            output.follow(child.stdout.take().unwrap()),
        ];
        let mut server = Self {
            child,
            address: String::new(),
            log,
            output,
            readers,
        };
        server.address = eventually("the server listens", || {
            if server.child.try_wait().unwrap().is_some() {
                panic!("the server ended:\n{}", server.log());
            }
            listening(&server.log.get())
        });
        server
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.get()
    }

    /// What it has written to standard output.
    pub fn output(&self) -> String {
        self.output.get()
    }

    /// Somebody without a credential.
    pub fn anon(&self) -> Caller {
        Caller::new(&self.address, None)
    }

    /// Whoever holds this token.
    pub fn with_token(&self, token: &str) -> Caller {
        Caller::new(&self.address, Some(token))
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
        let status = self.end(timeout);
        (status, self.log())
    }

    /// As [`Server::terminate`], with what it has written to standard output.
    #[track_caller]
    pub fn terminate_with_output(mut self, timeout: Duration) -> (ExitStatus, String) {
        let status = self.end(timeout);
        (status, self.output())
    }

    #[track_caller]
    fn end(&mut self, timeout: Duration) -> ExitStatus {
        self.signal("-TERM");
        let status = within(timeout, "the server ends", || {
            self.child.try_wait().unwrap()
        });
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Stops the server in whatever it does, until [`Server::resume`].
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Has a server go on that was paused.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills the server in whatever it does.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listening(log: &str) -> Option<String> {
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let listens = line["message"]
            .as_str()?
            .starts_with("listening on http://");
        let address = line["address"].as_str().filter(|_| listens)?;
        Some(address.to_owned())
    })
}
