//! Secrets of an org in plain text: they print as `[redacted]` and are wiped from memory when dropped.

use std::{collections::BTreeMap, fmt};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The value of one secret.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretValue(String);

impl SecretValue {
    /// A value.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret text. Every use is a place to look at twice.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The secrets of an org, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgSecrets(BTreeMap<String, SecretValue>);

impl OrgSecrets {
    /// Secrets with these names and values.
    #[must_use]
    pub const fn new(secrets: BTreeMap<String, SecretValue>) -> Self {
        Self(secrets)
    }

    /// Their names, in the order of the alphabet.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The bytes to seal: a JSON object of strings, its members in the order of the alphabet.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let plain: BTreeMap<&str, &str> = self
            .iter()
            .map(|(name, value)| (name, value.expose()))
            .collect();
        // Objects of strings are never refused.
        Zeroizing::new(serde_json::to_vec(&plain).unwrap_or_default())
    }

    /// Reads what [`OrgSecrets::to_bytes`] has written; `None` when it is not that.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let plain: BTreeMap<String, String> = serde_json::from_slice(bytes).ok()?;
        let secret = |(name, value): (String, String)| (name, SecretValue(value));
        Some(Self(plain.into_iter().map(secret).collect()))
    }
}
