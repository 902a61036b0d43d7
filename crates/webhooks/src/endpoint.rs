//! Endpoints: where a partner receives messages.

use ids::{Change, EndpointId, PartnerId};
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

/// For how long nothing was delivered to an endpoint that is disabled for that.
pub const DEAD_AFTER: Duration = Duration::hours(24);
/// How many attempts have failed in that time at the least.
pub const DEAD_AFTER_ATTEMPTS: u32 = 100;

/// Why nothing is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// The receiver answered that it is gone.
    Gone,
    /// Nothing was delivered for long.
    Failing,
    /// The partner has paused it.
    Paused,
}

impl DisabledReason {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Gone, Self::Failing, Self::Paused];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::Paused => "paused",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
    }
}

/// Attempts that have failed since the last delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// When the first of them failed.
    pub since: OffsetDateTime,
    /// How many there are.
    pub attempts: u32,
}

/// A change to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointChanges {
    /// Where to send messages.
    pub url: Option<EndpointUrl>,
    /// About what.
    pub events: Option<EventKinds>,
    /// Whether to send them.
    pub enabled: Change<bool>,
}

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
    /// Since when nothing more is sent.
    pub disabled_at: Option<OffsetDateTime>,
    /// Why, while that is so.
    pub disabled_reason: Option<DisabledReason>,
    /// The attempts that have failed since the last delivery, if there are any.
    pub failures: Option<Failures>,
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

    /// Applies a change at `now`. A pause stays until it is ended; an endpoint that is enabled, or has another
    /// URL, begins without failures.
    pub fn apply(&mut self, changes: EndpointChanges, now: OffsetDateTime) {
        if let Some(url) = changes.url
            && url != self.url
        {
            self.url = url;
            self.failures = None;
        }
        if let Some(events) = changes.events {
            self.events = events;
        }
        match changes.enabled {
            Change::Keep => {}
            Change::Set(false) => {
                self.disabled_at = self.disabled_at.or(Some(now));
                self.disabled_reason = Some(DisabledReason::Paused);
            }
            Change::Clear | Change::Set(true) => self.enable(),
        }
    }

    fn enable(&mut self) {
        self.disabled_at = None;
        self.disabled_reason = None;
        self.failures = None;
    }

    /// Disables it for a reason that the system has; `false` when it is disabled already.
    pub const fn disable(&mut self, reason: DisabledReason, now: OffsetDateTime) -> bool {
        if self.disabled_at.is_some() {
            return false;
        }
        self.disabled_at = Some(now);
        self.disabled_reason = Some(reason);
        true
    }

    /// Notes that a message was delivered, one that was asked for where it is disabled: then the receiver works
    /// again, and unless it is paused, it is enabled. Whether it was.
    pub fn delivered(&mut self) -> bool {
        self.failures = None;
        let revived =
            self.disabled_at.is_some() && self.disabled_reason != Some(DisabledReason::Paused);
        if revived {
            self.enable();
        }
        revived
    }

    /// Notes that an attempt has failed; whether nothing was delivered for so long now that it counts as dead.
    pub fn failed(&mut self, now: OffsetDateTime) -> bool {
        let failures = self.failures.get_or_insert(Failures {
            since: now,
            attempts: 0,
        });
        failures.attempts = failures.attempts.saturating_add(1);
        failures.attempts >= DEAD_AFTER_ATTEMPTS && now - failures.since >= DEAD_AFTER
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

    fn endpoint() -> Endpoint {
        use ids::{TypedId as _, Ulid};
        Endpoint {
            id: EndpointId::from_ulid(Ulid::from(1)),
            partner_id: PartnerId::from_ulid(Ulid::from(2)),
            url: EndpointUrl::stored("https://hooks.example/").unwrap(),
            events: EventKinds::new([crate::EventKind::OrgReady]).unwrap(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            old_secret_until: None,
            disabled_at: None,
            disabled_reason: None,
            failures: None,
        }
    }

    #[test]
    fn an_endpoint_is_dead_after_a_day_and_a_hundred_failures_without_a_delivery() {
        let at = |minute: i64| OffsetDateTime::UNIX_EPOCH + Duration::minutes(minute);
        let mut endpoint = endpoint();
        // A hundred within the day are not enough, nor is a day with fewer.
        assert!((0..200).all(|minute| !endpoint.failed(at(minute))));
        assert!(endpoint.failed(at(24 * 60)));
        endpoint.delivered();
        assert!((0..99).all(|n| !endpoint.failed(at(n * 60))));
        assert!(endpoint.failed(at(99 * 60)));
        let since = endpoint.failures.unwrap().since;
        assert_eq!(since, at(0));
    }

    #[test]
    fn a_delivery_ends_everything_but_a_pause() {
        let now = OffsetDateTime::UNIX_EPOCH;
        for (reason, revived) in [
            (DisabledReason::Gone, true),
            (DisabledReason::Failing, true),
            (DisabledReason::Paused, false),
        ] {
            let mut endpoint = endpoint();
            assert!(endpoint.disable(reason, now));
            assert!(!endpoint.disable(DisabledReason::Gone, now));
            assert_eq!(endpoint.delivered(), revived, "{reason:?}");
            assert_eq!(endpoint.status() == "active", revived, "{reason:?}");
        }
        let mut endpoint = endpoint();
        assert!(!endpoint.delivered(), "it was active");
    }

    #[test]
    fn a_change_pauses_and_enables() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let enabled = |enabled| EndpointChanges {
            enabled,
            ..EndpointChanges::default()
        };
        let mut endpoint = endpoint();
        endpoint.failed(now);
        endpoint.apply(EndpointChanges::default(), now);
        assert!(endpoint.failures.is_some());
        endpoint.disable(DisabledReason::Gone, now);
        endpoint.apply(enabled(Change::Set(false)), now + Duration::HOUR);
        assert_eq!(
            (endpoint.disabled_at, endpoint.disabled_reason),
            (Some(now), Some(DisabledReason::Paused))
        );
        endpoint.apply(enabled(Change::Clear), now);
        let state = (
            endpoint.disabled_at,
            endpoint.disabled_reason,
            endpoint.failures,
        );
        assert_eq!(state, (None, None, None));
    }
}
