//! Following the changes of keys and partners, so that what is cached of them counts.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use keys::KeyQueries as _;
use ratelimit::Limiter;
use stores::{Database, StoreError};
use tokio::sync::Mutex;

use crate::{Service, credential_cache::Moment};

/// How long a change waits until it is known here, before everything that is cached is given up instead.
/// It is longer than what is cached counts without an answer.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Lets all who wait share one question, which begins after the last of them has come.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    /// How many have come.
    callers: AtomicU64,
    last: Mutex<Last>,
}

/// The last question that was answered.
#[derive(Debug, Default)]
struct Last {
    /// Every caller up to this one had come before it began.
    covers: u64,
    error: Option<StoreError>,
}

impl Coalescer {
    /// The outcome of a question that began after this call: of this one, unless another caller's did.
    async fn run(
        &self,
        question: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let own = self.callers.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.covers < own {
            let covers = self.callers.load(Ordering::SeqCst);
            // A caller that goes away meanwhile leaves the question to the next one.
            let error = question.await.err();
            *last = Last { covers, error };
        }
        match &last.error {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Asks the database what has changed of keys, and forgets it. Called many times a second, it lets
    /// what is remembered count; called after a change, it lets the change hold at once.
    ///
    /// # Errors
    /// When the database can't tell; then nothing that is remembered counts, or not for long.
    pub async fn follow_changes(&self) -> Result<(), StoreError> {
        self.key_feed.run(self.ask_for_changes()).await
    }

    /// Whether what is cached of credentials counts: the database has told of changes a moment ago.
    #[must_use]
    pub fn is_following_changes(&self) -> bool {
        self.credentials.is_fresh(Moment::now(self.env.now()))
    }

    async fn ask_for_changes(&self) -> Result<(), StoreError> {
        let seen = self.credentials.seen();
        let env = self.env.clone();
        let question = move |view: &mut D::View| {
            // Not before: however long it has waited for the connection, the answer is as old as this.
            let asked = Moment::now(env.now());
            Ok::<_, StoreError>((asked, view.key_changes(seen)?))
        };
        let (asked, changes) = self.db.read_control(question).await?;
        self.credentials.apply(asked, changes);
        Ok(())
    }

    /// Lets a change of keys or partners hold for every call that comes after its answer.
    pub(crate) async fn settle_change(&self) {
        let followed = tokio::time::timeout(SETTLE_TIMEOUT, self.follow_changes()).await;
        let followed = followed.unwrap_or(Err(StoreError::Unavailable(None)));
        if let Err(error) = followed {
            self.credentials.distrust();
            tracing::warn!(
                error = error.as_dyn(),
                "a change of keys can't be followed; nothing remembered counts until it can"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;

    /// Whoever comes while a question runs is not answered by it, for what it tells may be older than
    /// the change that this caller has made.
    #[tokio::test]
    async fn callers_share_a_question_that_began_after_they_came() {
        let feed = Arc::new(Coalescer::default());
        let questions = Arc::new(AtomicU64::new(0));
        let call = |answered: Option<oneshot::Receiver<()>>| {
            let (feed, questions) = (Arc::clone(&feed), Arc::clone(&questions));
            tokio::spawn(async move {
                feed.run(async {
                    questions.fetch_add(1, Ordering::SeqCst);
                    if let Some(answered) = answered {
                        answered.await.unwrap();
                    }
                    Ok(())
                })
                .await
                .unwrap();
                questions.load(Ordering::SeqCst)
            })
        };
        let (answer, answered) = oneshot::channel();
        let first = call(Some(answered));
        while questions.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..100).map(|_| call(None)).collect();
        while feed.callers.load(Ordering::SeqCst) < 101 {
            tokio::task::yield_now().await;
        }
        answer.send(()).unwrap();
        first.await.unwrap();
        for other in others {
            assert_eq!(other.await.unwrap(), 2);
        }
        assert_eq!(questions.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_its_question_to_the_next() {
        let feed = Arc::new(Coalescer::default());
        let gone = tokio::spawn({
            let feed = Arc::clone(&feed);
            async move { feed.run(std::future::pending()).await }
        });
        while feed.last.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let feed = Arc::clone(&feed);
            async move { feed.run(async { Err(StoreError::Overloaded) }).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(waiting.await.unwrap().is_err());
    }
}
