//! For how long cached credentials are valid.

use instances::TRUSTED_FOR;
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;

/// How long an answer of the log of changes keeps entries valid, from the moment at which it was asked.
pub(crate) const TTL: Duration = Duration::seconds(2);

/// One moment on two clocks: one never steps back, the other goes on while a machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    pub(super) monotonic: Instant,
    pub(super) wall: OffsetDateTime,
}

impl ClockReading {
    /// This moment, which is `wall` by the time of day.
    pub(crate) fn now(wall: OffsetDateTime) -> Self {
        let monotonic = Instant::now();
        Self { monotonic, wall }
    }

    pub(super) fn is_within(self, ttl: Duration, earlier: Self) -> bool {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        monotonic < ttl && (self.wall - earlier.wall).abs() < ttl
    }
}

/// Whether the other instances know of this one. Those that revoke a key wait for the instances that
/// report, so one that does not report must not trust its cache.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Reported {
    /// This process is no instance, and nobody waits for it.
    #[default]
    NotRequired,
    /// No report has succeeded yet.
    Never,
    /// When the last report that succeeded was sent.
    At(ClockReading),
}

impl Reported {
    pub(super) fn is_valid(self, now: ClockReading) -> bool {
        match self {
            Self::NotRequired => true,
            Self::Never => false,
            Self::At(sent) => now.is_within(TRUSTED_FOR, sent),
        }
    }
}
