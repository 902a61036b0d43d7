//! One timer for all timeouts of a connection.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Each call moves the deadline and few reach it. So the runtime's timer is reset only when it is too late,
/// or has fired too early.
#[derive(Debug, Default)]
pub struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub fn set(&mut self, after: Duration) {
        self.set_at(Instant::now() + after);
    }

    /// Sets the deadline unless there is an earlier one.
    pub fn shorten(&mut self, after: Duration) {
        self.shorten_to(Instant::now() + after);
    }

    /// Sets the deadline unless there is an earlier one.
    pub fn shorten_to(&mut self, at: Instant) {
        if self.deadline.is_none_or(|deadline| at < deadline) {
            self.set_at(at);
        }
    }

    pub const fn clear(&mut self) {
        self.deadline = None;
    }

    /// Whether the deadline has passed. If not, the task is woken when it has.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else {
            return false;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while let Poll::Ready(()) = sleep.as_mut().poll(cx) {
            if deadline <= Instant::now() {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }

    fn set_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        if let Some(sleep) = &mut self.sleep
            && deadline < sleep.deadline()
        {
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_moved_is_kept() {
        let mut timer = Timer::default();
        let expired = |timer: &mut Timer| {
            let mut cx = Context::from_waker(Waker::noop());
            timer.poll_expired(&mut cx)
        };
        assert!(!expired(&mut timer));
        timer.set(Duration::from_secs(10));
        assert!(!expired(&mut timer));
        tokio::time::advance(Duration::from_secs(5)).await;
        timer.set(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(!expired(&mut timer));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(expired(&mut timer));
        timer.set(Duration::from_secs(10));
        assert!(!expired(&mut timer));
        timer.shorten(Duration::from_secs(1));
        timer.shorten(Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(expired(&mut timer));
        timer.clear();
        assert!(!expired(&mut timer));
    }
}
