//! The socket of one connection, and the loop that waits for it.
//!
//! tokio-postgres is written for an async runtime. Callers of this crate may block, and some of them are
//! within a runtime, where a second one can't be started. So each connection has this loop instead: it
//! polls, and while nothing can go on it waits in `poll(2)` for its one socket.

use std::{
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, read},
    net::{SendFlags, send},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connected socket that doesn't block.
pub(super) struct Socket(Arc<Shared>);

struct Shared {
    file: OwnedFd,
    /// Whether bytes may have come that were not read yet. Where there are none for certain, the system
    /// need not be asked.
    readable: AtomicBool,
    /// Whether bytes are left that the system did not take.
    is_full: AtomicBool,
    /// Whether something that was polled can go on without the socket.
    woken: AtomicBool,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
    }
}

/// Runs futures that need nothing but one socket.
pub(super) struct SocketLoop {
    shared: Arc<Shared>,
    waker: Waker,
}

/// A socket, which must not block, and its loop.
pub(super) fn new(file: OwnedFd) -> (Socket, SocketLoop) {
    let shared = Arc::new(Shared {
        file,
        readable: AtomicBool::new(false),
        is_full: AtomicBool::new(false),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&shared));
    (Socket(Arc::clone(&shared)), SocketLoop { shared, waker })
}

impl SocketLoop {
    /// Polls until there is a result.
    ///
    /// # Errors
    /// When the deadline has passed, as [`io::ErrorKind::TimedOut`], or the socket can't be waited for.
    pub(super) fn block_on<T>(
        &self,
        deadline: Option<Instant>,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> io::Result<T> {
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(result) = work(&mut context) {
                return Ok(result);
            }
            if !self.shared.woken.swap(false, Ordering::Acquire) {
                self.wait(deadline)?;
            }
        }
    }

    /// Polls once, to send what can be sent without waiting.
    pub(super) fn poll_once<T>(&self, work: impl FnOnce(&mut Context<'_>) -> Poll<T>) {
        let _ = work(&mut Context::from_waker(&self.waker));
    }

    fn wait(&self, deadline: Option<Instant>) -> io::Result<()> {
        let mut flags = PollFlags::IN;
        if self.shared.is_full.load(Ordering::Relaxed) {
            flags |= PollFlags::OUT;
        }
        let timeout = match deadline {
            None => None,
            Some(deadline) => {
                let left = deadline.checked_duration_since(Instant::now());
                let left = left.ok_or(io::ErrorKind::TimedOut)?;
                Some(Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?)
            }
        };
        let mut files = [PollFd::new(&self.shared.file, flags)];
        match poll(&mut files, timeout.as_ref()) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {
                let [file] = &files;
                // An error or the end of the stream is told by reading.
                if file.revents() != PollFlags::OUT {
                    self.shared.readable.store(true, Ordering::Relaxed);
                }
                self.shared.is_full.store(false, Ordering::Relaxed);
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shared = &self.0;
        if !shared.readable.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let free = buffer.initialize_unfilled();
        let length = free.len();
        match read(&shared.file, free) {
            Ok(count) => {
                // With less than was asked for, all has been read; the end, at 0, is told again and again.
                let more = count == 0 || count == length;
                shared.readable.store(more, Ordering::Relaxed);
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(Errno::AGAIN) => {
                shared.readable.store(false, Ordering::Relaxed);
                Poll::Pending
            }
            // The next turn of the loop reads again.
            Err(Errno::INTR) => {
                shared.woken.store(true, Ordering::Release);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match send(&self.0.file, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(Errno::AGAIN) => {
                self.0.is_full.store(true, Ordering::Relaxed);
                Poll::Pending
            }
            Err(Errno::INTR) => {
                self.0.woken.store(true, Ordering::Release);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It is closed when it is dropped.
        Poll::Ready(Ok(()))
    }
}
