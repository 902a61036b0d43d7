//! Ids and times as they are stored.

use ids::Ulid;
use time::{Duration, OffsetDateTime};

use crate::Corrupt;

/// An id as it is stored: big-endian, so that ids sort as their bytes do.
#[must_use]
pub fn id_bytes(id: Ulid) -> [u8; 16] {
    u128::from(id).to_be_bytes()
}

/// The id of its stored bytes.
#[must_use]
pub fn id_from_bytes(bytes: [u8; 16]) -> Ulid {
    Ulid::from(u128::from_be_bytes(bytes))
}

/// The last millisecond that an id can have.
const LAST_MS: u64 = (1 << 48) - 1;

/// The lowest id of a millisecond; the highest of all past the last millisecond.
#[must_use]
pub fn lowest_id(milliseconds: u64) -> Ulid {
    if milliseconds > LAST_MS {
        Ulid::from(u128::MAX)
    } else {
        Ulid::from_parts(milliseconds, 0)
    }
}

/// The highest id of a millisecond.
#[must_use]
pub fn highest_id(milliseconds: u64) -> Ulid {
    let next = u128::from(lowest_id(milliseconds.saturating_add(1)));
    if next == u128::MAX {
        Ulid::from(next)
    } else {
        Ulid::from(next.saturating_sub(1))
    }
}

/// The time in an id, in microseconds since 1970.
#[must_use]
pub fn id_micros(id: Ulid) -> i64 {
    i64::try_from(id.timestamp_ms())
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}

/// The time in an id, in seconds since 1970.
#[must_use]
pub fn id_second(id: Ulid) -> i64 {
    i64::try_from(id.timestamp_ms() / 1000).unwrap_or(i64::MAX)
}

/// Microseconds since 1970, rounded down.
pub(crate) fn micros(at: OffsetDateTime) -> i64 {
    // Every year that the type can hold fits: they end at 999999.
    at.unix_timestamp()
        .saturating_mul(1_000_000)
        .saturating_add(at.microsecond().into())
}

/// The time of this many microseconds since 1970.
pub(crate) fn time(micros: i64) -> Result<OffsetDateTime, Corrupt> {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    OffsetDateTime::from_unix_timestamp(seconds)
        .map(|time| time + Duration::microseconds(rest))
        .map_err(|_| Corrupt("the time of an event"))
}
