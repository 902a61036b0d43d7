//! The clock of the database's server, as this process knows it between two readings.
//!
//! Times that instances compare, such as the ends of leases, go by this clock on every instance. It goes on
//! with the monotonic clock, so neither a machine whose clock is wrong nor one whose clock is set changes it.

use std::sync::atomic::{AtomicI64, Ordering};

use time::{Duration, OffsetDateTime};
use tokio::time::Instant;

/// No reading yet.
const UNKNOWN: i64 = i64::MIN;

#[derive(Debug)]
pub(super) struct ServerClock {
    /// The moment that the monotonic clock is counted from.
    origin: Instant,
    /// The server's time at the origin, in microseconds since 1970.
    at_origin: AtomicI64,
}

impl Default for ServerClock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            at_origin: AtomicI64::new(UNKNOWN),
        }
    }
}

impl ServerClock {
    /// The server's time; `None` before its clock was read.
    pub(super) fn now(&self) -> Option<OffsetDateTime> {
        let at_origin = self.at_origin.load(Ordering::Relaxed);
        if at_origin == UNKNOWN {
            return None;
        }
        let micros = at_origin.saturating_add(self.since_origin(Instant::now()));
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()
    }

    /// Follows a reading that was made between these two moments. An estimate that agrees with it stays,
    /// so that the time does not waver with the delays of the network; another moves as far as it must.
    pub(super) fn follow(&self, reading: OffsetDateTime, (asked, answered): (Instant, Instant)) {
        let reading = reading.unix_timestamp_nanos() / 1000;
        let Ok(reading) = i64::try_from(reading) else {
            return;
        };
        // When the answer was here, the server's clock had gone on by no more than the question took.
        let latest = reading.saturating_sub(self.since_origin(asked));
        let earliest = reading.saturating_sub(self.since_origin(answered));
        let known = self.at_origin.load(Ordering::Relaxed);
        let followed = if known == UNKNOWN {
            earliest.midpoint(latest)
        } else {
            known.clamp(earliest, latest.max(earliest))
        };
        self.at_origin.store(followed, Ordering::Relaxed);
    }

    fn since_origin(&self, moment: Instant) -> i64 {
        let passed = Duration::try_from(moment.saturating_duration_since(self.origin));
        let micros = passed.unwrap_or_default().whole_microseconds();
        i64::try_from(micros).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration as StdDuration;

    use testkit::clock::START;

    use super::*;

    /// A reading of the server's clock at a moment, on a way that takes so long there and back.
    async fn read(clock: &ServerClock, server: OffsetDateTime, there: u64, back: u64) {
        let asked = Instant::now();
        tokio::time::advance(StdDuration::from_millis(there + back)).await;
        clock.follow(
            server + Duration::milliseconds(there.try_into().unwrap()),
            (asked, Instant::now()),
        );
    }

    fn ahead_of(clock: &ServerClock, time: OffsetDateTime) -> i128 {
        (clock.now().unwrap() - time).whole_milliseconds()
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_goes_on_from_the_middle_of_the_first_reading() {
        let clock = ServerClock::default();
        assert_eq!(clock.now(), None);
        read(&clock, START, 10, 30).await;
        assert_eq!(ahead_of(&clock, START + Duration::milliseconds(40)), -10);
        tokio::time::advance(StdDuration::from_secs(60)).await;
        let now = START + Duration::milliseconds(60_040);
        assert_eq!(ahead_of(&clock, now), -10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reading_changes_nothing_and_a_quick_one_corrects() {
        let clock = ServerClock::default();
        let began = Instant::now();
        let server = || START + Duration::try_from(began.elapsed()).unwrap();
        read(&clock, server(), 10, 30).await;
        read(&clock, server(), 0, 2000).await;
        assert_eq!(ahead_of(&clock, server()), -10);
        read(&clock, server(), 1, 1).await;
        assert!((-1..=1).contains(&ahead_of(&clock, server())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_whose_clock_is_set_is_followed() {
        let clock = ServerClock::default();
        read(&clock, START, 1, 1).await;
        let set_back = START - Duration::HOUR;
        read(&clock, set_back, 1, 1).await;
        let now = set_back + Duration::milliseconds(2);
        assert!((-1..=1).contains(&ahead_of(&clock, now)));
    }
}
