//! A secret that a client received or is about to send.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret in plain text: wiped when dropped, and never part of a debug print.
///
/// It is serialized as the text that it is, for that is how it is kept and handed on.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text; line ends and spaces around it are not part of it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first characters, by which a key is recognized: as `key_prefix` of the API has them.
    #[must_use]
    pub fn prefix(&self) -> &str {
        // Other secrets than ours may be short: never more than a quarter is shown.
        let shown = 12.min(self.0.len() / 4);
        self.0.get(..shown).unwrap_or_default()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.expose().to_owned()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_and_only_its_beginning_is_shown() {
        let key = Secret::new(format!("mol_pk_{}\r\n", "0".repeat(50)));
        assert_eq!(format!("{key:?}"), "Secret(…)");
        assert_eq!(key.expose().len(), 57);
        assert_eq!(key.prefix(), "mol_pk_00000");
        assert_eq!(Secret::new("short").prefix(), "s");
    }
}
