//! Labels: small key-value pairs that clients hang on their resources.

use std::collections::BTreeMap;

/// The most labels that one resource can have.
pub const MAX_LABELS: usize = 16;
/// The longest key, in characters.
const MAX_KEY: usize = 63;
/// The longest value, in characters.
const MAX_VALUE: usize = 255;

/// Why a set of labels, or one of them, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// There are more than [`MAX_LABELS`].
    #[error("at most 16 labels fit on one resource")]
    TooMany,
    /// The key does not match `[a-z0-9][a-z0-9_.-]{0,62}`.
    #[error("a label's key must match [a-z0-9][a-z0-9_.-]{{0,62}}")]
    Key(String),
    /// The value is too long or has control characters; it belongs to this key.
    #[error("a label's value has at most 255 characters and no control characters")]
    Value(String),
}

/// Up to 16 labels, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Checks every pair and their number.
    ///
    /// # Errors
    /// At the first label that does not fit, or when there are too many.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidLabels> {
        let mut labels = BTreeMap::new();
        for (key, value) in pairs {
            check_label(&key, &value)?;
            labels.insert(key, value);
        }
        if labels.len() > MAX_LABELS {
            Err(InvalidLabels::TooMany)
        } else {
            Ok(Self(labels))
        }
    }

    /// Checks a key by itself, such as that of a label to be taken away.
    ///
    /// # Errors
    /// When no label can have it.
    pub fn check_key(key: &str) -> Result<(), InvalidLabels> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut bytes = key.bytes();
        let fits = key.len() <= MAX_KEY
            && bytes.next().is_some_and(letter)
            && bytes.all(|byte| letter(byte) || matches!(byte, b'_' | b'.' | b'-'));
        if fits {
            Ok(())
        } else {
            Err(InvalidLabels::Key(key.to_owned()))
        }
    }

    /// The labels in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of one label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// These labels after a merge patch (RFC 7396): a value sets, `None` takes away.
    ///
    /// # Errors
    /// As for [`Labels::new`].
    pub fn patched(
        &self,
        changes: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> Result<Self, InvalidLabels> {
        let mut labels = self.0.clone();
        for (key, value) in changes {
            match value {
                Some(value) => labels.insert(key, value),
                None => labels.remove(&key),
            };
        }
        Self::new(labels)
    }
}

/// Checks one pair by itself.
fn check_label(key: &str, value: &str) -> Result<(), InvalidLabels> {
    Labels::check_key(key)?;
    let value_fits = value.chars().nth(MAX_VALUE).is_none() && !value.chars().any(char::is_control);
    if value_fits {
        Ok(())
    } else {
        Err(InvalidLabels::Value(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, value: &str, fits: bool) {
        let labels = Labels::new([(key.to_owned(), value.to_owned())]);
        assert_eq!(labels.is_ok(), fits, "{key:?}: {value:?}");
    }

    #[test]
    fn keys_and_values_have_their_bounds() {
        check("run_id", "123", true);
        check("0", "", true);
        check("", "x", false);
        check("_a", "x", false);
        check("Run", "x", false);
        check("a b", "x", false);
        check(&"k".repeat(63), "x", true);
        check(&"k".repeat(64), "x", false);
        check("k", &"é".repeat(255), true);
        check("k", &"é".repeat(256), false);
        check("k", "a\tb", false);
    }

    #[test]
    fn sixteen_fit_and_seventeen_do_not() {
        let pairs = |n: usize| (0..n).map(|i| (format!("k{i}"), String::new()));
        assert!(Labels::new(pairs(16)).is_ok());
        assert_eq!(Labels::new(pairs(17)), Err(InvalidLabels::TooMany));
    }

    #[test]
    fn a_patch_sets_and_takes_away() {
        let before = Labels::new([("a".into(), "1".into()), ("b".into(), "2".into())]).unwrap();
        let after = before
            .patched([
                ("a".into(), None),
                ("c".into(), Some("3".into())),
                ("zz".into(), None),
            ])
            .unwrap();
        assert_eq!(after.iter().collect::<Vec<_>>(), [("b", "2"), ("c", "3")]);
    }
}
