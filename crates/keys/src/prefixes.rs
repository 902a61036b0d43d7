//! The prefixes of partner keys: an operator can have one of its own, by which scanners tell whose a key is.

use std::{fmt, str::FromStr};

use crate::{InvalidOperatorKey, KeyKind, MalformedKey, PlainKey};

/// What stands behind the operator's own mark.
const KIND: &str = "_pk_";
/// The prefix of partner keys where the operator has not chosen another.
const DEFAULT: &str = "mol_pk_";
/// How long the operator's mark is.
const MIN_MARK: usize = 2;
/// See [`MIN_MARK`].
const MAX_MARK: usize = 10;

/// A text that can't be the prefix of partner keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 2 to 10 small letters or digits and then _pk_, such as acme_pk_")]
pub struct InvalidKeyPrefix;

/// The prefix of partner keys: `[a-z0-9]{2,10}_pk_`.
///
/// None is the beginning of another, nor of an admin key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyPrefix {
    type Err = InvalidKeyPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidKeyPrefix> {
        let mark = text.strip_suffix(KIND).ok_or(InvalidKeyPrefix)?;
        let fits = (MIN_MARK..=MAX_MARK).contains(&mark.len())
            && mark
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKeyPrefix)
        }
    }
}

/// A prefix is named twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is named twice; a prefix is either in use or retired")]
pub struct RepeatedKeyPrefix(KeyPrefix);

/// The prefix of new partner keys, and those under which earlier ones were issued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPrefixes {
    current: KeyPrefix,
    retired: Vec<KeyPrefix>,
}

impl KeyPrefixes {
    /// New keys have the prefix `current`; those with a retired one go on.
    ///
    /// # Errors
    /// When one is named twice.
    pub fn new(current: KeyPrefix, retired: Vec<KeyPrefix>) -> Result<Self, RepeatedKeyPrefix> {
        let prefixes = Self { current, retired };
        let repeated = prefixes
            .all()
            .enumerate()
            .find(|(place, prefix)| prefixes.all().take(*place).any(|before| before == *prefix));
        match repeated {
            Some((_, prefix)) => Err(RepeatedKeyPrefix(prefix.clone())),
            None => Ok(prefixes),
        }
    }

    /// The prefix of new keys.
    #[must_use]
    pub const fn current(&self) -> &KeyPrefix {
        &self.current
    }

    /// Those of earlier keys.
    #[must_use]
    pub fn retired(&self) -> &[KeyPrefix] {
        &self.retired
    }

    /// All of them, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &KeyPrefix> {
        std::iter::once(&self.current).chain(&self.retired)
    }

    /// Parses a bearer token, as [`PlainKey::parse`] does where nobody has chosen a prefix.
    ///
    /// # Errors
    /// When it begins with one of these prefixes or that of admin keys and has not the form of a key; or when it is
    /// too long to be any.
    pub fn parse(&self, token: &str) -> Result<PlainKey, MalformedKey> {
        PlainKey::parse_with(token, self.all().map(KeyPrefix::as_str))
    }

    /// Takes the string that an operator chose as the admin key.
    ///
    /// # Errors
    /// When it is too weak, could not be sent as a bearer token, or begins like another key.
    pub fn operator(&self, text: &str) -> Result<PlainKey, InvalidOperatorKey> {
        let key = PlainKey::operator(text)?;
        let is_like_a_partner_key = self.all().any(|prefix| text.starts_with(prefix.as_str()));
        if key.kind() == KeyKind::Operator && is_like_a_partner_key {
            return Err(InvalidOperatorKey::Prefix);
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(text.parse::<KeyPrefix>().is_ok(), fits, "{text:?}");
    }

    #[test]
    fn a_prefix_is_a_short_mark_and_the_kind() {
        check("mol_pk_", true);
        check("ab_pk_", true);
        check("0123456789_pk_", true);
        check("a_pk_", false);
        check("0123456789a_pk_", false);
        check("_pk_", false);
        check("acme_pk", false);
        check("acme_ak_", false);
        check("Acme_pk_", false);
        check("ac-me_pk_", false);
        check("ac_me_pk_", false);
        check("äcme_pk_", false);
        check("acme_pk_ ", false);
        check("", false);
    }

    fn prefix(text: &str) -> KeyPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn no_prefix_is_named_twice() {
        let new = |current, retired: &[&str]| {
            let retired = retired.iter().map(|text| prefix(text)).collect();
            KeyPrefixes::new(prefix(current), retired)
        };
        assert!(new("acme_pk_", &["mol_pk_", "old_pk_"]).is_ok());
        assert!(new("acme_pk_", &["acme_pk_"]).is_err());
        assert!(new("acme_pk_", &["mol_pk_", "old_pk_", "mol_pk_"]).is_err());
    }

    #[test]
    fn form_and_checksum_are_those_of_every_key() {
        let suffix = "3KV5E088NWkAX44g154StJ3MJWW04BH13GCPhw6g5u7l3qBNXj";
        let prefixes = KeyPrefixes::new(prefix("acme_pk_"), vec![prefix("mol_pk_")]).unwrap();
        for start in ["acme_pk_", "mol_pk_"] {
            let key = prefixes.parse(&format!("{start}{suffix}")).unwrap();
            assert_eq!(key.kind(), KeyKind::Partner);
            assert_eq!(key.display_prefix(), &format!("{start}{suffix}")[..12]);
            for wrong in [
                format!("{start}{}", suffix.replacen('3', "4", 1)),
                format!("{start}{suffix}0"),
                start.to_owned(),
            ] {
                assert!(prefixes.parse(&wrong).is_err(), "{wrong}");
            }
        }
        let admin = prefixes.parse(&format!("mol_ak_{suffix}")).unwrap();
        assert_eq!(admin.kind(), KeyKind::Admin);
        // What is not listed could only be the string that the operator chose.
        let other = prefixes.parse(&format!("other_pk_{suffix}")).unwrap();
        assert_eq!(other.kind(), KeyKind::Operator);
        let alone = KeyPrefixes::new(prefix("acme_pk_"), Vec::new()).unwrap();
        let earlier = alone.parse(&format!("mol_pk_{suffix}")).unwrap();
        assert_eq!(earlier.kind(), KeyKind::Operator);
    }

    #[test]
    fn an_operators_own_string_begins_like_no_other_key() {
        let prefixes = KeyPrefixes::new(prefix("acme_pk_"), vec![prefix("old_pk_")]).unwrap();
        let long = "x".repeat(40);
        assert!(prefixes.operator(&long).is_ok());
        assert!(prefixes.operator(&format!("other_pk_{long}")).is_ok());
        for start in ["acme_pk_", "old_pk_", "mol_pk_", "mol_ak_"] {
            let error = prefixes.operator(&format!("{start}{long}")).unwrap_err();
            assert_eq!(error, InvalidOperatorKey::Prefix, "{start}");
        }
    }
}
