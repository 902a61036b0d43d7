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
mod limiter;
mod linger;
mod refusal;
mod timer;

use std::{
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::web::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub use self::{body_meter::BodyKind, exchange::Exchange, limiter::ConnectionLimiter};
use self::{
    body_meter::{BodyMeter, Metered},
    exchange::Phase,
    head::{HeadScan, MAX_HEAD},
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
        let permit = app.connections.admit(peer.ip())?;
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

    /// Sees whether the framework has called for an answer to the head that it was given.
    fn follow_call(&mut self) {
        let Some(kind) = self.exchange.take_begun() else {
            return;
        };
        self.set_waits_for_client(false);
        self.stage = match BodyMeter::new(kind) {
            Some(meter) => Stage::Body {
                meter,
                awaited: false,
                given: false,
            },
            None => Stage::Head(HeadScan::default()),
        };
    }

    /// From now on the client is waited for, when it owes a body.
    fn await_body(&mut self) {
        if let Stage::Body { awaited, .. } = &mut self.stage
            && !*awaited
        {
            *awaited = true;
            self.timer.set(BODY_TIMEOUT);
            self.set_waits_for_client(true);
        }
    }

    /// Whether the framework is to look at a piece of a body first: it would take all that is there into
    /// its buffer, and keep a buffer of that size.
    fn pauses(&mut self) -> bool {
        match &mut self.stage {
            Stage::Body { given, .. } => std::mem::take(given),
            Stage::Head(_) | Stage::Called => false,
        }
    }

    /// Whether the framework gets nothing now.
    fn is_held_back(&self) -> bool {
        match self.stage {
            Stage::Head(_) => self.exchange.phase() != Phase::Idle,
            Stage::Called => true,
            Stage::Body { .. } => !self.exchange.is_body_wanted(),
        }
    }

    /// Reads a little of what comes next, to find out whether the client has closed its side.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        while self.ahead.len() < MAX_AHEAD && !self.exchange.has_input_ended() {
            let mut space = [MaybeUninit::uninit(); MAX_AHEAD];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut socket.tcp).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.ahead.extend_from_slice(read.filled());
                }
                Poll::Ready(_) => self.exchange.end_input(),
                Poll::Pending => return,
            }
        }
    }

    /// Puts into the buffer what there is; nothing where the input has ended.
    fn poll_input(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buf.remaining());
            buf.put_slice(self.ahead.get(..length).unwrap_or_default());
            self.ahead.advance(length);
            if self.ahead.is_empty() {
                // It may have been large, and there are many connections.
                self.ahead = BytesMut::new();
            }
            return Poll::Ready(());
        }
        if self.exchange.has_input_ended() {
            return Poll::Ready(());
        }
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(());
        };
        let before = buf.filled().len();
        // A connection that broke is like one that ended: its call goes on.
        let broken = ready!(Pin::new(&mut socket.tcp).poll_read(cx, buf)).is_err();
        if broken || buf.filled().len() == before {
            self.exchange.end_input();
        }
        Poll::Ready(())
    }

    /// Gives the framework what belongs to this stage; the rest is kept for later.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let piece = buf.filled().get(before..).unwrap_or_default();
        let taken = match &mut self.stage {
            Stage::Head(scan) => {
                let first = scan.seen() == 0;
                let end = scan.find_end(piece);
                if scan.seen() > MAX_HEAD {
                    buf.set_filled(before);
                    self.refuse(HeadRefusal::TooLarge);
                    return;
                }
                match end {
                    Some(_) => {
                        self.stage = Stage::Called;
                        self.timer.clear();
                    }
                    None if first => self.timer.set(HEAD_TIMEOUT),
                    None => {}
                }
                end
            }
            Stage::Body { meter, given, .. } => match meter.take(piece) {
                Metered::More => {
                    *given = true;
                    None
                }
                Metered::Ends(end) => {
                    self.exchange.body_ended();
                    self.stage = Stage::Head(HeadScan::default());
                    self.timer.clear();
                    self.set_waits_for_client(false);
                    Some(end)
                }
                Metered::Broken => {
                    buf.set_filled(before);
                    self.end();
                    return;
                }
            },
            Stage::Called => Some(0),
        };
        if let Some(taken) = taken {
            let rest = piece.get(taken..).unwrap_or_default();
            if !rest.is_empty() {
                let mut ahead = BytesMut::from(rest);
                ahead.unsplit(std::mem::take(&mut self.ahead));
                self.ahead = ahead;
            }
            buf.set_filled(before.saturating_add(taken));
        }
    }

    /// The framework gets nothing more: it answers the call that it has, and ends the connection.
    fn end(&mut self) {
        self.over = true;
        self.timer.clear();
        self.exchange.close();
    }

    /// Answers what is no request, and ends the connection.
    fn refuse(&mut self, refusal: HeadRefusal) {
        self.end();
        let answer = refusal.answer(&self.app);
        self.refusal = Some(BytesMut::from(answer.as_slice()));
    }

    /// The client has ended its input within this stage.
    fn input_ended(&mut self) {
        match &self.stage {
            Stage::Head(scan) if scan.seen() > 0 => self.refuse(HeadRefusal::BrokenOff),
            _ => self.end(),
        }
    }

    /// Whether the connection ends because its client was waited for too long, or because of a notice.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> bool {
        let in_body = matches!(self.stage, Stage::Body { .. });
        match self.notice() {
            Some(Notice::Drain) if in_body => self.timer.shorten(DRAIN_TIMEOUT),
            Some(_) => {
                self.end();
                return true;
            }
            None => {}
        }
        if !self.timer.poll_expired(cx) {
            return false;
        }
        match &self.stage {
            Stage::Head(scan) if scan.seen() > 0 => {
                self.count_close("head_timeout");
                self.refuse(HeadRefusal::Timeout);
            }
            Stage::Body { .. } => {
                self.count_close("body_timeout");
                self.end();
            }
            Stage::Head(_) | Stage::Called => {
                self.count_close("idle");
                self.end();
            }
        }
        true
    }

    /// The answer to a call is written: the next one may come.
    fn finish_call(&mut self, cx: &mut Context<'_>) {
        self.exchange.finish();
        self.blocked = false;
        if self.over {
            return;
        }
        if matches!(self.stage, Stage::Body { .. }) || self.notice().is_some() {
            self.end();
        } else {
            self.timer.set(IDLE_TIMEOUT);
            self.set_waits_for_client(true);
            // It has not passed; the task is to be woken when it has.
            self.timer.poll_expired(cx);
            if self.ahead.is_empty() && !self.exchange.has_input_ended() {
                // The socket wakes the task.
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Whether an answer that the system takes no more of has been waited for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.blocked {
            self.blocked = true;
            self.timer.set(WRITE_TIMEOUT);
            self.set_waits_for_client(true);
        }
        match self.notice() {
            Some(Notice::Evict) => return true,
            Some(Notice::Drain) => self.timer.shorten(DRAIN_TIMEOUT),
            None => {}
        }
        let expired = self.timer.poll_expired(cx);
        if expired {
            self.count_close("write_timeout");
        }
        expired
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match Pin::new(&mut socket.tcp).poll_write(cx, bytes) {
            Poll::Pending if self.poll_stalled(cx) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            sent => sent,
        }
    }

    fn poll_send_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut left) = self.refusal.take() {
            if left.is_empty() {
                self.refusal = Some(left);
                break;
            }
            let sent = self.poll_send(cx, &left);
            if let Poll::Ready(Ok(length)) = sent {
                left.advance(length);
            }
            self.refusal = Some(left);
            ready!(sent)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.register(cx);
        this.follow_call();
        if this.over {
            return Poll::Ready(Ok(()));
        }
        if this.is_held_back() {
            this.read_ahead(cx);
            if this.notice() == Some(Notice::Drain) {
                this.exchange.close();
            }
            return Poll::Pending;
        }
        this.await_body();
        if this.pauses() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        match this.poll_input(cx, buf) {
            Poll::Ready(()) if buf.filled().len() > before => this.hand_over(buf, before),
            Poll::Ready(()) => this.input_ended(),
            Poll::Pending if this.poll_end(cx) => {}
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            // The framework's own answer to the same.
            return Poll::Ready(Ok(bytes.len()));
        }
        this.follow_call();
        if this.exchange.phase() == Phase::Idle
            && let Some(refusal) = HeadRefusal::of_framework(bytes)
        {
            this.refuse(refusal);
            return Poll::Ready(Ok(bytes.len()));
        }
        let sent = this.poll_send(cx, bytes);
        if let Poll::Ready(Err(_)) = sent
            && this.exchange.phase() == Phase::Running
        {
            // "100 Continue" to a client that is gone. The framework would drop the call.
            this.exchange.end_input();
            return Poll::Ready(Ok(bytes.len()));
        }
        sent
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_send_refusal(cx);
        }
        this.follow_call();
        match (this.exchange.phase(), &this.stage) {
            (Phase::Answered, _) => this.finish_call(cx),
            (Phase::Idle, Stage::Called) => {
                // The framework sees no end of the head where we saw one.
                this.stage = Stage::Head(HeadScan::default());
                this.timer.shorten(HEAD_TIMEOUT);
                cx.waker().wake_by_ref();
            }
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Some(socket) => Pin::new(&mut socket.tcp).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            linger::close(socket);
        }
    }
}
