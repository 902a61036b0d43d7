//! How long an org lives unless its lease is renewed.

use time::{Duration, OffsetDateTime};

/// The length of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ttl(u32);

/// A number of seconds that is too small or too big for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lease lasts {} to {} seconds", Ttl::MIN_SECONDS, Ttl::MAX_SECONDS)]
pub struct InvalidTtl;

impl Ttl {
    /// The shortest lease: a minute.
    pub const MIN_SECONDS: u32 = 60;
    /// The longest lease: 30 days.
    pub const MAX_SECONDS: u32 = 2_592_000;

    /// A lease of this many seconds.
    ///
    /// # Errors
    /// When there are fewer than [`Ttl::MIN_SECONDS`] or more than [`Ttl::MAX_SECONDS`].
    pub fn from_seconds(seconds: u64) -> Result<Self, InvalidTtl> {
        u32::try_from(seconds)
            .ok()
            .filter(|seconds| (Self::MIN_SECONDS..=Self::MAX_SECONDS).contains(seconds))
            .map(Self)
            .ok_or(InvalidTtl)
    }

    /// How many seconds it lasts.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// When a lease ends that begins at `now`.
    #[must_use]
    pub fn end(self, now: OffsetDateTime) -> OffsetDateTime {
        now + Duration::seconds(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_a_minute_to_thirty_days() {
        let seconds = |seconds| Ttl::from_seconds(seconds).map(Ttl::seconds);
        assert_eq!(seconds(59), Err(InvalidTtl));
        assert_eq!(seconds(60), Ok(60));
        assert_eq!(seconds(2_592_000), Ok(2_592_000));
        assert_eq!(seconds(2_592_001), Err(InvalidTtl));
        assert_eq!(seconds(u64::MAX), Err(InvalidTtl));
        assert_eq!(
            InvalidTtl.to_string(),
            "a lease lasts 60 to 2592000 seconds"
        );
    }
}
