//! What is stored of a key: a digest under a pepper that the database never sees.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{PepperId, PlainKey};

/// The shortest pepper, in bytes.
const MIN_PEPPER: usize = 32;

/// The pepper is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pepper needs 32 bytes or more")]
pub struct InvalidPepper;

/// HMAC-SHA-256 (RFC 2104, FIPS 180-4) of a key under a pepper. Comparison takes constant time.
#[derive(Clone, Copy)]
pub struct KeyDigest {
    bytes: [u8; 32],
    pepper: Option<PepperId>,
}

impl KeyDigest {
    /// The digest that was stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self {
            bytes,
            pepper: None,
        }
    }

    /// The same digest, made with this pepper.
    #[must_use]
    pub const fn under(self, pepper: PepperId) -> Self {
        Self {
            pepper: Some(pepper),
            ..self
        }
    }

    /// The pepper that it was made with, if that is known.
    #[must_use]
    pub const fn pepper(&self) -> Option<PepperId> {
        self.pepper
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.bytes.ct_eq(&other.bytes).into()
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest")
    }
}

/// The secret that digests are keyed with. It prints as `[redacted]` and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pepper {
    bytes: Vec<u8>,
    /// Every request needs a digest, so this is made once.
    #[zeroize(skip)]
    id: PepperId,
}

impl Pepper {
    /// A pepper of 32 bytes or more.
    ///
    /// # Errors
    /// When it is shorter.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPepper> {
        let mut pepper = Self::unchecked(bytes.into());
        if pepper.bytes.len() < MIN_PEPPER {
            return Err(InvalidPepper);
        }
        pepper.id = PepperId::of_check_value(&pepper.check_bytes());
        Ok(pepper)
    }

    fn unchecked(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            id: PepperId::of_check_value(&[0; 32]),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> PepperId {
        self.id
    }

    pub(crate) fn mac(&self, purpose: &[u8], message: &[u8]) -> [u8; 32] {
        // HMAC takes a key of any length, so this arm is never taken; an unkeyed digest would be
        // worse than none, so it would match nothing.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.bytes) else {
            return [0; 32];
        };
        mac.update(purpose);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    fn digest(&self, key: &PlainKey) -> KeyDigest {
        KeyDigest::from_bytes(self.mac(b"", key.expose().as_bytes())).under(self.id)
    }

    /// A value by which a database can tell this pepper from another without knowing either.
    #[must_use]
    pub fn check_value(&self) -> String {
        let check = self.check_bytes();
        check.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn check_bytes(&self) -> [u8; 32] {
        // A NUL can't be in a key, so this never equals the digest of one.
        self.mac(b"\0pepper check, version 1", b"")
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The pepper in use and the retired ones, under which older keys still verify.
#[derive(Clone, Debug)]
pub struct Peppers {
    current: Pepper,
    retired: Vec<Pepper>,
}

impl Peppers {
    /// New keys get digests under `current` alone.
    pub fn new(current: Pepper, retired: impl IntoIterator<Item = Pepper>) -> Self {
        Self {
            current,
            retired: retired.into_iter().collect(),
        }
    }

    pub(crate) const fn current(&self) -> &Pepper {
        &self.current
    }

    /// The digest to store for a new key.
    #[must_use]
    pub fn digest(&self, key: &PlainKey) -> KeyDigest {
        self.current.digest(key)
    }

    /// The digests under which a key may be stored, the current pepper's first.
    pub fn candidates(&self, key: &PlainKey) -> impl Iterator<Item = KeyDigest> {
        self.all().map(move |pepper| pepper.digest(key))
    }

    /// The check values of all peppers, the current one's first.
    pub fn check_values(&self) -> impl Iterator<Item = String> {
        self.all().map(Pepper::check_value)
    }

    /// The id of the current pepper.
    #[must_use]
    pub const fn current_id(&self) -> PepperId {
        self.current.id()
    }

    /// The ids of all peppers, the current one's first.
    pub fn ids(&self) -> impl Iterator<Item = PepperId> {
        self.all().map(Pepper::id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Pepper> {
        std::iter::once(&self.current).chain(&self.retired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(text: &str) -> Pepper {
        Pepper::new(text.repeat(32)).unwrap()
    }

    fn key() -> PlainKey {
        PlainKey::operator(&"k".repeat(40)).unwrap()
    }

    #[test]
    fn the_digest_is_hmac_sha_256() {
        // RFC 4231, test case 3: the key is 20 times 0xaa, the data 50 times 0xdd.
        let pepper = Pepper::unchecked(vec![0xaa; 20]);
        let expect = "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe";
        let actual: String = pepper
            .mac(b"", &[0xdd; 50])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(actual, expect);
    }

    #[test]
    fn a_retired_pepper_verifies_until_it_is_removed() {
        let stored = Peppers::new(pepper("a"), []).digest(&key());
        let verifies = |peppers: &Peppers| peppers.candidates(&key()).any(|d| d == stored);
        assert!(verifies(&Peppers::new(pepper("b"), [pepper("a")])));
        assert!(!verifies(&Peppers::new(pepper("b"), [])));
    }

    #[test]
    fn a_new_digest_is_never_under_a_retired_pepper() {
        let peppers = Peppers::new(pepper("b"), [pepper("a")]);
        assert_eq!(peppers.digest(&key()), pepper("b").digest(&key()));
        assert_eq!(peppers.digest(&key()).pepper(), Some(pepper("b").id()));
        let key = key();
        let candidates = peppers
            .candidates(&key)
            .filter_map(|digest| digest.pepper());
        assert!(candidates.eq(peppers.ids()));
        assert_ne!(pepper("a").id(), pepper("b").id());
    }

    #[test]
    fn check_values_differ_and_peppers_do_not_print() {
        assert_ne!(pepper("a").check_value(), pepper("b").check_value());
        assert_eq!(format!("{:?}", pepper("a")), "[redacted]");
        assert!(Pepper::new("short").is_err());
    }
}
