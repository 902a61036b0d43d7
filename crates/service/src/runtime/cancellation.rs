//! Cancellation of one piece of work, with the reason for it.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use tokio_util::sync::CancellationToken;

/// A cancellation token with a reason: the first reason given is the one that counts.
#[derive(Clone, Debug)]
pub(crate) struct CancellationReason<R> {
    token: CancellationToken,
    reason: Arc<OnceLock<R>>,
}

impl<R: Copy + Send + Sync + 'static> CancellationReason<R> {
    pub(crate) fn new() -> Self {
        Self {
            token: CancellationToken::new(),
            reason: Arc::default(),
        }
    }

    pub(crate) fn cancel(&self, reason: R) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves with the reason once the work is cancelled.
    pub(crate) fn cancelled(&self) -> impl Future<Output = R> + Send + 'static {
        let Self { token, reason } = self.clone();
        async move {
            token.cancelled_owned().await;
            match reason.get() {
                Some(reason) => *reason,
                // The reason is set before the token is cancelled.
                None => std::future::pending().await,
            }
        }
    }
}
