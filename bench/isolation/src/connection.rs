//! Connections from a chosen loopback address, and as much of HTTP/1.1 as our server speaks back.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Socket, Type};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The tenant's own address.
pub(crate) const TENANT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Where attacks come from.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Opens a connection from an address.
pub(crate) fn open(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// A connection that is kept open.
pub(crate) struct Connection {
    from: Ipv4Addr,
    to: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, of an answer with the status that was hoped for.
    pub(crate) fn json(&self, status: u16) -> Result<serde_json::Value> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        ensure!(self.status == status, "{}: {}", self.status, text());
        serde_json::from_slice(&self.body).with_context(text)
    }
}

/// One request as it goes over the wire.
pub(crate) fn request(method: &str, path: &str, key: &str, more: &str, body: &str) -> String {
    let authorization = if key.is_empty() {
        String::new()
    } else {
        format!("Authorization: Bearer {key}\r\n")
    };
    let length = if body.is_empty() {
        String::new()
    } else {
        format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        )
    };
    format!("{method} {path} HTTP/1.1\r\nHost: cp\r\n{authorization}{length}{more}\r\n{body}")
}

impl Connection {
    /// A connection that is opened by its first call.
    pub(crate) const fn new(from: Ipv4Addr, to: SocketAddr) -> Self {
        let stream = None;
        Self { from, to, stream }
    }

    /// Sends a request and reads its answer; the next call opens the connection again if it broke.
    pub(crate) fn send(&mut self, request: &str) -> Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(open(self.from, self.to)?),
        };
        stream.get_mut().write_all(request.as_bytes())?;
        self.receive(stream)
    }

    /// The same, for one of hundreds of callers: it works only while it holds `turn`, and waits without.
    pub(crate) fn send_in_turn(&mut self, request: &str, turn: &Mutex<()>) -> Result<Answer> {
        let held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(open(self.from, self.to)?),
        };
        stream.get_mut().write_all(request.as_bytes())?;
        drop(held);
        stream.get_ref().peek(&mut [0])?;
        let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.receive(stream)
    }

    fn receive(&mut self, mut stream: BufReader<TcpStream>) -> Result<Answer> {
        let (answer, closes) = read(&mut stream)?;
        if !closes {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// Reads one answer, and whether the connection ends with it.
fn read(stream: &mut BufReader<TcpStream>) -> Result<(Answer, bool)> {
    let first = line(stream)?;
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .with_context(|| format!("no status in {first:?}"))?;
    let (mut length, mut closes) = (0, false);
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "connection" => closes = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((Answer { status, body }, closes))
}

fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    ensure!(stream.read_line(&mut line)? > 0, "the server hung up");
    Ok(line.trim_end().to_owned())
}
