//! Changes of keys and partners, for caches of them.

use std::{fmt, str::FromStr};

use ids::{KeyId, ParseIdError, PartnerId};

/// What all admin keys together are called in the log of changes.
const ADMIN_KEYS: &str = "admin_keys";

/// Something that nobody may go on to remember as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A partner key: revoked, or any other change but the note of its last use.
    Key(KeyId),
    /// A partner, and with it all of its keys.
    Partner(PartnerId),
    /// Any of the admin keys, one that is new included.
    AdminKeys,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Partner(id) => id.fmt(f),
            Self::AdminKeys => f.write_str(ADMIN_KEYS),
        }
    }
}

impl FromStr for Changed {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text == ADMIN_KEYS {
            return Ok(Self::AdminKeys);
        }
        text.parse()
            .map(Self::Key)
            .or_else(|_| text.parse().map(Self::Partner))
    }
}

/// What has changed since a revision. Every change makes a revision of its own, one higher than the
/// last, and they become visible in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The newest revision.
    pub revision: u64,
    /// Each change with its revision, in their order; `None` when the log does not reach back that
    /// far, and anything may have changed.
    pub changed: Option<Vec<(u64, Changed)>>,
    /// Whether somebody waits until every instance has confirmed one of the changes.
    pub confirm: bool,
}

impl Changes {
    /// What `logged`, the log's changes after `since`, tells when `newest` was the revision before it
    /// was read.
    #[must_use]
    pub fn since(since: u64, newest: u64, logged: Vec<(u64, Changed)>) -> Self {
        let revision = logged.last().map_or(newest, |last| last.0.max(newest));
        let next = logged.first().map_or(revision, |first| first.0 - 1);
        // A revision lower than one that was seen is one of a database put back from a backup.
        let whole = revision >= since && next == since;
        Self {
            revision,
            changed: whole.then_some(logged),
            confirm: false,
        }
    }

    /// The same, when one of the changes is to be confirmed.
    #[must_use]
    pub fn to_confirm(self, confirm: bool) -> Self {
        Self { confirm, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_back_as_it_was_printed() {
        let key = "pak_01J9ZK6V3QG8W0T5N4R2M7XACD".parse().unwrap();
        let partner = "ptn_01J9ZK6V3QG8W0T5N4R2M7XACD".parse().unwrap();
        for change in [
            Changed::Key(key),
            Changed::Partner(partner),
            Changed::AdminKeys,
        ] {
            assert_eq!(change.to_string().parse(), Ok(change));
        }
        assert!("org_01J9ZK6V3QG8W0T5N4R2M7XACD".parse::<Changed>().is_err());
    }

    #[track_caller]
    fn check(since: u64, newest: u64, logged: &[u64], revision: u64, whole: bool) {
        let logged: Vec<_> = logged.iter().map(|&r| (r, Changed::AdminKeys)).collect();
        let changes = Changes::since(since, newest, logged.clone());
        assert_eq!(changes.revision, revision);
        assert_eq!(changes.changed, whole.then_some(logged));
    }

    #[test]
    fn a_gap_or_a_step_back_may_hide_anything() {
        check(0, 0, &[], 0, true);
        check(7, 7, &[], 7, true);
        check(7, 9, &[8, 9], 9, true);
        check(7, 8, &[8, 9], 9, true);
        check(7, 10, &[9, 10], 10, false);
        check(7, 9, &[], 9, false);
        check(7, 3, &[], 3, false);
    }
}
