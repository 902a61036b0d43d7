//! Which bytes of the client the framework is given.

use std::{
    mem::{self, MaybeUninit},
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::web::{Buf as _, BytesMut};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::{
    BODY_TIMEOUT, Connection, DRAIN_TIMEOUT, FIRST_BYTE_TIMEOUT, HEAD_TIMEOUT, MAX_AHEAD, Stage,
    body_meter::{BodyMeter, Metered},
    exchange::Phase,
    head::{HeadScan, MAX_HEAD},
    head_error::HeadError,
    limiter::Notice,
};

impl Connection {
    /// Checks whether the framework has called the handler for the head that it was given.
    pub(super) fn follow_call(&mut self) {
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

    /// Starts the body timeout where the body is not complete.
    pub(super) fn await_body(&mut self) {
        if let Stage::Body { awaited, .. } = &mut self.stage
            && !*awaited
        {
            *awaited = true;
            self.timer.set(BODY_TIMEOUT);
            self.set_waits_for_client(true);
        }
    }

    /// Whether the framework must parse a piece of a body first. Given more, it would take all of that into
    /// its buffer, and keep a buffer of that size.
    pub(super) fn pauses(&mut self) -> bool {
        match &mut self.stage {
            Stage::Body { given, .. } => mem::take(given),
            Stage::Head(_) | Stage::Called => false,
        }
    }

    /// Whether the framework gets nothing now.
    pub(super) fn is_held_back(&self) -> bool {
        match self.stage {
            Stage::Head(_) => self.exchange.phase() != Phase::Idle,
            Stage::Called => true,
            Stage::Body { .. } => !self.exchange.is_body_wanted(),
        }
    }

    /// Reads ahead a little, to find out whether the client has closed its side.
    pub(super) fn read_ahead(&mut self, cx: &mut Context<'_>) {
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

    /// Reads what is available into the buffer.
    pub(super) fn poll_input(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buf.remaining());
            buf.put_slice(self.ahead.get(..length).unwrap_or_default());
            self.ahead.advance(length);
            if self.ahead.is_empty() {
                // Frees a buffer that may have been large: there are many connections.
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
        // A broken connection is treated like one that ended: its call goes on.
        let broken = ready!(Pin::new(&mut socket.tcp).poll_read(cx, buf)).is_err();
        if broken || buf.filled().len() == before {
            self.exchange.end_input();
        }
        Poll::Ready(())
    }

    /// Gives the framework what belongs to this stage, and keeps the rest.
    pub(super) fn hand_over(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let piece = buf.filled().get(before..).unwrap_or_default();
        let taken = match &self.stage {
            Stage::Head(_) => self.take_head(piece),
            Stage::Body { .. } => self.take_body(piece),
            Stage::Called => Some(0),
        };
        let taken = taken.unwrap_or(0);
        let rest = piece.get(taken..).unwrap_or_default();
        // After the end of input the rest is never needed.
        if !rest.is_empty() && !self.over {
            let mut ahead = BytesMut::from(rest);
            ahead.unsplit(mem::take(&mut self.ahead));
            self.ahead = ahead;
        }
        buf.set_filled(before.saturating_add(taken));
    }

    /// How much of a piece belongs to the head; nothing of one that is too large.
    fn take_head(&mut self, piece: &[u8]) -> Option<usize> {
        let Stage::Head(scan) = &mut self.stage else {
            return None;
        };
        let first = scan.seen() == 0;
        self.used = true;
        let end = scan.find_end(piece);
        if scan.seen() > MAX_HEAD {
            self.reject(HeadError::TooLarge);
            return None;
        }
        if end.is_some() {
            self.stage = Stage::Called;
            self.timer.clear();
        } else if first {
            self.timer.set(HEAD_TIMEOUT);
        }
        Some(end.unwrap_or(piece.len()))
    }

    /// How much of a piece belongs to the body; nothing of one that is framed wrongly.
    fn take_body(&mut self, piece: &[u8]) -> Option<usize> {
        let Stage::Body { meter, given, .. } = &mut self.stage else {
            return None;
        };
        match meter.take(piece) {
            Metered::More => {
                *given = true;
                Some(piece.len())
            }
            Metered::Ends(end) => {
                self.exchange.body_ended();
                self.stage = Stage::Head(HeadScan::default());
                self.timer.clear();
                self.set_waits_for_client(false);
                Some(end)
            }
            Metered::Broken => {
                self.end();
                None
            }
        }
    }

    /// The client has ended its input within this stage.
    pub(super) fn input_ended(&mut self) {
        if let Stage::Head(scan) = &self.stage
            && scan.seen() > 0
        {
            self.reject(HeadError::BrokenOff);
        } else {
            self.end();
        }
    }

    /// Whether a part of a request has come.
    fn has_begun(&self) -> bool {
        match &self.stage {
            Stage::Head(scan) => scan.seen() > 0,
            Stage::Called | Stage::Body { .. } => true,
        }
    }

    /// Whether the system has bytes of the client's that were not read.
    fn has_unread_input(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.socket
            .as_ref()
            .is_some_and(|socket| matches!(recv(&socket.tcp, &mut [0], flags), Ok((1.., _))))
    }

    /// Whether the connection is closed because of a timeout or a notice.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> bool {
        match self.notice() {
            Some(Notice::Drain) if self.has_begun() => self.timer.shorten(DRAIN_TIMEOUT),
            Some(Notice::Drain) if !self.used => {
                self.timer.shorten_to(self.accepted + FIRST_BYTE_TIMEOUT);
            }
            // The runtime may not know of it yet, and then wakes the task.
            Some(Notice::Drain) if self.has_unread_input() => return false,
            Some(Notice::Drain | Notice::Evict) => {
                self.end();
                return true;
            }
            Some(Notice::LastResponse) | None => {}
        }
        if !self.timer.poll_expired(cx) {
            return false;
        }
        match &self.stage {
            Stage::Head(scan) if scan.seen() > 0 => {
                self.count_close("head_timeout");
                self.reject(HeadError::Timeout);
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
}
