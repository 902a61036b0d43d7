//! Leaks: secrets that somebody has seen where they don't belong.

use std::{fmt, str::FromStr};

use ids::{AdminKeyId, KeyId, Name, RequestId};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::KeyDigest;

/// The longest address of a leak, in characters.
const MAX_URL: usize = 2048;
/// How many reports wait at the most. Each has a digest of each of its tokens for each pepper.
pub const MAX_LEAK_REPORTS: usize = 500;
/// Of how many leaks of one key notices are kept.
pub const MAX_LEAK_NOTICES: usize = 10;

/// A text that is not a choice of what becomes of a leaked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("on_leak is one of revoke, notify")]
pub struct UnknownOnLeak;

/// What becomes of a key when its secret is reported as leaked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLeak {
    /// It is revoked.
    #[default]
    Revoke,
    /// It stays, and its partner is told.
    Notify,
}

impl OnLeak {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Revoke, Self::Notify];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Notify => "notify",
        }
    }
}

impl FromStr for OnLeak {
    type Err = UnknownOnLeak;

    fn from_str(text: &str) -> Result<Self, UnknownOnLeak> {
        Self::ALL
            .iter()
            .copied()
            .find(|choice| choice.as_str() == text)
            .ok_or(UnknownOnLeak)
    }
}

/// A text that can't be the address of a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 2048 characters and no control characters")]
pub struct InvalidLeakUrl;

/// Where a leak was seen: 1 to 2048 characters, none of them a control character. Anybody may have written it, so it
/// is shown as text and never followed.
#[derive(Clone, PartialEq, Eq)]
pub struct LeakUrl(String);

impl LeakUrl {
    /// Checks the text; nothing is trimmed or changed.
    ///
    /// # Errors
    /// When it is empty, too long, or has a control character.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidLeakUrl> {
        let text = text.into();
        let fits = !text.is_empty()
            && text.chars().nth(MAX_URL).is_none()
            && !text.chars().any(char::is_control);
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidLeakUrl)
        }
    }

    /// As much of a text as can be the address of a leak.
    #[must_use]
    pub fn lossy(text: &str) -> Option<Self> {
        let plain = text.chars().filter(|character| !character.is_control());
        Self::new(plain.take(MAX_URL).collect::<String>()).ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LeakUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where a leak was seen, as its reporter says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakLocation {
    /// What has found it, such as the name of a scanner.
    pub source: Option<Name>,
    /// Its address.
    pub url: Option<LeakUrl>,
}

impl LeakLocation {
    /// SHA-256 of the address; without one all locations are alike.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let url = self.url.as_ref().map(LeakUrl::as_str);
        Sha256::digest(url.unwrap_or_default()).into()
    }
}

/// A report that waits to be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakReport {
    /// Its id.
    pub id: RequestId,
    /// When it was received.
    pub received_at: OffsetDateTime,
    /// Where the leaks were seen.
    pub location: LeakLocation,
    /// The digests of tokens that may be partner keys, under each pepper.
    pub partner_digests: Vec<KeyDigest>,
    /// The digests of tokens that may be admin keys, under each pepper.
    pub admin_digests: Vec<KeyDigest>,
}

/// The key whose leak somebody was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakSubject {
    /// A partner key.
    Key(KeyId),
    /// An admin key.
    Admin(AdminKeyId),
}

impl fmt::Display for LeakSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Admin(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_read_back_as_they_are_printed() {
        for &choice in OnLeak::ALL {
            assert_eq!(choice.as_str().parse(), Ok(choice));
        }
        assert_eq!("ignore".parse::<OnLeak>(), Err(UnknownOnLeak));
    }

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(LeakUrl::new(text).is_ok(), fits, "{text:?}");
    }

    #[test]
    fn an_address_is_bounded_text() {
        check("", false);
        check("https://github.com/o/r/blob/1/x", true);
        check("not an address at all", true);
        check(&"é".repeat(2048), true);
        check(&"é".repeat(2049), false);
        check("a\nb", false);
        check("a\u{1b}[31m", false);
    }

    #[test]
    fn an_address_of_an_unbounded_source_is_cut() {
        let lossy = |text: &str| LeakUrl::lossy(text).map(|url| url.as_str().to_owned());
        assert_eq!(lossy("a\u{0}\nb"), Some("ab".to_owned()));
        assert_eq!(lossy(&"x".repeat(5000)), Some("x".repeat(2048)));
        assert_eq!(lossy("\n"), None);
    }

    #[test]
    fn locations_are_told_apart_by_their_address() {
        let at = |source: &str, url: &str| LeakLocation {
            source: Name::new(source).ok(),
            url: LeakUrl::new(url).ok(),
        };
        assert_eq!(at("a", "u").fingerprint(), at("b", "u").fingerprint());
        assert_ne!(at("a", "u").fingerprint(), at("a", "v").fingerprint());
    }
}
