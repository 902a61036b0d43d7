//! Jobs that run again and again until the process stops.

use std::{future::Future, sync::Arc, time::Duration};

use stores::StoreError;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::Env;

/// What a job wants after a run that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has done all there is for now.
    Idle,
    /// There may be more to do at once.
    Again,
    /// There is more to do, after this pause: the others get the database meanwhile.
    After(Duration),
}

impl From<()> for Next {
    fn from((): ()) -> Self {
        Self::Idle
    }
}

impl From<bool> for Next {
    /// Whether there may be more to do.
    fn from(more: bool) -> Self {
        if more { Self::Again } else { Self::Idle }
    }
}

/// A job that runs at once and then at least every `interval`, up to a tenth sooner, so that several
/// processes drift apart.
#[derive(Clone, Debug)]
pub struct PeriodicJob {
    name: &'static str,
    interval: Duration,
    env: Env,
    is_failing: bool,
    wanted: Arc<Notify>,
}

impl PeriodicJob {
    /// A job of this name.
    #[must_use]
    pub fn new(name: &'static str, interval: Duration, env: &Env) -> Self {
        Self {
            name,
            interval,
            env: env.clone(),
            is_failing: false,
            wanted: Arc::default(),
        }
    }

    /// The same job, which also runs at once when this is notified.
    #[must_use]
    pub fn when_notified(self, wanted: Arc<Notify>) -> Self {
        Self { wanted, ..self }
    }

    /// Runs the job until `stop` is cancelled. A failure is logged when it begins and when it is over, and
    /// the job is tried again after the interval.
    pub async fn run<N, F>(mut self, stop: CancellationToken, mut job: impl FnMut() -> F)
    where
        N: Into<Next>,
        F: Future<Output = Result<N, StoreError>>,
    {
        while !stop.is_cancelled() {
            let began = Instant::now();
            let next = self.log(job().await);
            let pause = match next {
                Next::Idle => self.pause().saturating_sub(began.elapsed()),
                Next::Again => continue,
                Next::After(pause) => pause,
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn pause(&self) -> Duration {
        self.interval - self.interval * self.env.percent().value() / 1000
    }

    fn log<N: Into<Next>>(&mut self, outcome: Result<N, StoreError>) -> Next {
        let job = self.name;
        match outcome {
            Ok(next) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(job, "background job works again");
                }
                next.into()
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(
                        error = error.as_dyn(),
                        job,
                        "background job failed; retrying"
                    );
                }
                Next::Idle
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{clock::START, random::SeededRandom};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_runs_until_it_is_stopped_and_a_failure_does_not_end_it() {
        let env = Env::new(|| START, SeededRandom::new(1));
        let (stop, began) = (CancellationToken::new(), Instant::now());
        let mut runs = Vec::new();
        PeriodicJob::new("test", Duration::from_secs(10), &env)
            .run(stop.clone(), || {
                runs.push(began.elapsed());
                let outcome = match runs.len() {
                    1 => Ok(Next::Idle),
                    2 => Err(StoreError::Overloaded),
                    3 => Ok(Next::Again),
                    4 => Ok(Next::After(Duration::from_secs(1))),
                    _ => {
                        stop.cancel();
                        Ok(Next::Idle)
                    }
                };
                std::future::ready(outcome)
            })
            .await;
        assert_eq!(runs.len(), 5);
        let pauses: Vec<Duration> = runs.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for pause in &pauses[..2] {
            assert!((Duration::from_secs(9)..=Duration::from_secs(10)).contains(pause));
        }
        assert_eq!(pauses[2..], [Duration::ZERO, Duration::from_secs(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_runs_at_once_when_it_is_notified() {
        let env = Env::new(|| START, SeededRandom::new(1));
        let (stop, began) = (CancellationToken::new(), Instant::now());
        let wanted = Arc::new(Notify::new());
        let mut runs = Vec::new();
        PeriodicJob::new("test", Duration::from_secs(10), &env)
            .when_notified(Arc::clone(&wanted))
            .run(stop.clone(), || {
                runs.push(began.elapsed());
                match runs.len() {
                    1 => wanted.notify_one(),
                    2 => {}
                    _ => stop.cancel(),
                }
                std::future::ready(Ok(()))
            })
            .await;
        assert_eq!(runs[1], Duration::ZERO);
        assert!(runs[2] >= Duration::from_secs(9));
    }
}
