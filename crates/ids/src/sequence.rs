//! Ids in the order of their making.

use rand_core::Rng;
use ulid::Ulid;

use crate::TypedId;

/// Makes ids that only ever rise, also within one millisecond and when the clock steps back.
///
/// Lists are sorted by id, so what one process did in order is listed in that order.
/// This is the monotonic mode of the ULID specification.
#[derive(Debug, Default)]
pub struct Sequence {
    last: Option<Ulid>,
}

impl Sequence {
    /// A sequence that has made nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// The next id, at `unix_ms` milliseconds since 1970, with 80 bits from `random`.
    pub fn next<I: TypedId>(&mut self, unix_ms: u64, random: &mut impl Rng) -> I {
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
}
