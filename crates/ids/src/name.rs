//! Names and the other short strings that people give to things.

use std::fmt;

/// The longest name, in characters.
const MAX_CHARACTERS: usize = 200;

/// Why a text can't be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 200 characters and no control characters")]
pub struct InvalidName;

/// 1 to 200 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// Checks the text; nothing is trimmed or changed.
    ///
    /// # Errors
    /// When it is empty, too long, or has a control character.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let fits = !text.is_empty()
            && text.chars().nth(MAX_CHARACTERS).is_none()
            && !text.chars().any(char::is_control);
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidName)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(Name::new(text).is_ok(), fits, "{text:?}");
    }

    #[test]
    fn length_is_counted_in_characters() {
        check("", false);
        check("a", true);
        check(&"é".repeat(200), true);
        check(&"é".repeat(201), false);
    }

    #[test]
    fn control_characters_are_refused() {
        check("a\nb", false);
        check("a\u{7f}", false);
        check("a\u{0}", false);
        check("日本 ✓", true);
    }
}
