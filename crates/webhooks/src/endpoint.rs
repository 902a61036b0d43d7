//! Endpoints: where a partner receives messages.

use ids::{EndpointId, PartnerId};
use time::{Duration, OffsetDateTime};

use crate::{EndpointUrl, EventKinds};

/// How many endpoints a partner can have.
pub const MAX_ENDPOINTS: usize = 16;
/// How many secrets sign beside the one in force at the most.
pub const MAX_OLD_SECRETS: usize = 7;
/// How many messages can wait for one endpoint. Whatever is more is given up, the longest waiting first.
pub const MAX_BACKLOG: usize = 10_000;
/// How long the secret before a rotation goes on signing beside the new one.
pub const SECRET_OVERLAP: Duration = Duration::hours(24);

/// An endpoint that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointDraft {
    /// Where to send messages.
    pub url: EndpointUrl,
    /// About what.
    pub events: EventKinds,
}

/// A partner's receiver, and the events that it listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Where messages are sent.
    pub url: EndpointUrl,
    /// What they are about.
    pub events: EventKinds,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// Until when the secret before the last rotation signs too.
    pub old_secret_until: Option<OffsetDateTime>,
    /// Since when nothing more is sent, because the receiver said that it is gone.
    pub disabled_at: Option<OffsetDateTime>,
}

impl Endpoint {
    /// The name of its status on the wire.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.disabled_at {
            None => "active",
            Some(_) => "disabled",
        }
    }

    /// Until when the secret before the last rotation signs, if it still does at `now`.
    #[must_use]
    pub fn overlap(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.old_secret_until.filter(|&until| until > now)
    }
}

/// The secrets of an endpoint as they are stored: nobody can read them but a holder of the pepper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecrets {
    /// The one in force.
    pub current: Vec<u8>,
    /// The one before the last rotation.
    pub old: Option<Vec<u8>>,
    /// Those before that which still sign, the newest first.
    pub older: Vec<OldSecret>,
}

/// A sealed secret that signs beside the one in force for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret.
    pub sealed: Vec<u8>,
    /// Until when it signs.
    pub until: OffsetDateTime,
}

impl SealedSecrets {
    /// Every secret, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        let older = self.older.iter().map(|old| &old.sealed);
        [&self.current]
            .into_iter()
            .chain(&self.old)
            .chain(older)
            .map(Vec::as_slice)
    }

    /// The same secrets, each sealed anew.
    #[must_use]
    pub fn map(&self, mut reseal: impl FnMut(&[u8]) -> Vec<u8>) -> Self {
        Self {
            current: reseal(&self.current),
            old: self.old.as_deref().map(&mut reseal),
            older: self
                .older
                .iter()
                .map(|old| OldSecret {
                    sealed: reseal(&old.sealed),
                    until: old.until,
                })
                .collect(),
        }
    }

    /// Those that sign beside the one in force at `now`, the newest first; `overlap` is the end of the
    /// one before the last rotation.
    pub fn overlapping(
        &self,
        overlap: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = &[u8]> {
        let old = self
            .old
            .as_deref()
            .filter(|_| overlap.is_some_and(|until| until > now));
        let older = self.older.iter().filter(move |old| old.until > now);
        old.into_iter()
            .chain(older.map(|old| old.sealed.as_slice()))
    }

    /// The secrets after a rotation at `now`: each goes on signing to the end that it was given. Of too
    /// many the oldest end at once.
    #[must_use]
    pub fn rotated(
        self,
        new: Vec<u8>,
        overlap: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Self {
        let before = self.old.zip(overlap);
        let before = before.map(|(sealed, until)| OldSecret { sealed, until });
        let mut older: Vec<OldSecret> = before
            .into_iter()
            .chain(self.older)
            .filter(|old| old.until > now)
            .collect();
        older.truncate(MAX_OLD_SECRETS - 1);
        Self {
            current: new,
            old: Some(self.current),
            older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_signs_to_the_end_that_it_was_given() {
        let at = |hour: i64| OffsetDateTime::UNIX_EPOCH + Duration::hours(hour);
        let secrets = SealedSecrets {
            current: vec![1],
            old: None,
            older: Vec::new(),
        };
        let secrets = secrets.rotated(vec![2], None, at(0));
        let secrets = secrets.rotated(vec![3], Some(at(24)), at(10));
        let signing =
            |hour: i64| -> Vec<&[u8]> { secrets.overlapping(Some(at(34)), at(hour)).collect() };
        assert_eq!(signing(10), [&[2], &[1]]);
        assert_eq!(signing(24), [&[2]]);
        assert!(signing(34).is_empty());
        let after = secrets.clone().rotated(vec![4], Some(at(34)), at(25));
        assert_eq!(after.all().count(), 3, "expired secrets are dropped");
    }

    #[test]
    fn of_many_rotations_the_newest_secrets_are_kept() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut secrets = SealedSecrets {
            current: vec![0],
            old: None,
            older: Vec::new(),
        };
        for count in 1..=20 {
            secrets = secrets.rotated(vec![count], Some(now + SECRET_OVERLAP), now);
        }
        let all: Vec<u8> = secrets.all().flatten().copied().collect();
        assert_eq!(all.len(), 1 + MAX_OLD_SECRETS);
        assert_eq!(all[..3], [20, 19, 18]);
    }
}
