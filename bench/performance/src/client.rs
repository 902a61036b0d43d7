//! One connection that is kept open, for the calls that prepare a measurement.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Headers that a framework writes by itself, into whatever answer.
const FRAMEWORKS: &[&str] = &["content-length", "date", "transfer-encoding", "connection"];

/// A connection on which every call carries one key.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    key: String,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The headers that the server's own code wrote, one on each line.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, key: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            key: key.to_owned(),
        })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        self.call("GET", path, "")
    }

    /// Posts JSON and takes JSON of a 201.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Result<Value> {
        let answer = self.call("POST", path, body)?;
        let text = || String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(
            answer.status == 201,
            "{path}: {}: {}",
            answer.status,
            text()
        );
        serde_json::from_slice(&answer.body).with_context(text)
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             x-api-key: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.key,
            self.key,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let first = self.line()?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .with_context(|| format!("no status in {first:?}"))?;
        let mut length = 0;
        let mut headers = String::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "transfer-encoding" => bail!("an answer in chunks is more than this client reads"),
                name if FRAMEWORKS.contains(&name) => {}
                _ => headers.push_str(&format!("{line}\n")),
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server hung up");
        Ok(line.trim_end().to_owned())
    }
}

/// A text member of an answer.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    let member = value.get(name).and_then(Value::as_str);
    member.with_context(|| format!("the answer has no {name}"))
}
