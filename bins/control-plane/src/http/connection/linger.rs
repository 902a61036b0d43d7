//! The end of a connection whose client still sends.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};

use super::limiter::ConnectionPermit;

/// How long a client may still send after the last answer.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// A socket and its place among the connections.
pub struct Socket {
    pub tcp: TcpStream,
    pub permit: ConnectionPermit,
}

/// Closes a socket. Closing one with input that was not read resets the connection, and what the client
/// has not read yet of its answer is lost; so the input is read for a while and thrown away.
pub fn close(socket: Socket) {
    let mut byte = [0];
    let unread = matches!(socket.tcp.try_read(&mut byte), Ok(1..));
    if let (true, Ok(runtime)) = (unread, Handle::try_current()) {
        // It can't be closed at once in favour of another.
        socket.permit.set_waits_for_client(false);
        runtime.spawn(linger(socket));
    }
}

async fn linger(mut socket: Socket) {
    // Whatever fails, the connection ends.
    let _ = timeout(LINGER_TIMEOUT, drain(&mut socket.tcp)).await;
}

async fn drain(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut thrown_away = [0; 4096];
    while tcp.read(&mut thrown_away).await? > 0 {}
    Ok(())
}
