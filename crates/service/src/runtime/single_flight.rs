//! Single flight: callers that wait share one run of a query.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};

use stores::StoreError;
use tokio::sync::Mutex;

/// Lets all who wait share one run, which begins after the last of them has come.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight {
    /// How many callers have come.
    callers: AtomicU64,
    last: Mutex<Last>,
}

/// The last run that ended.
#[derive(Debug, Default)]
struct Last {
    /// Every caller up to this one had come before it began.
    covers: u64,
    error: Option<StoreError>,
}

impl SingleFlight {
    /// The outcome of a run that began after this call: of this one, unless another caller's did. A run that
    /// was under way already does not count, for what it read may be older than what the caller has changed.
    pub(crate) async fn run(
        &self,
        query: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let own = self.callers.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.covers < own {
            let covers = self.callers.load(Ordering::SeqCst);
            // A caller that goes away meanwhile leaves the run to the next one.
            let error = query.await.err();
            *last = Last { covers, error };
        }
        match &last.error {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn callers_share_a_run_that_began_after_they_came() {
        let flight = Arc::new(SingleFlight::default());
        let runs = Arc::new(AtomicU64::new(0));
        let call = |answered: Option<oneshot::Receiver<()>>| {
            let (flight, runs) = (Arc::clone(&flight), Arc::clone(&runs));
            tokio::spawn(async move {
                flight
                    .run(async {
                        runs.fetch_add(1, Ordering::SeqCst);
                        if let Some(answered) = answered {
                            answered.await.unwrap();
                        }
                        Ok(())
                    })
                    .await
                    .unwrap();
                runs.load(Ordering::SeqCst)
            })
        };
        let (answer, answered) = oneshot::channel();
        let first = call(Some(answered));
        while runs.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..100).map(|_| call(None)).collect();
        while flight.callers.load(Ordering::SeqCst) < 101 {
            tokio::task::yield_now().await;
        }
        answer.send(()).unwrap();
        first.await.unwrap();
        for other in others {
            assert_eq!(other.await.unwrap(), 2);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_its_run_to_the_next() {
        let flight = Arc::new(SingleFlight::default());
        let gone = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { flight.run(std::future::pending()).await }
        });
        while flight.last.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { flight.run(async { Err(StoreError::Overloaded) }).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(waiting.await.unwrap().is_err());
    }
}
