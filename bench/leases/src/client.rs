//! One connection that is kept open, and as much of HTTP/1.1 as our server speaks back.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a connection may be idle and still be used: the server closes it after five seconds.
const FRESH: Duration = Duration::from_secs(3);

/// A connection on which every call carries one key.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    key: String,
    used: Instant,
}

/// What came back.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Connects to `http://host:port`.
    pub(crate) fn connect(url: &str, key: &str) -> Result<Self> {
        let host = url
            .strip_prefix("http://")
            .context("the URL must begin with http://")?
            .trim_end_matches('/');
        Ok(Self {
            stream: open(host)?,
            host: host.to_owned(),
            key: key.to_owned(),
            used: Instant::now(),
        })
    }

    /// Deletes what is at a path.
    pub(crate) fn delete(&mut self, path: &str) -> Result<Answer> {
        self.call("DELETE", path, "", "")
    }

    /// Reads from a path.
    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        self.call("GET", path, "", "")
    }

    /// Posts JSON to a path; `headers` are whole lines.
    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &str) -> Result<Answer> {
        self.call("POST", path, headers, body)
    }

    fn call(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
        if self.used.elapsed() > FRESH {
            self.stream = open(&self.host)?;
        }
        self.used = Instant::now();
        let Self { host, key, .. } = self;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        let first = self.line()?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .with_context(|| format!("no status in {first:?}"))?;
        let mut length = None;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                ensure!(line.is_empty(), "no header: {line:?}");
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.trim().parse()?),
                "transfer-encoding" => bail!("an answer in chunks is more than this client reads"),
                _ => {}
            }
        }
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server hung up");
        Ok(line.trim_end().to_owned())
    }
}

fn open(host: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(host).with_context(|| format!("no server at {host}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// All items of a list, page by page.
pub(crate) fn all(client: &mut Client, path: &str) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client
            .get(&format!("{path}&limit=100{cursor}"))?
            .json(200)?;
        let data = page.get("data").and_then(Value::as_array);
        items.extend(data.context("no list")?.iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(items),
        }
    }
}

/// A member of an object that is a text.
pub(crate) fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str> {
    let value = object.get(name).and_then(Value::as_str);
    value.with_context(|| format!("no {name} in {object}"))
}

impl Answer {
    /// The body as JSON, of an answer with the status that was hoped for.
    pub(crate) fn json(&self, status: u16) -> Result<Value> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        ensure!(self.status == status, "{}: {}", self.status, text());
        serde_json::from_slice(&self.body).with_context(text)
    }
}
