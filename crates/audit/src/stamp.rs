//! The ids and times of events, which are given right before their commit.
//!
//! A reader of the log that stays [`LAG`] behind the clock sees every event once, whether it goes by
//! ids or by times: what is committed later has a later id and time.

use std::sync::{Arc, OnceLock};

use ids::EventId;
use time::{Duration, OffsetDateTime};

/// How far behind the clock a reader of the log must stay to miss nothing.
pub const LAG: Duration = Duration::seconds(2);

/// The id and the time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Above that of every stamp before.
    pub id: EventId,
    /// The time of the clock.
    pub at: OffsetDateTime,
}

/// Makes stamps.
pub type Stamper = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// Tells which id an event has got, once its transaction is committed.
#[derive(Clone, Debug)]
pub struct Receipt {
    own: EventId,
    given: Option<Arc<OnceLock<EventId>>>,
}

impl Receipt {
    /// For an event that keeps the id that it came with.
    #[must_use]
    pub const fn kept(id: EventId) -> Self {
        Self {
            own: id,
            given: None,
        }
    }

    /// For an event that gets another id before it is committed, unless it never is.
    #[must_use]
    pub fn pending(id: EventId) -> Self {
        Self {
            own: id,
            given: Some(Arc::default()),
        }
    }

    /// Notes the id that the event has got. Only the first one counts.
    pub fn give(&self, id: EventId) {
        if let Some(given) = &self.given {
            given.get_or_init(|| id);
        }
    }

    /// The event's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        let given = self.given.as_ref().and_then(|given| given.get());
        given.copied().unwrap_or(self.own)
    }
}
