//! The environment of the use cases: the clock and the random source.

mod server_clock;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use audit::{Stamp, Stamper};
use ids::{Sequence, TypedId, Ulid};
use keys::{KeyKind, KeyPrefix, Peppers, PlainKey};
use rand_core::{CryptoRng, Rng as _};
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;
use webhooks::WebhookSecret;

use self::server_clock::ServerClock;

/// The clock and the random source of one process.
#[derive(Clone)]
pub struct Env {
    clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    server_clock: Arc<ServerClock>,
    state: Arc<Mutex<State>>,
    /// Of new partner keys.
    key_prefix: KeyPrefix,
}

/// A part of a whole, 0 to 100 hundredths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percent(u8);

impl Percent {
    pub(crate) const fn value(self) -> u32 {
        u32::from_be_bytes([0, 0, 0, self.0])
    }

    /// This part of a duration.
    pub(crate) fn of(self, whole: Duration) -> Duration {
        whole * i32::from(self.0) / 100
    }
}

/// By how much the clock may be set back before the times of events go back with it; up to that they stand still
/// until the clock has caught up.
const MAX_ABSORBED_STEP: Duration = Duration::MINUTE;

struct State {
    sequence: Sequence,
    /// The time of the last event.
    last_event: OffsetDateTime,
    random: Box<dyn CryptoRng + Send>,
}

impl Env {
    /// An environment with this clock and this cryptographically secure random source.
    pub fn new(
        clock: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
        random: impl CryptoRng + Send + 'static,
    ) -> Self {
        let state = State {
            sequence: Sequence::new(),
            last_event: OffsetDateTime::UNIX_EPOCH,
            random: Box::new(random),
        };
        Self {
            clock: Arc::new(clock),
            server_clock: Arc::default(),
            state: Arc::new(Mutex::new(state)),
            key_prefix: KeyPrefix::default(),
        }
    }

    /// The same environment; new partner keys have this prefix.
    #[must_use]
    pub fn with_key_prefix(self, key_prefix: KeyPrefix) -> Self {
        Self { key_prefix, ..self }
    }

    /// The time in UTC, in whole microseconds as stores keep it. It is that of the database's server once
    /// its clock was read, so that all instances have one time; else that of the machine.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.server_clock.now().unwrap_or_else(|| self.wall())
    }

    /// The time by the machine's own clock.
    pub(crate) fn wall(&self) -> OffsetDateTime {
        let now = (self.clock)();
        now.replace_nanosecond(now.microsecond() * 1000)
            .unwrap_or(now)
    }

    /// Goes by a reading of the server's clock that was made some time between these two moments.
    pub(crate) fn follow_server_clock(&self, reading: OffsetDateTime, between: (Instant, Instant)) {
        self.server_clock.follow(reading, between);
    }

    /// How far the machine's clock is ahead of the server's.
    pub(crate) fn clock_skew(&self) -> Duration {
        self.server_clock
            .now()
            .map_or(Duration::ZERO, |now| self.wall() - now)
    }

    /// A new id; ids of one process rise.
    #[must_use]
    pub fn id<I: TypedId>(&self) -> I {
        let ms = milliseconds(self.now());
        // A panic while the lock was held left nothing half done that matters to the next id.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            sequence, random, ..
        } = &mut *state;
        sequence.next(ms, random)
    }

    /// The id and the time of an event that is about to be committed. Both only ever rise, but for times
    /// after the clock was set back by more than a minute.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Within the lock, so that of two stamps the one with the lower id has the earlier time.
        let now = self.now();
        let State {
            sequence,
            random,
            last_event,
        } = &mut *state;
        if *last_event <= now || *last_event - now > MAX_ABSORBED_STEP {
            *last_event = now;
        }
        Stamp {
            id: sequence.next(milliseconds(now), random),
            at: *last_event,
        }
    }

    /// [`Env::stamp`], for a store.
    #[must_use]
    pub fn stamper(&self) -> Stamper {
        let env = self.clone();
        Arc::new(move || env.stamp())
    }

    /// Makes all ids from now on greater than this one, so that a process goes on where another one ended,
    /// although the clock was set back.
    pub fn advance_past(&self, id: Ulid) {
        let ms = milliseconds(self.now());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sequence.advance_past(id, ms);
    }

    /// A random part of a whole.
    pub(crate) fn percent(&self) -> Percent {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Percent(u8::try_from(state.random.next_u32() % 101).unwrap_or_default())
    }

    /// Seals a text, see [`Peppers::seal`].
    pub(crate) fn seal(&self, peppers: &Peppers, text: &[u8], bound: &[u8]) -> Vec<u8> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        peppers.seal(text, bound, &mut state.random)
    }

    /// A new secret of a webhook endpoint.
    pub(crate) fn webhook_secret(&self) -> WebhookSecret {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        WebhookSecret::generate(&mut state.random)
    }

    /// A number out of all numbers, each as likely as the others.
    pub(crate) fn number(&self) -> u32 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.random.next_u32()
    }

    /// A new secret.
    #[must_use]
    pub fn key(&self, kind: KeyKind) -> PlainKey {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            KeyKind::Partner => PlainKey::generate_partner(&self.key_prefix, &mut state.random),
            KeyKind::Admin | KeyKind::Operator => PlainKey::generate(kind, &mut state.random),
        }
    }
}

fn milliseconds(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

#[cfg(test)]
mod tests {
    use testkit::{clock::START, random::SeededRandom};

    use super::*;

    /// Readings of the clock in seconds after the start, and the times of events made then.
    #[track_caller]
    fn check(clock: &[i64], expect: &[i64]) {
        let now = Arc::new(Mutex::new(START));
        let clock_now = Arc::clone(&now);
        let env = Env::new(move || *clock_now.lock().unwrap(), SeededRandom::new(1));
        let stamps: Vec<Stamp> = clock
            .iter()
            .map(|&seconds| {
                *now.lock().unwrap() = START + Duration::seconds(seconds);
                env.stamp()
            })
            .collect();
        assert!(stamps.is_sorted_by(|one, other| one.id < other.id));
        let times: Vec<i64> = stamps
            .iter()
            .map(|stamp| (stamp.at - START).whole_seconds())
            .collect();
        assert_eq!(times, expect, "{clock:?}");
    }

    #[test]
    fn times_stand_still_for_a_minute_after_the_clock_was_set_back_and_ids_rise() {
        check(&[0, 1, 2], &[0, 1, 2]);
        check(&[100, 98, 99, 101], &[100, 100, 100, 101]);
        check(&[100, 40, 50, 101], &[100, 100, 100, 101]);
        check(&[100_000, 10, 11, 100_000], &[100_000, 10, 11, 100_000]);
    }

    #[test]
    fn ids_go_on_from_another_process() {
        let env = Env::new(|| START, SeededRandom::new(1));
        let ahead = Ulid::from_parts(milliseconds(START) + 5000, 0);
        env.advance_past(ahead);
        let stamp = env.stamp();
        assert!(stamp.id.ulid() > ahead && stamp.at == START);
    }
}
