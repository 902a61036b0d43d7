//! The receipt of a change: which live instances have it in force, and which have not said so.
//!
//! The change is logged as one to be confirmed, so each instance that reads it reports at once. Whoever waits
//! reads the reports, again and again; all who wait in this process share one query. A wait holds no thread
//! and no connection.

use std::{collections::BTreeMap, future::Future, time::Duration};

use ::instances::{Instance, KEPT_FOR};
use ids::InstanceId;
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::EVERYBODY;
use crate::{Service, runtime::single_flight::SingleFlight};

/// How soon the reports are read again at first, and later.
const MIN_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(50);
/// How long the first reading may take, however short the wait.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Who has confirmed a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The instances on which the change is in force, and after how many milliseconds this was known.
    pub confirmed: Vec<(InstanceId, u64)>,
    /// The instances that were live when the change was made and have not confirmed it.
    pub unconfirmed: Vec<Unconfirmed>,
}

/// An instance that has not confirmed a change. 2 seconds after the change at the latest it asks the database
/// for the key of every request, whatever state it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The instance.
    pub instance: InstanceId,
    /// When it last reported.
    pub last_seen_at: OffsetDateTime,
}

/// The reports as they were last read, and when by the shared clock.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    flight: SingleFlight,
    read: Mutex<Option<(OffsetDateTime, Vec<Instance>)>>,
}

/// One wait for confirmations.
#[derive(Debug)]
struct Confirmations {
    revision: u64,
    /// The instances that were live at first; `None` before that is known.
    waited_for: Option<BTreeMap<InstanceId, State>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Confirmed { after_ms: u64 },
    Live { last_seen_at: OffsetDateTime },
    Dead { last_seen_at: OffsetDateTime },
}

impl Confirmations {
    const fn new(revision: u64) -> Self {
        Self {
            revision,
            waited_for: None,
        }
    }

    /// Notes what was read at `now`, so long after the change. The first reading tells whom to wait for:
    /// an instance that starts later, or comes back to life, reads the change before it trusts anything.
    fn note(&mut self, now: OffsetDateTime, reports: &[Instance], after_ms: u64) {
        let waited_for = self.waited_for.get_or_insert_with(|| {
            let live = reports.iter().filter(|report| report.is_live(now));
            let live = live.map(|report| {
                let last_seen_at = report.last_seen_at;
                (report.id, State::Live { last_seen_at })
            });
            live.collect()
        });
        waited_for.retain(|id, state| {
            if let State::Confirmed { .. } = state {
                return true;
            }
            let Some(report) = reports.iter().find(|report| report.id == *id) else {
                // The row of a dead instance is kept for longer: this one has stopped, and has said so.
                return matches!(state, State::Dead { .. });
            };
            let last_seen_at = report.last_seen_at;
            *state = if report.revision >= self.revision {
                State::Confirmed { after_ms }
            } else if report.is_live(now) {
                State::Live { last_seen_at }
            } else {
                State::Dead { last_seen_at }
            };
            true
        });
    }

    /// Notes that this process itself has the change in force.
    fn confirm(&mut self, own: InstanceId, after_ms: u64) {
        if let Some(waited_for) = &mut self.waited_for {
            waited_for.insert(own, State::Confirmed { after_ms });
        }
    }

    /// Whether nobody is left to wait for.
    fn is_complete(&self) -> bool {
        let is_open = |state: &State| matches!(state, State::Live { .. });
        self.waited_for
            .as_ref()
            .is_some_and(|waited_for| !waited_for.values().any(is_open))
    }

    fn into_receipt(self) -> Receipt {
        let mut receipt = Receipt::default();
        for (instance, state) in self.waited_for.unwrap_or_default() {
            match state {
                State::Confirmed { after_ms } => receipt.confirmed.push((instance, after_ms)),
                State::Live { last_seen_at } | State::Dead { last_seen_at } => {
                    receipt.unconfirmed.push(Unconfirmed {
                        instance,
                        last_seen_at,
                    });
                }
            }
        }
        receipt
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Waits until every live instance has confirmed the change of this revision, which was committed at
    /// `committed` and is in force here; until `deadline`; until `give_up` is ready; or until the server is
    /// about to stop.
    pub(crate) async fn wait_for_confirmations(
        &self,
        revision: u64,
        committed: Instant,
        deadline: Instant,
        give_up: impl Future<Output = ()>,
    ) -> Receipt {
        let since = || u64::try_from(committed.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (here_after_ms, mut pause) = (since(), MIN_PAUSE);
        let mut confirmations = Confirmations::new(revision);
        let mut read_until = deadline.max(committed + READ_TIMEOUT);
        tokio::pin!(give_up);
        loop {
            let read = timeout_at(read_until, self.read_reports()).await;
            match read {
                Ok(Ok((now, reports))) => confirmations.note(now, &reports, since()),
                Ok(Err(error)) => tracing::warn!(
                    error = error.as_dyn(),
                    "reading the reports of instances failed; retrying"
                ),
                Err(_) => break,
            }
            if let Some(own) = &self.instances.own {
                confirmations.confirm(own.id, here_after_ms);
            }
            if confirmations.is_complete() || Instant::now() >= deadline {
                break;
            }
            read_until = deadline;
            tokio::select! {
                () = sleep_until(deadline.min(Instant::now() + pause)) => {}
                () = self.statuses.watch().closed() => break,
                () = &mut give_up => break,
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
        if confirmations.waited_for.is_none() {
            // The database tells nothing. These were live a moment ago.
            let seen = self.instances.seen.lock().clone();
            confirmations.note(self.env.now(), &seen, since());
            if let Some(own) = &self.instances.own {
                confirmations.confirm(own.id, here_after_ms);
            }
        }
        confirmations.into_receipt()
    }

    /// The reports of all instances, dead ones too, as they are after this was called, and when they were.
    async fn read_reports(&self) -> Result<(OffsetDateTime, Vec<Instance>), StoreError> {
        let reports = &self.instances.reports;
        let own_clock = self.env.clone();
        let query = async {
            let read = self.db.read_control(move |view| {
                let now = view.server_time()?.unwrap_or_else(|| own_clock.now());
                let all = view.instances(now - KEPT_FOR, EVERYBODY)?;
                Ok::<_, StoreError>((now, all.items))
            });
            let read = read.await?;
            *reports.read.lock() = Some(read);
            Ok(())
        };
        reports.flight.run(query).await?;
        let read = reports.read.lock().clone();
        read.ok_or(StoreError::Unavailable(None))
    }
}

#[cfg(test)]
mod tests {
    use testkit::{build::Build, clock::START};
    use time::Duration;

    use super::*;

    /// What two instances say, `None` for a row that is gone: seconds of the last report, and the revision.
    type Said = [Option<(i64, u64)>; 2];

    /// Notes what is said at these seconds about revision 5; tells how many have confirmed, how many have not,
    /// and whether the wait is over.
    #[track_caller]
    fn check(readings: &[(i64, Said)], expect: (usize, usize, bool)) {
        let build = Build::new();
        let rows = [build.instance(), build.instance()];
        let mut confirmations = Confirmations::new(5);
        for &(second, said) in readings {
            let reports = rows.iter().zip(said).filter_map(|(row, said)| {
                let (seen, revision) = said?;
                Some(Instance {
                    last_seen_at: START + Duration::seconds(seen),
                    revision,
                    ..row.clone()
                })
            });
            let reports: Vec<Instance> = reports.collect();
            confirmations.note(START + Duration::seconds(second), &reports, 10);
        }
        let is_complete = confirmations.is_complete();
        let receipt = confirmations.into_receipt();
        let actual = (
            receipt.confirmed.len(),
            receipt.unconfirmed.len(),
            is_complete,
        );
        assert_eq!(actual, expect, "{readings:?}");
    }

    #[test]
    fn a_receipt_is_complete_when_all_that_were_live_have_confirmed() {
        check(&[(0, [Some((0, 5)), Some((0, 6))])], (2, 0, true));
        check(&[(0, [Some((0, 5)), Some((0, 4))])], (1, 1, false));
        let later = (1, [Some((1, 5)), Some((1, 5))]);
        check(&[(0, [Some((0, 4)), Some((0, 4))]), later], (2, 0, true));
    }

    #[test]
    fn a_dead_instance_is_not_waited_for_and_stays_unconfirmed() {
        // It was dead before.
        check(&[(9, [Some((9, 5)), Some((3, 4))])], (1, 0, true));
        // It dies meanwhile, and its row is pruned at last.
        let first = (0, [Some((0, 5)), Some((0, 4))]);
        let dead = (6, [Some((6, 5)), Some((0, 4))]);
        check(&[first, dead], (1, 1, true));
        check(&[first, dead, (61, [Some((61, 5)), None])], (1, 1, true));
        // It comes back to life in time.
        let back = (7, [Some((7, 5)), Some((7, 5))]);
        check(&[first, dead, back], (2, 0, true));
    }

    #[test]
    fn an_instance_that_stops_is_not_waited_for_and_is_not_unconfirmed() {
        let first = (0, [Some((0, 5)), Some((0, 4))]);
        check(&[first, (1, [Some((1, 5)), None])], (1, 0, true));
    }

    #[test]
    fn an_instance_that_starts_later_is_not_waited_for() {
        let first = (0, [Some((0, 5)), None]);
        check(&[first, (1, [Some((1, 5)), Some((1, 0))])], (1, 0, true));
    }
}
