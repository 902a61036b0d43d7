//! Connections of clients, between the socket and the framework.
//!
//! The framework parses requests and writes answers; this decides when it gets to see which bytes. It is
//! given one request at a time, and the next one only once the answer is written. So at most one call and
//! one answer of a connection are in memory, whatever follows a request can't spoil its answer, and a
//! client that has closed its side is answered all the same: the framework drops a call whose input ends
//! or fails, with whatever it was about to record, so it is not told of that before the answer is written.
//! Not a byte of a request is changed, and the framework alone says what it means.
//!
//! Whatever a connection waits for its client for is bounded in time, and connections are bounded in number
//! (`limiter.rs`).

mod body_meter;
mod exchange;
mod head;
mod input;
mod limiter;
mod linger;
mod output;
mod refusal;
mod stream;
mod timer;

use std::{net::SocketAddr, rc::Rc, sync::Arc, task::Context, time::Duration};

use actix_web::web::BytesMut;
use tokio::net::TcpStream;

pub use self::{body_meter::BodyKind, exchange::Exchange, limiter::ConnectionLimiter};
use self::{
    body_meter::BodyMeter,
    head::HeadScan,
    limiter::{ConnectionPermit, Notice},
    linger::Socket,
    refusal::HeadRefusal,
    timer::Timer,
};
use super::App;

/// How long a connection without a request is kept. Balancers keep theirs for 60 s, and whoever closes
/// first must not be the server.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long the head of a request may take from its first byte on.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an answer may take to be read, from the moment when the system takes no more of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body or an answer may still take when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of the next requests is read ahead, in bytes; more is left to the system.
const MAX_AHEAD: usize = 4096;

/// A connection as the framework sees it.
pub struct Connection {
    /// There until the end.
    socket: Option<Socket>,
    app: Arc<App>,
    exchange: Rc<Exchange>,
    stage: Stage,
    /// Bytes behind what the framework was given.
    ahead: BytesMut,
    timer: Timer,
    /// Whether the system takes no more of an answer.
    blocked: bool,
    /// Whether nothing more is given to the framework.
    over: bool,
    /// An answer to what is no request.
    refusal: Option<BytesMut>,
}

/// What the framework is given next.
enum Stage {
    /// The head of a request.
    Head(HeadScan),
    /// Nothing: it has a whole head, and is about to call for an answer.
    Called,
    /// The body of a request.
    Body {
        meter: BodyMeter,
        /// Whether the client is waited for.
        awaited: bool,
        /// Whether the framework has got a piece that it may not have looked at yet.
        given: bool,
    },
}

impl Connection {
    /// A connection that was just accepted; none when there are too many.
    pub fn new(tcp: TcpStream, peer: SocketAddr, app: &Arc<App>) -> Option<Self> {
        let permit = app.connections.acquire(peer.ip())?;
        let mut timer = Timer::default();
        timer.set(IDLE_TIMEOUT);
        Some(Self {
            socket: Some(Socket { tcp, permit }),
            app: Arc::clone(app),
            exchange: Rc::default(),
            stage: Stage::Head(HeadScan::default()),
            ahead: BytesMut::new(),
            timer,
            blocked: false,
            over: false,
            refusal: None,
        })
    }

    /// What it shares with its calls.
    pub const fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }

    fn permit(&self) -> Option<&ConnectionPermit> {
        self.socket.as_ref().map(|socket| &socket.permit)
    }

    fn notice(&self) -> Option<Notice> {
        self.permit()?.notice()
    }

    fn set_waits_for_client(&self, waits: bool) {
        if let Some(permit) = self.permit() {
            permit.set_waits_for_client(waits);
        }
    }

    fn count_close(&self, reason: &str) {
        if let Some(permit) = self.permit() {
            permit.metrics().closed(reason);
        }
    }

    fn register(&self, cx: &Context<'_>) {
        if self.exchange.register(cx.waker())
            && let Some(permit) = self.permit()
        {
            permit.register(cx.waker());
        }
    }

    /// The framework gets nothing more: it answers the call that it has, and ends the connection.
    fn end(&mut self) {
        self.over = true;
        self.timer.clear();
        self.exchange.close();
    }

    /// Answers what is no request, and ends the connection.
    fn reject(&mut self, refusal: HeadRefusal) {
        self.end();
        let answer = refusal.answer(&self.app);
        self.refusal = Some(BytesMut::from(answer.as_slice()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            linger::close(socket);
        }
    }
}
