//! The clock and the random source: what a use case may not make up by itself.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ids::{Sequence, TypedId};
use keys::{KeyKind, Peppers, PlainKey};
use rand_core::CryptoRng;
use time::OffsetDateTime;
use webhooks::WebhookSecret;

/// The clock and the random source of one process.
#[derive(Clone)]
pub struct World {
    clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    chance: Arc<Mutex<Chance>>,
}

struct Chance {
    sequence: Sequence,
    random: Box<dyn CryptoRng + Send>,
}

impl World {
    /// A world with this clock and this cryptographically secure random source.
    pub fn new(
        clock: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
        random: impl CryptoRng + Send + 'static,
    ) -> Self {
        let chance = Chance {
            sequence: Sequence::new(),
            random: Box::new(random),
        };
        Self {
            clock: Arc::new(clock),
            chance: Arc::new(Mutex::new(chance)),
        }
    }

    /// The time in UTC, in whole microseconds as stores keep it.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = (self.clock)();
        now.replace_nanosecond(now.microsecond() * 1000)
            .unwrap_or(now)
    }

    /// A new id; ids of one process rise.
    #[must_use]
    pub fn id<I: TypedId>(&self) -> I {
        let ms = u64::try_from(self.now().unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        // A panic while the lock was held left nothing half done that matters to the next id.
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let Chance { sequence, random } = &mut *chance;
        sequence.next(ms, random)
    }

    /// Seals a text, see [`Peppers::seal`].
    pub(crate) fn seal(&self, peppers: &Peppers, text: &[u8], bound: &[u8]) -> Vec<u8> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        peppers.seal(text, bound, &mut chance.random)
    }

    /// A new secret of a webhook endpoint.
    pub(crate) fn webhook_secret(&self) -> WebhookSecret {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        WebhookSecret::generate(&mut chance.random)
    }

    /// A number out of all numbers, each as likely as the others.
    pub(crate) fn number(&self) -> u32 {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.random.next_u32()
    }

    /// A new secret.
    #[must_use]
    pub fn key(&self, kind: KeyKind) -> PlainKey {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        PlainKey::generate(kind, &mut chance.random)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}
