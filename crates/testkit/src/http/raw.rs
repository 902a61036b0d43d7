//! Connections that do exactly what they are told.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::Response;

/// How long to wait for a connection: the server is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a response may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens a connection from an address of this machine.
///
/// # Errors
/// When it is not accepted.
pub fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&to.into(), CONNECT_TIMEOUT)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    stream.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
    Ok(stream)
}

/// A request as it goes over the wire. An empty token is none; `headers` are whole lines.
pub fn request(method: &str, path: &str, token: &str, headers: &str, body: &str) -> String {
    let authorization = if token.is_empty() {
        String::new()
    } else {
        format!("Authorization: Bearer {token}\r\n")
    };
    let length = if body.is_empty() {
        String::new()
    } else {
        format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        )
    };
    format!("{method} {path} HTTP/1.1\r\nHost: cp\r\n{authorization}{length}{headers}\r\n{body}")
}

/// A connection that is kept open. It is opened when first used, and again after it broke.
#[derive(Debug)]
pub struct RawConnection {
    from: Ipv4Addr,
    to: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl RawConnection {
    /// A connection from an address of this machine.
    #[must_use]
    pub const fn new(from: Ipv4Addr, to: SocketAddr) -> Self {
        let stream = None;
        Self { from, to, stream }
    }

    /// Opens the connection if it is not open.
    ///
    /// # Errors
    /// When it is not accepted.
    pub fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            self.stream = Some(BufReader::new(open(self.from, self.to)?));
        }
        Ok(())
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.stream = None;
    }

    /// Sends a request as it is and reads its response.
    ///
    /// # Errors
    /// When there is no connection or no whole response.
    pub fn send(&mut self, request: &str) -> io::Result<Response> {
        let stream = self.write(request)?;
        self.receive(stream)
    }

    /// As [`RawConnection::send`] for one of hundreds of threads: it works only while it holds the turn,
    /// and waits for the response without.
    ///
    /// # Errors
    /// When there is no connection or no whole response.
    pub fn send_in_turn(&mut self, request: &str, turn: &Mutex<()>) -> io::Result<Response> {
        let held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = self.write(request)?;
        drop(held);
        stream.get_ref().peek(&mut [0])?;
        let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.receive(stream)
    }

    fn write(&mut self, request: &str) -> io::Result<BufReader<TcpStream>> {
        self.connect()?;
        let stream = self.stream.take();
        let mut stream = stream.ok_or_else(|| invalid("a connection that is gone"))?;
        stream.get_mut().write_all(request.as_bytes())?;
        Ok(stream)
    }

    fn receive(&mut self, mut stream: BufReader<TcpStream>) -> io::Result<Response> {
        let response = read_response(&mut stream, true)?;
        let closes = response
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !closes {
            self.stream = Some(stream);
        }
        Ok(response)
    }
}

/// Reads one response, whose head must have its length. One to HEAD has no body.
///
/// # Errors
/// When it is not whole.
pub fn read_response(stream: &mut BufReader<TcpStream>, has_body: bool) -> io::Result<Response> {
    let mut head = String::with_capacity(1024);
    line(stream, &mut head)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| invalid("a response without a status"))?;
    head.clear();
    while line(stream, &mut head)? > 2 {}
    let mut response = Response {
        status,
        head,
        body: String::new(),
    };
    if response.header("transfer-encoding").is_some() {
        return Err(invalid("a response in chunks"));
    }
    if let Some(length) = response.header("content-length").filter(|_| has_body) {
        let length = length.parse().map_err(|_| invalid("a length"))?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        response.body = String::from_utf8(body).map_err(|_| invalid("a body that is no text"))?;
    }
    Ok(response)
}

/// Adds a line and gives its length. A server that is killed may leave half of one.
fn line(stream: &mut BufReader<TcpStream>, text: &mut String) -> io::Result<usize> {
    let length = stream.read_line(text)?;
    if length == 0 || !text.ends_with('\n') {
        return Err(invalid("the server hung up"));
    }
    Ok(length)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// What is read of a server that sends this and hangs up.
    #[track_caller]
    fn check(sent: &'static str, status: Option<u16>, body: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(sent.as_bytes()).unwrap();
        });
        let response = RawConnection::new(Ipv4Addr::LOCALHOST, to).send("GET ");
        server.join().unwrap();
        let response = response.ok();
        assert_eq!(response.as_ref().map(|read| read.status), status, "{sent}");
        assert_eq!(response.unwrap_or_default().body, body, "{sent}");
    }

    #[test]
    fn a_response_is_read_whole_or_not_at_all() {
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Some(200),
            "ok",
        );
        check("HTTP/1.1 204 No Content\r\n\r\n", Some(204), "");
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None, "");
        check("HTTP/1.1 200 OK\r\nContent-Le", None, "");
        check("HTTP/1.1 200 OK\r\n", None, "");
        check("", None, "");
    }
}
