//! The socket that the server listens on.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use listenfd::ListenFd;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net,
};
use smallvec::{SmallVec, smallvec};

/// For a port that is in use.
const PORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that are not accepted yet. The system's own bound may be lower (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// How much of an answer that nobody reads the system keeps for a connection, in bytes; Linux takes it
/// twice. Left to itself it keeps up to 4 MiB, and a few hundred connections then use up the memory that
/// the system has for everybody's.
const SEND_BUFFER: usize = 128 * 1024;

/// A socket that listens. It is no longer there for others once it is dropped, unless it was inherited.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    inherited: bool,
}

impl Listener {
    /// The socket that systemd has opened for this process, else one of our own at this address.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = match inherited()? {
            Some(socket) => Self {
                socket,
                inherited: true,
            },
            None => {
                let socket = bind(address).await;
                Self {
                    socket: socket.with_context(|| {
                        format!("can't listen on {address} (`listen` names another)")
                    })?,
                    inherited: false,
                }
            }
        };
        // Connections have what the socket has that they come from.
        net::sockopt::set_socket_send_buffer_size(&listener.socket, SEND_BUFFER)?;
        listener.socket.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Whether another process keeps the socket open, so that connections wait for the next server.
    pub const fn is_inherited(&self) -> bool {
        self.inherited
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits until a connection waits to be accepted, until there is something to read on `stop` or it is
    /// closed, or for this long.
    pub fn wait(&self, stop: Option<&UnixStream>, timeout: Option<Duration>) -> io::Result<Wait> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut files: SmallVec<[PollFd<'_>; 2]> =
            smallvec![PollFd::new(&self.socket, PollFlags::IN)];
        files.extend(stop.map(|stop| PollFd::new(stop, PollFlags::IN)));
        match poll(&mut files, timeout.as_ref()) {
            Ok(0) => Ok(Wait::TimedOut),
            Ok(_) if files.get(1).is_some_and(|stop| !stop.revents().is_empty()) => {
                Ok(Wait::Stopped)
            }
            Ok(_) | Err(Errno::INTR) => Ok(Wait::Waiting),
            Err(error) => Err(error.into()),
        }
    }

    /// A connection that waits, if there is one; it does not block, and neither does this.
    pub fn accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        match self.socket.accept() {
            Ok((connection, peer)) => {
                connection.set_nonblocking(true)?;
                Ok(Some((connection, peer)))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the system pass over requests for new connections. Their clients ask again after a second, and
    /// are refused then, or taken by the next server; a connection that is accepted and then closed with
    /// the socket would be reset, and a request that was sent on it lost.
    pub fn refuse_new(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use socket2::{SockFilter, SockRef};
            const LOAD_BYTE: u16 = 0x30;
            const AND: u16 = 0x54;
            const JUMP_IF_EQUAL: u16 = 0x15;
            const RETURN: u16 = 0x06;
            // A TCP header has its flags at this offset.
            const FLAGS: u32 = 13;
            const SYN: u32 = 0x02;
            const ACK: u32 = 0x10;
            SockRef::from(&self.socket).attach_filter(&[
                SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
                SockFilter::new(AND, 0, 0, SYN | ACK),
                SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
                SockFilter::new(RETURN, 0, 0, 0),
                SockFilter::new(RETURN, 0, 0, u32::MAX),
            ])?;
        }
        Ok(())
    }
}

/// What a wait for connections ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There may be a connection.
    Waiting,
    Stopped,
    TimedOut,
}

/// The socket that systemd passes to a service with a `.socket` unit, by `LISTEN_FDS`.
fn inherited() -> anyhow::Result<Option<TcpListener>> {
    let mut passed = ListenFd::from_env();
    ensure!(
        passed.len() <= 1,
        "{} sockets were passed in LISTEN_FDS; the socket unit must have one ListenStream",
        passed.len()
    );
    passed
        .take_tcp_listener(0)
        .context("the socket passed in LISTEN_FDS does not listen on TCP; see ListenStream")
}

/// Binds the port, with retries: after a kill it may be in use for a moment by a program that the killed
/// server was about to start.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let deadline = Instant::now() + PORT_TIMEOUT;
    let mut warned = false;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                if !warned {
                    tracing::warn!(%address, "the port is in use, will retry");
                    warned = true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
            Ok(listener) => {
                // The standard library's backlog is 128; to listen again sets another.
                net::listen(&listener, BACKLOG)?;
                return Ok(listener);
            }
        }
    }
}
