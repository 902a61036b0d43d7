//! The server: its socket, and the framework on its connections.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_http::{HttpService, KeepAlive, error::DispatchError};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, map_config};
use actix_web::{
    App as ActixApp, Error,
    dev::{AppConfig, Server, fn_service},
};
use rustix::net;
use tokio::net::TcpStream;

use super::{App, connection::Connection};
use crate::{handlers::reference::Published, routes};

/// For running calls after the signal to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// For a port that is in use.
const PORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that are not accepted yet. The system's own bound may be lower (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// How much of an answer that nobody reads the system keeps for a connection, in bytes; Linux takes it
/// twice. Left to itself it keeps up to 4 MiB, and a few hundred connections then use up the memory that
/// the system has for everybody's.
const SEND_BUFFER: usize = 128 * 1024;

/// Binds the port, with retries: after a kill it may be in use for a moment by a program that the killed
/// server was about to start.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
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
                // Connections have what the socket has that they come from.
                net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
                return Ok(listener);
            }
        }
    }
}

///
/// # Errors
/// When the socket or the workers can't be set up.
pub fn server(
    app: &Arc<App>,
    published: &Arc<Published>,
    listener: TcpListener,
) -> io::Result<Server> {
    let (app, published) = (Arc::clone(app), Arc::clone(published));
    let server = Server::build()
        .shutdown_timeout(SHUTDOWN_TIMEOUT.as_secs())
        .listen("http", listener, move || {
            let accepting = Arc::clone(&app);
            let handlers = ActixApp::new()
                .configure(|config| {
                    // Each worker has a router of its own; `serve` has checked that it can be made.
                    match routes::router(&published) {
                        Ok(router) => router.serve(Arc::clone(&app), config),
                        Err(error) => {
                            tracing::error!("making the routes of a worker failed: {error}")
                        }
                    }
                })
                .into_factory()
                .map_err(|error: Error| error.error_response());
            let http = HttpService::build()
                // `Connection` has timers of its own, and ends only when its calls are answered.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(Duration::ZERO)
                .h1_allow_half_closed(true)
                .on_connect_ext(|connection: &Connection, data| {
                    data.insert(Rc::clone(connection.exchange()));
                })
                .h1(map_config(handlers, |()| AppConfig::default()));
            fn_service(move |tcp: TcpStream| {
                let app = Arc::clone(&accepting);
                async move {
                    let peer = tcp.peer_addr()?;
                    let connection = Connection::new(tcp, peer, &app)
                        .ok_or_else(|| io::Error::other("too many connections"))?;
                    Ok::<_, DispatchError>((connection, Some(peer)))
                }
            })
            .and_then(http)
        })?;
    Ok(server.run())
}
