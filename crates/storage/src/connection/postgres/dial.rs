//! Connecting: one server after the other, until one is there and is what was asked for.

use std::{
    error::Error as _,
    fmt, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    pin::{Pin, pin},
    task::{Poll, ready},
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{
    Client, Config, Connection, NoTls, SimpleQueryMessage, config::SslMode, error::SqlState,
    tls::TlsConnect,
};
use tokio_rustls::rustls;

use super::{
    failure,
    parameters::ParameterError,
    server::ServerAddress,
    settings::Settings,
    socket::{self, Socket, SocketLoop},
    tls,
};

/// What sends and receives, as long as it is polled.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// A connection that can be used.
pub(super) struct Dialed {
    pub(super) client: Client,
    pub(super) driver: Driver,
    pub(super) socket: SocketLoop,
}

/// Why there is no connection. The texts may have the URL's password in them.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Servers(Vec<ServerError>),
}

/// Why one server is not connected to.
#[derive(Debug)]
pub(super) struct ServerError {
    server: ServerAddress,
    error: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the name leads to no address")]
    NoAddress,
    #[error("{}", chain(.0))]
    Tls(#[from] tls::TlsError),
    #[error("certificate verify failed: {0}")]
    Certificate(rustls::Error),
    #[error("{}", failure::describe(.0))]
    Postgres(tokio_postgres::Error),
    #[error("the server is read-only")]
    ReadOnly,
}

impl From<tokio_postgres::Error> for Reason {
    fn from(error: tokio_postgres::Error) -> Self {
        let cause = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>());
        let cause = cause.and_then(|cause| cause.get_ref()?.downcast_ref());
        match cause {
            Some(error @ rustls::Error::InvalidCertificate(_)) => Self::Certificate(error.clone()),
            _ => Self::Postgres(error),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.error)
    }
}

/// An error and its cause.
fn chain(error: &tls::TlsError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

/// Connects to the first server that will have it.
pub(super) fn dial(url: &str) -> Result<Dialed, DialError> {
    let settings = Settings::read(url)?;
    let mut errors = Vec::new();
    for server in &settings.servers {
        match to_server(&settings, server) {
            Ok(dialed) => return Ok(dialed),
            Err(error) => {
                let is_final = error.is_final();
                errors.push(ServerError {
                    server: server.clone(),
                    error,
                });
                if is_final {
                    break;
                }
            }
        }
    }
    Err(DialError::Servers(errors))
}

impl Reason {
    /// Whether another server would say the same: this one knows no such role, password or database.
    fn is_final(&self) -> bool {
        let Self::Postgres(error) = self else {
            return false;
        };
        let code = error.code().map(SqlState::code);
        code.is_some_and(|code| code.starts_with("28") || code == "3D000")
    }
}

fn to_server(settings: &Settings, server: &ServerAddress) -> Result<Dialed, Reason> {
    match server {
        ServerAddress::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            // Nobody else can listen there.
            let mut config = settings.config.clone();
            config.ssl_mode(SslMode::Disable);
            let deadline = settings.deadline();
            greet(settings, &config, stream.into(), NoTls, deadline)
        }
        ServerAddress::Tcp {
            host,
            address,
            port,
        } => {
            let addresses: Vec<SocketAddr> = match address {
                Some(address) => vec![SocketAddr::new(*address, *port)],
                None => (host.as_str(), *port).to_socket_addrs()?.collect(),
            };
            let mut last = Reason::NoAddress;
            for address in addresses {
                match to_address(settings, host, address) {
                    Ok(dialed) => return Ok(dialed),
                    Err(error) if error.is_final() => return Err(error),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

fn to_address(settings: &Settings, host: &str, address: SocketAddr) -> Result<Dialed, Reason> {
    let deadline = settings.deadline();
    let stream = match settings.connect_timeout {
        Some(timeout) => TcpStream::connect_timeout(&address, timeout)?,
        None => TcpStream::connect(address)?,
    };
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let socket = SockRef::from(&stream);
    if let Some(keepalive) = &settings.keepalive {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(settings.user_timeout)?;
    let config = &settings.config;
    if settings.tls.mode == SslMode::Disable {
        return greet(settings, config, stream.into(), NoTls, deadline);
    }
    let tls = tls::connect(&settings.tls, host)?;
    greet(settings, config, stream.into(), tls, deadline)
}

impl Settings {
    /// Until when a connection that is begun now must be there.
    fn deadline(&self) -> Option<Instant> {
        self.connect_timeout
            .map(|timeout: Duration| Instant::now() + timeout)
    }
}

/// Encrypts the connection where that is wanted, and tells the server who comes.
fn greet<T>(
    settings: &Settings,
    config: &Config,
    file: OwnedFd,
    tls: T,
    deadline: Option<Instant>,
) -> Result<Dialed, Reason>
where
    T: TlsConnect<Socket>,
    T::Stream: Unpin + Send + 'static,
{
    let (stream, socket) = socket::new(file);
    let mut greeting = pin!(config.connect_raw(stream, tls));
    let greeted = socket.block_on(deadline, |context| greeting.as_mut().poll(context))?;
    let (client, connection) = greeted?;
    let says_no = |name| connection.parameter(name).map(|value| value == "on");
    // Servers before PostgreSQL 14 don't say so of their own accord.
    let is_read_only = says_no("in_hot_standby")
        .zip(says_no("default_transaction_read_only"))
        .map(|(standby, set)| standby || set);
    let mut dialed = Dialed {
        client,
        driver: Box::pin(drive(connection)),
        socket,
    };
    if settings.writable {
        let is_read_only = match is_read_only {
            Some(known) => known,
            None => dialed.ask_read_only(deadline)?,
        };
        if is_read_only {
            return Err(Reason::ReadOnly);
        }
    }
    Ok(dialed)
}

/// Sends and receives; what the server says of its own accord is passed over.
fn drive<S, T>(
    mut connection: Connection<S, T>,
) -> impl Future<Output = Result<(), tokio_postgres::Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    std::future::poll_fn(move |context| {
        loop {
            match ready!(connection.poll_message(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    })
}

impl Dialed {
    fn ask_read_only(&mut self, deadline: Option<Instant>) -> Result<bool, Reason> {
        let mut answer = pin!(self.client.simple_query("SHOW transaction_read_only"));
        let driver = &mut self.driver;
        let messages = self.socket.block_on(deadline, |context| {
            if let Poll::Ready(Err(error)) = driver.as_mut().poll(context) {
                return Poll::Ready(Err(error));
            }
            answer.as_mut().poll(context)
        })??;
        let is_on = |message: &SimpleQueryMessage| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("on"));
        Ok(messages.iter().any(is_on))
    }
}
