//! Writing to the client, and what follows a response.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::web::Buf as _;
use tokio::io::AsyncWrite as _;

use super::{Connection, DRAIN_TIMEOUT, IDLE_TIMEOUT, Stage, WRITE_TIMEOUT, limiter::Notice};

impl Connection {
    /// The response is written: the next call may come.
    pub(super) fn finish_call(&mut self, cx: &mut Context<'_>) {
        self.exchange.finish();
        self.blocked = false;
        if self.over {
            return;
        }
        // A client that was not told so may be sending its next request.
        let closes = self.exchange.is_close_announced() || self.notice() == Some(Notice::Evict);
        if matches!(self.stage, Stage::Body { .. }) || closes {
            self.end();
        } else {
            self.timer.set(IDLE_TIMEOUT);
            self.set_waits_for_client(true);
            // It has not passed. This registers the task to be woken when it has.
            self.timer.poll_expired(cx);
            if self.ahead.is_empty() && !self.exchange.has_input_ended() {
                // The socket wakes the task.
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Whether the client took too long to read the response.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.blocked {
            self.blocked = true;
            self.timer.set(WRITE_TIMEOUT);
            self.set_waits_for_client(true);
        }
        match self.notice() {
            Some(Notice::Evict) => return true,
            Some(Notice::Drain) => self.timer.shorten(DRAIN_TIMEOUT),
            Some(Notice::LastResponse) | None => {}
        }
        let expired = self.timer.poll_expired(cx);
        if expired {
            self.count_close("write_timeout");
        }
        expired
    }

    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let sent = Pin::new(&mut socket.tcp).poll_write(cx, bytes);
        if sent.is_pending() && self.poll_stalled(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        sent
    }

    pub(super) fn poll_send_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut left) = self.head_error.take() {
            if left.is_empty() {
                self.head_error = Some(left);
                break;
            }
            let sent = self.poll_send(cx, &left);
            if let Poll::Ready(Ok(length)) = sent {
                left.advance(length);
            }
            self.head_error = Some(left);
            ready!(sent)?;
        }
        Poll::Ready(Ok(()))
    }
}
