//! The connection as the framework's stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Connection, HEAD_TIMEOUT, Stage, exchange::Phase, head::HeadScan, head_error::HeadError,
};

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
        if this.head_error.is_some() {
            // The framework's own response to the same.
            return Poll::Ready(Ok(bytes.len()));
        }
        this.follow_call();
        if this.exchange.phase() == Phase::Idle
            && let Some(head_error) = HeadError::of_framework(bytes)
        {
            this.reject(head_error);
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
        if this.head_error.is_some() {
            return this.poll_send_refusal(cx);
        }
        this.follow_call();
        match (this.exchange.phase(), &this.stage) {
            (Phase::Responded, _) => this.finish_call(cx),
            (Phase::Idle, Stage::Called) => {
                // The framework sees no end of the head where `HeadScan` saw one.
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
