//! Lingering close, for a client that still sends.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};

use super::limiter::ConnectionPermit;

/// How long a client may still send after the last response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

pub struct Socket {
    pub tcp: TcpStream,
    pub permit: ConnectionPermit,
}

/// Closes a socket. With unread input, closing resets the connection, and the client loses what it has not
/// read of the response. So input is read and thrown away for a while.
pub fn close(socket: Socket) {
    let mut byte = [0];
    let unread = matches!(socket.tcp.try_read(&mut byte), Ok(1..));
    if let (true, Ok(runtime)) = (unread, Handle::try_current()) {
        // It can't be evicted.
        socket.permit.set_waits_for_client(false);
        runtime.spawn(linger(socket));
    }
}

async fn linger(mut socket: Socket) {
    let _ = timeout(LINGER_TIMEOUT, drain(&mut socket.tcp)).await;
}

async fn drain(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut thrown_away = [0; 4096];
    while tcp.read(&mut thrown_away).await? > 0 {}
    Ok(())
}
