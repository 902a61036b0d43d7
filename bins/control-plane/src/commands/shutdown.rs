//! From the signal to stop to the answer of the last call.
//!
//! A balancer must learn that this server stops before it does: so the server is not ready first, and goes
//! on answering for a grace period. Each answer closes its connection then, so that clients which keep
//! connections open come back by a new one, which the balancer takes elsewhere. Then the socket is closed.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};

use crate::http::{App, Server};

/// For running calls once nobody can connect any more.
const CALLS_TIMEOUT: Duration = Duration::from_secs(20);
/// For the whole end after the grace period. An orchestrator kills after thirty seconds.
const END_TIMEOUT: Duration = Duration::from_secs(28);
/// Without a grace period, for connections that are open to be told by a last answer that they close.
const LAST_RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The signals that end a server.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// By whatever manages services.
    Terminate,
    /// By somebody at the keyboard, who would not wait.
    Interrupt,
}

impl Signals {
    /// They are noted from now on.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }
}

/// Serves until a signal comes, and ends the server in good order: no request that a client could send on a
/// connection that it was not told to leave is lost. A second signal ends the grace period.
pub async fn serve_until_signal(
    app: &App,
    mut server: Server,
    mut signals: Signals,
    grace: Duration,
) {
    let grace = match signals.next().await {
        Stop::Terminate => grace,
        Stop::Interrupt => Duration::ZERO,
    };
    tracing::info!(grace_seconds = grace.as_secs(), "stopping");
    tell_service_manager(NotifyState::Stopping);
    app.stopping.cancel();
    app.connections.close_after_response();
    app.service.close_status_watch();
    if grace.is_zero() {
        let deadline = Instant::now() + LAST_RESPONSE_TIMEOUT;
        while app.connections.open() > 0 && Instant::now() < deadline {
            sleep(POLL_INTERVAL).await;
        }
    } else {
        // Either is fine.
        let _ = timeout(grace, signals.next()).await;
    }
    thread::spawn(exit_after_timeout);
    server.stop_listening(!grace.is_zero()).await;
    app.connections.drain();
    if timeout(CALLS_TIMEOUT, server.ended()).await.is_err() {
        let open = app.connections.open();
        tracing::warn!(open, "timeout: calls that still run are given up");
    }
}

/// Tells systemd, where that has started this process as `Type=notify`.
pub fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("telling the service manager failed: {error}");
    }
}

fn exit_after_timeout() {
    thread::sleep(END_TIMEOUT);
    tracing::error!("timeout: shutdown took too long, exiting; is the database reachable?");
    crate::end(0)
}
