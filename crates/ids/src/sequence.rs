//! Ids in the order of their making.

use rand_core::Rng;
use ulid::Ulid;

use crate::TypedId;

/// How far the clock may seem to step back when several threads have read it, in milliseconds.
const JITTER_MS: u64 = 1000;

/// Makes ids that only ever rise, also within one millisecond and when the clock steps back.
///
/// Lists are sorted by id, so what one process did in order is listed in that order.
/// This is the monotonic mode of the ULID specification. After the clock was set back, the time in the
/// ids goes on from where it was at half the speed, until the clock has caught up: so the ids of a day
/// are not all of one millisecond.
#[derive(Debug, Default)]
pub struct Sequence {
    last: Option<Ulid>,
    /// The time of the clock at the last id.
    clock_ms: u64,
    /// How far the ids are ahead of the clock.
    ahead_ms: u64,
    /// What is left of halving the time that has passed.
    rest_ms: u64,
}

impl Sequence {
    /// A sequence that has made nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            last: None,
            clock_ms: 0,
            ahead_ms: 0,
            rest_ms: 0,
        }
    }

    /// Has all ids from now on, at `unix_ms` milliseconds since 1970, be above this one.
    pub fn advance_past(&mut self, id: Ulid, unix_ms: u64) {
        if self.last.is_none_or(|last| last < id) {
            self.last = Some(id);
            self.clock_ms = unix_ms;
            self.ahead_ms = id.timestamp_ms().saturating_sub(unix_ms);
        }
    }

    /// The time that the next id tells.
    fn id_ms(&mut self, unix_ms: u64) -> u64 {
        if let Some(back) = self.clock_ms.checked_sub(unix_ms) {
            if back > JITTER_MS {
                self.ahead_ms = self.ahead_ms.saturating_add(back);
                self.clock_ms = unix_ms;
            }
        } else {
            let passed = self.rest_ms + (unix_ms - self.clock_ms);
            self.ahead_ms = self.ahead_ms.saturating_sub(passed / 2);
            self.rest_ms = passed % 2;
            self.clock_ms = unix_ms;
        }
        unix_ms.saturating_add(self.ahead_ms)
    }

    /// The next id, at `unix_ms` milliseconds since 1970, with 80 bits from `random`.
    pub fn next<I: TypedId>(&mut self, unix_ms: u64, random: &mut impl Rng) -> I {
        let unix_ms = self.id_ms(unix_ms);
        let ulid = match self.last {
            Some(last) if last.timestamp_ms() >= unix_ms => {
                // Past the last random value of a millisecond comes the next millisecond.
                last.increment()
                    .unwrap_or_else(|_| Ulid::from_parts(last.timestamp_ms() + 1, 0))
            }
            Some(_) | None => fresh(unix_ms, random),
        };
        self.last = Some(ulid);
        I::from_ulid(ulid)
    }
}

fn fresh(unix_ms: u64, random: &mut impl Rng) -> Ulid {
    // The top random bit stays clear, so that increments have room.
    const RANDOM_BITS: u128 = (1 << 79) - 1;
    let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    Ulid::from_parts(unix_ms, bits & RANDOM_BITS)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use rand_core::TryRng;

    use super::*;
    use crate::EventId;

    /// The worst source: every bit is set.
    struct Ones;

    impl TryRng for Ones {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(u32::MAX)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(u64::MAX)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill(u8::MAX);
            Ok(())
        }
    }

    #[test]
    fn ids_rise_within_a_millisecond_and_when_the_clock_steps_back() {
        let mut sequence = Sequence::new();
        let ids: Vec<EventId> = [7, 7, 7, 3, 8, 8]
            .iter()
            .map(|&ms| sequence.next(ms, &mut Ones))
            .collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert_eq!(ids.last().map(|id| id.ulid().timestamp_ms()), Some(8));
    }

    #[track_caller]
    fn check(clock: &[u64], expect: &[u64]) {
        let mut sequence = Sequence::new();
        let ids: Vec<EventId> = clock
            .iter()
            .map(|&ms| sequence.next(ms, &mut Ones))
            .collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let told: Vec<u64> = ids.iter().map(|id| id.ulid().timestamp_ms()).collect();
        assert_eq!(told, expect, "{clock:?}");
    }

    #[test]
    fn after_the_clock_was_set_back_ids_go_on_at_half_the_speed_until_it_has_caught_up() {
        const DAY: u64 = 86_400_000;
        let t = 20_000 * DAY;
        check(
            &[t, t - DAY, t - DAY + 100, t - DAY + 101, t - DAY + 102],
            &[t, t, t + 50, t + 51, t + 51],
        );
        // Back again: it has caught up at once.
        check(&[t, t - DAY, t + 5], &[t, t, t + DAY / 2 + 3]);
        check(&[t, t - DAY, t + 2 * DAY], &[t, t, t + 2 * DAY]);
        // What several threads read may be out of order.
        check(&[t, t - 1000, t + 1], &[t, t, t + 1]);
    }

    #[test]
    fn ids_go_on_from_one_of_another_process() {
        let mut sequence = Sequence::new();
        let other = Ulid::from_parts(5000, 7);
        sequence.advance_past(other, 3000);
        let next: EventId = sequence.next(3001, &mut Ones);
        assert!(next.ulid() > other);
        sequence.advance_past(Ulid::from_parts(1, 0), 3001);
        let later: EventId = sequence.next(8000, &mut Ones);
        assert_eq!(later.ulid().timestamp_ms(), 8000);
    }
}
