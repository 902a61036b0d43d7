//! One connection that is kept open, and as much of HTTP/1.1 as our server speaks back.

use std::{
    io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for a connection: the server is on this machine.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

/// What is sent.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) bearer: &'a str,
    pub(crate) request_id: &'a str,
    /// An idempotency key.
    pub(crate) once: Option<&'a str>,
    pub(crate) body: &'a str,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The audit event that it names.
    pub(crate) event: Option<String>,
    /// Whether it says when to try again.
    pub(crate) retry_after: bool,
    /// Whether it is marked as the repetition of an earlier answer.
    pub(crate) replayed: bool,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The text at a JSON pointer in the body.
    pub(crate) fn text(&self, pointer: &str) -> Option<String> {
        let value = self.json();
        value.pointer(pointer)?.as_str().map(str::to_owned)
    }
}

impl Client {
    /// Connects to `host:port`.
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        let socket = address.parse().map_err(|_| broken("no address"))?;
        let stream = TcpStream::connect_timeout(&socket, CONNECT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: address.to_owned(),
        })
    }

    /// Sends a request and waits for its whole answer.
    pub(crate) fn call(&mut self, request: &Request<'_>) -> io::Result<Answer> {
        let Request {
            method,
            path,
            bearer,
            request_id,
            once,
            body,
        } = request;
        let host = &self.host;
        let once = once.map_or(String::new(), |key| {
            format!("Idempotency-Key: \"{key}\"\r\n")
        });
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\n\
             X-Request-Id: {request_id}\r\n{once}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(text.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut answer = Answer {
            status: status.ok_or_else(|| broken("no status"))?,
            ..Answer::default()
        };
        let mut length = 0;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(|_| broken("no length"))?,
                "audit-event-id" => answer.event = Some(value.to_owned()),
                "retry-after" => answer.retry_after = value.parse::<u32>().is_ok(),
                "idempotency-replayed" => answer.replayed = value == "true",
                "transfer-encoding" => return Err(broken("an answer in chunks")),
                _ => {}
            }
        }
        answer.body = vec![0; length];
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        // A server that is killed may leave half a line.
        if self.stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(broken("the server hung up"));
        }
        Ok(line.trim_end().to_owned())
    }
}

fn broken(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
