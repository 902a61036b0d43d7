//! What a message can be about.

use std::{fmt, str::FromStr};

/// A name that is not a kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an event; the events are {list}", list = EventKind::list())]
pub struct UnknownKind(pub String);

/// A subscription to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must name an event")]
pub struct NoEventKinds;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What a message is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $variant,)*
            /// Nothing happened: the partner asked for a message to try its receiver.
            Test,
        }

        impl EventKind {
            /// All that an endpoint can listen to.
            pub const OFFERED: &[Self] = &[$(Self::$variant),*];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Test => "webhook.test",
                }
            }
        }
    };
}

kinds! {
    /// An org can be used.
    OrgReady = "org.ready";
    /// An org was changed, or its change has been given up.
    OrgUpdated = "org.updated";
    /// An org has other secrets.
    OrgSecretsRotated = "org.secrets_rotated";
    /// Making an org has been given up.
    OrgFailed = "org.failed";
    /// An org was paused.
    OrgSuspended = "org.suspended";
    /// An org's pause was ended.
    OrgResumed = "org.resumed";
    /// An org is gone.
    OrgDeleted = "org.deleted";
    /// An org will end by itself soon.
    OrgExpiring = "org.expiring";
    /// Nothing more is sent to another endpoint of the partner: it is gone, or nothing was delivered for long.
    WebhookDisabled = "webhook.disabled";
    /// The secret of a key was found where it does not belong.
    KeyLeaked = "key.leaked";
    /// A key was revoked.
    KeyRevoked = "key.revoked";
    /// A key has another secret; the older one works for a while.
    KeyRotated = "key.rotated";
    /// One of the two secrets of a key has ended.
    KeyRotationEnded = "key.rotation_ended";
    /// A key will end by itself soon.
    KeyExpiring = "key.expiring";
}

impl EventKind {
    fn list() -> String {
        EventKinds(Self::OFFERED.to_vec()).names().join(", ")
    }

    /// The kind of this name, one that can't be listened to among them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Test]
            .iter()
            .chain(Self::OFFERED)
            .copied()
            .find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads what can be listened to.
impl FromStr for EventKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::parse(text)
            .filter(|&kind| kind != Self::Test)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// What an endpoint listens to: one kind or more, each once, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventKinds(Vec<EventKind>);

impl EventKinds {
    /// These kinds.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(kinds: impl IntoIterator<Item = EventKind>) -> Result<Self, NoEventKinds> {
        let mut kinds: Vec<EventKind> = kinds.into_iter().collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() {
            Err(NoEventKinds)
        } else {
            Ok(Self(kinds))
        }
    }

    /// Whether this kind is among them.
    #[must_use]
    pub fn contain(&self, kind: EventKind) -> bool {
        self.0.contains(&kind)
    }

    /// Their names on the wire.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|kind| kind.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_as_it_was_printed() {
        for &kind in EventKind::OFFERED {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::parse("webhook.test"), Some(EventKind::Test));
    }

    #[test]
    fn near_misses_are_unknown_and_the_error_names_the_events() {
        for text in ["", "*", "org", "org.*", "ORG.READY", "webhook.test"] {
            let error = text.parse::<EventKind>().unwrap_err();
            assert!(error.to_string().contains("key.expiring"), "{error}");
        }
    }

    #[test]
    fn kinds_are_listed_once_each_and_in_one_order() {
        let kinds = EventKinds::new([
            EventKind::KeyRevoked,
            EventKind::OrgReady,
            EventKind::KeyRevoked,
        ]);
        let kinds = kinds.unwrap();
        assert_eq!(kinds.names(), ["org.ready", "key.revoked"]);
        assert!(kinds.contain(EventKind::OrgReady));
        assert!(!kinds.contain(EventKind::OrgFailed));
        assert_eq!(EventKinds::new([]), Err(NoEventKinds));
    }
}
