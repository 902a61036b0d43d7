//! Connections of clients, between the socket and the framework.
//!
//! The framework parses requests and writes responses. This module decides when it sees which bytes: one
//! request at a time, and the next once the response is written. So at most one call and one response of a
//! connection are in memory, and what follows a request can't break its response. The framework drops a
//! call whose input ends or fails, with the audit event that it was about to write; so it learns of that
//! only after the response. No byte of a request is changed: the framework alone parses them.
//!
//! Every wait for a client has a timeout, and connections are bounded in number (`limiter.rs`).

mod body_meter;
mod exchange;
mod head;
mod head_error;
mod input;
mod limiter;
mod linger;
mod output;
mod stream;
mod timer;

use std::{net::SocketAddr, rc::Rc, sync::Arc, task::Context, time::Duration};

use actix_web::web::BytesMut;
use tokio::{net::TcpStream, time::Instant};

pub use self::{body_meter::BodyKind, exchange::Exchange, limiter::ConnectionLimiter};
use self::{
    body_meter::BodyMeter,
    head::HeadScan,
    head_error::HeadError,
    limiter::{ConnectionPermit, Notice},
    linger::Socket,
    timer::Timer,
};
use super::App;

/// For a connection without a request. Balancers keep theirs for 60 s, and must close first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// For the head of a request, from its first byte on.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// For the client to read the response, from the moment when the socket buffer is full.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// For a head, a body or a response that has begun when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// For the first byte on a new connection when the server stops: its client has made it to send a request.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of the next requests is read ahead, in bytes.
const MAX_AHEAD: usize = 4096;

/// A connection as the framework sees it.
pub struct Connection {
    /// `None` only while it is dropped.
    socket: Option<Socket>,
    app: Arc<App>,
    exchange: Rc<Exchange>,
    stage: Stage,
    /// Bytes that the framework has not been given yet.
    ahead: BytesMut,
    timer: Timer,
    accepted: Instant,
    /// Whether there was a request.
    used: bool,
    /// Whether the socket buffer is full.
    blocked: bool,
    /// Whether the framework gets nothing more.
    over: bool,
    /// The response to what is no request.
    head_error: Option<BytesMut>,
}

/// What the framework is given next.
enum Stage {
    /// The head of a request.
    Head(HeadScan),
    /// Nothing: it has a whole head, and is about to call the handler.
    Called,
    /// The body of a request.
    Body {
        meter: BodyMeter,
        /// Whether the body timeout runs.
        awaited: bool,
        /// Whether the framework has a piece that it may not have parsed yet.
        given: bool,
    },
}

impl Connection {
    /// `None` when there are too many connections.
    pub fn new(tcp: TcpStream, peer: SocketAddr, app: &Arc<App>) -> Option<Self> {
        let permit = app.connections.acquire(peer.ip())?;
        let mut timer = Timer::default();
        timer.set(IDLE_TIMEOUT);
        let exchange = Rc::new(Exchange::new(permit.notices()));
        Some(Self {
            socket: Some(Socket { tcp, permit }),
            app: Arc::clone(app),
            exchange,
            stage: Stage::Head(HeadScan::default()),
            ahead: BytesMut::new(),
            timer,
            accepted: Instant::now(),
            used: false,
            blocked: false,
            over: false,
            head_error: None,
        })
    }

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
        let is_new = self.exchange.register(cx.waker());
        if let Some(permit) = self.permit()
            // A notice has taken the task with it, and another one may follow.
            && (is_new || permit.notice().is_some())
        {
            permit.register(cx.waker());
        }
    }

    /// The framework gets nothing more. It finishes the call that it has, and closes the connection.
    fn end(&mut self) {
        self.over = true;
        self.timer.clear();
        self.exchange.close();
    }

    /// Responds to what is no request, and closes the connection.
    fn reject(&mut self, head_error: HeadError) {
        self.end();
        let answer = head_error.response(&self.app);
        self.head_error = Some(BytesMut::from(answer.as_slice()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            linger::close(socket);
        }
    }
}
