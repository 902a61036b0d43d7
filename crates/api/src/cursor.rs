//! Cursors: opaque places in a list, bound to the list they were made for.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ids::Ulid;
use sha2::{Digest, Sha256};

/// The form of a cursor; another form would get another number.
const VERSION: u8 = 1;
/// How much of the digest of the binding is kept.
const BINDING: usize = 8;

/// The cursor was not made for this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor was not made for this list with these filters; start again without it")]
pub struct InvalidCursor;

/// A position in one list: the page after it holds items with lower ids. Nothing needs to have this id,
/// since a page can end before it has found `limit` items.
///
/// It carries no authority: a list is always cut to what its caller may see, whatever the cursor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The position.
    pub after: Ulid,
}

impl Cursor {
    /// The cursor as clients carry it, bound to a text that is the same for the same list.
    #[must_use]
    pub fn encode(self, binding: &str) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(fingerprint(binding));
        bytes.extend(self.after.to_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// When it is not a cursor, or one of another list.
    pub fn decode(text: &str, binding: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let rest = bytes.strip_prefix(&[VERSION]).ok_or(InvalidCursor)?;
        let rest = rest
            .strip_prefix(&fingerprint(binding))
            .ok_or(InvalidCursor)?;
        let after = <[u8; 16]>::try_from(rest).map_err(|_| InvalidCursor)?;
        Ok(Self {
            after: Ulid::from_bytes(after),
        })
    }
}

fn fingerprint(binding: &str) -> [u8; BINDING] {
    let mut short = [0; BINDING];
    for (to, from) in short.iter_mut().zip(Sha256::digest(binding.as_bytes())) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: Cursor = Cursor { after: Ulid(77) };

    #[test]
    fn a_cursor_reads_back_in_its_own_list_alone() {
        let text = CURSOR.encode("orgs;status=5:ready;");
        assert_eq!(Cursor::decode(&text, "orgs;status=5:ready;"), Ok(CURSOR));
        assert_eq!(Cursor::decode(&text, "orgs;"), Err(InvalidCursor));
    }

    #[test]
    fn whatever_else_is_refused() {
        let good = CURSOR.encode("orgs;");
        for text in [
            "",
            "x",
            "====",
            "AA",
            &good[..good.len() - 2],
            &format!("{good}AAAA"),
            "é",
        ] {
            assert_eq!(Cursor::decode(text, "orgs;"), Err(InvalidCursor), "{text}");
        }
    }
}
