//! A bare connection to a server, for what no client library sends.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
};

use testkit::http::{open, read_response};

use super::{Response, Server};

/// A connection on which bytes are sent as they are.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects.
    pub fn new(server: &Server) -> Self {
        let stream = open(Ipv4Addr::LOCALHOST, server.address().parse().unwrap()).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends as much as the system takes at once; tells how much that was.
    pub fn send_some(&mut self, bytes: &[u8]) -> usize {
        self.0.get_ref().set_nonblocking(true).unwrap();
        let sent = self.0.get_mut().write(bytes).unwrap_or(0);
        self.0.get_ref().set_nonblocking(false).unwrap();
        sent
    }

    /// Says that no more will be sent.
    pub fn half_close(&mut self) -> &mut Self {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
        self
    }

    /// The next response, to a request other than HEAD.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.read_response(true)
    }

    /// The next response, to HEAD.
    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        self.read_response(false)
    }

    /// Sees that the server has closed its side and sent nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.0.fill_buf().unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(rest));
    }

    #[track_caller]
    fn read_response(&mut self, has_body: bool) -> Response {
        let response = read_response(&mut self.0, has_body).unwrap();
        Response::new(response, "on the wire".to_owned())
    }
}
