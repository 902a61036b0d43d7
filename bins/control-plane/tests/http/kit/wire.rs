//! A bare connection to a server, for what no client library sends.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::Server;

/// A connection on which bytes are sent as they are.
pub struct Wire {
    stream: TcpStream,
    /// What was read behind the last response.
    rest: Vec<u8>,
}

/// One response as it was read.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    /// The lines of the head, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends as much as the system takes at once; tells how much that was.
    pub fn send_some(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let sent = self.stream.write(bytes).unwrap_or(0);
        self.stream.set_nonblocking(false).unwrap();
        sent
    }

    /// Says that no more will be sent.
    pub fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// The next answer, to a request that was no HEAD.
    #[track_caller]
    pub fn response(&mut self) -> RawResponse {
        self.read_response(true)
    }

    /// The next answer, to a HEAD.
    #[track_caller]
    pub fn response_to_head(&mut self) -> RawResponse {
        self.read_response(false)
    }

    /// Sees that the server has closed its side and sent nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert!(self.rest.is_empty(), "{}", self.shown());
        let more = self.read_more();
        assert!(!more, "{}", self.shown());
    }

    #[track_caller]
    fn read_response(&mut self, with_body: bool) -> RawResponse {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read_more(), "the connection ended: {}", self.shown());
        };
        let head: Vec<u8> = self.rest.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
        let length: usize = if with_body { length } else { 0 };
        while self.rest.len() < length {
            assert!(self.read_more(), "the body ended: {head}{}", self.shown());
        }
        let body = self.rest.drain(..length).collect();
        RawResponse { status, head, body }
    }

    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let read = self.stream.read(&mut bytes).unwrap();
        self.rest.extend_from_slice(&bytes[..read]);
        read > 0
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }
}

impl RawResponse {
    /// A header's value, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Sees that this is a problem document of this status and code, whose id is the header's.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        let id = problem["request_id"].as_str().unwrap();
        assert_eq!(
            self.header("x-request-id"),
            Some(&*id.to_ascii_lowercase()),
            "{problem}"
        );
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.trim())
}
