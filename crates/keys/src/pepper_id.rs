//! Which pepper a digest was made with, and how many keys need each.

use std::{collections::BTreeSet, fmt, str::FromStr};

/// How many bytes of a pepper's check value its id has.
const BYTES: usize = 8;

/// The id of a pepper: it tells two peppers apart and nothing of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PepperId([u8; BYTES]);

/// The text is not the id of a pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a pepper is 16 hexadecimal digits")]
pub struct InvalidPepperId;

impl PepperId {
    /// The id of the pepper with this check value.
    pub(crate) fn of_check_value(check: &[u8; 32]) -> Self {
        let mut id = [0; BYTES];
        id.iter_mut().zip(check).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PepperId {
    type Err = InvalidPepperId;

    fn from_str(text: &str) -> Result<Self, InvalidPepperId> {
        let is_hex = text.len() == BYTES * 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
        let number = number.ok_or(InvalidPepperId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// How much needs a pepper: keys that are neither revoked nor expired, and secrets that are sealed under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PepperUse {
    /// The pepper; `None` for keys whose pepper an earlier version did not note.
    pub pepper: Option<PepperId>,
    /// How many partner keys.
    pub partner_keys: u64,
    /// How many admin keys.
    pub admin_keys: u64,
    /// How many orgs' secrets.
    pub org_secrets: u64,
}

/// What a database remembers of the peppers that it was used with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PepperNotes {
    /// Those that the last start was given.
    pub given: BTreeSet<PepperId>,
    /// Those that keys need and the operator has given up.
    pub given_up: BTreeSet<PepperId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let id = PepperId::of_check_value(&[0x0f; 32]);
        assert_eq!(id.to_string(), "0f0f0f0f0f0f0f0f");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "0f", "+f0f0f0f0f0f0f0f", "0f0f0f0f0f0f0f0f0f"] {
            assert_eq!(text.parse::<PepperId>(), Err(InvalidPepperId), "{text}");
        }
    }
}
