//! The secret of a key: how it is generated, its form, and the checksum that finds a bad copy.
//!
//! The form is GitHub's: a prefix, base62 randomness, and a checksum that a scanner can verify offline
//! (<https://github.blog/engineering/behind-githubs-new-authentication-token-formats/>).

use std::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::KeyPrefix;

/// 128 bits in base62, left-padded.
const HALF: usize = 22;
/// The CRC-32 in base62, left-padded.
const CHECKSUM: usize = 6;
/// Two halves of randomness and their checksum.
const SUFFIX: usize = 2 * HALF + CHECKSUM;
/// How much of a key is shown to tell it from others.
const SHOWN: usize = 12;
/// The longest token that is looked at.
const MAX_OPERATOR_KEY: usize = 256;
/// The shortest key that an operator may choose.
const MIN_OPERATOR_KEY: usize = 32;

/// The kind of a key, which its form shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `mol_pk_…`, or the operator's own prefix in its place: one integration of one partner.
    Partner,
    /// `mol_ak_…`: the operator of the platform.
    Admin,
    /// Any other text: it can only be the string that the operator chose.
    Operator,
}

/// The prefix of partner keys where the operator has not chosen another.
const PARTNER: &str = "mol_pk_";
/// The prefix of admin keys.
const ADMIN: &str = "mol_ak_";
/// What all prefixes of ours begin with.
const OURS: &str = "mol_";

/// The text has one of our prefixes but not the form, or its checksum is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is cut short or mistyped: its form or its checksum is wrong")]
pub struct MalformedKey;

/// The string that an operator chose can't be used as an admin key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOperatorKey {
    /// It is too short or too long.
    #[error("an admin key of your own needs 32 to 256 characters")]
    Length,
    /// It has characters that can't be in an `Authorization` header as they are.
    #[error("an admin key of your own may hold visible ASCII characters only, no spaces")]
    Characters,
    /// It begins like a generated key but is none.
    #[error(
        "an admin key that begins with mol_ must be a whole mol_ak_ key, and none may begin like a partner key"
    )]
    Prefix,
}

/// A key in plain text. It prints as `[redacted]` and is wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PlainKey {
    text: String,
    #[zeroize(skip)]
    kind: KeyKind,
}

impl PlainKey {
    /// A new key of 256 random bits.
    ///
    /// [`KeyKind::Operator`] has no form to generate and yields an admin key.
    pub fn generate(kind: KeyKind, random: &mut impl CryptoRng) -> Self {
        match kind {
            KeyKind::Partner => Self::with_prefix(PARTNER, kind, random),
            KeyKind::Admin | KeyKind::Operator => Self::with_prefix(ADMIN, KeyKind::Admin, random),
        }
    }

    /// A new partner key with the operator's own prefix.
    pub fn generate_partner(prefix: &KeyPrefix, random: &mut impl CryptoRng) -> Self {
        Self::with_prefix(prefix.as_str(), KeyKind::Partner, random)
    }

    fn with_prefix(prefix: &str, kind: KeyKind, random: &mut impl CryptoRng) -> Self {
        let mut text = String::with_capacity(prefix.len() + SUFFIX);
        text.push_str(prefix);
        for _ in 0..2 {
            let half = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
            push_base62(&mut text, half, HALF);
        }
        let random_part = text.get(prefix.len()..).unwrap_or_default();
        let checksum = crc32fast::hash(random_part.as_bytes());
        push_base62(&mut text, checksum.into(), CHECKSUM);
        Self { text, kind }
    }

    /// Parses a bearer token.
    ///
    /// # Errors
    /// When it begins with `mol_pk_` or `mol_ak_` and the rest is not 44 base62 characters, each half
    /// within 128 bits, followed by their CRC-32; or when it is too long to be any key.
    pub fn parse(token: &str) -> Result<Self, MalformedKey> {
        Self::parse_with(token, [PARTNER].into_iter())
    }

    /// The same where partner keys have one of these prefixes.
    pub(crate) fn parse_with<'a>(
        token: &str,
        mut partner: impl Iterator<Item = &'a str>,
    ) -> Result<Self, MalformedKey> {
        let found = partner.find_map(|prefix| token.strip_prefix(prefix));
        let found = found.map(|suffix| (KeyKind::Partner, suffix)).or_else(|| {
            let suffix = token.strip_prefix(ADMIN)?;
            Some((KeyKind::Admin, suffix))
        });
        let (kind, fits) = match found {
            Some((kind, suffix)) => (kind, has_valid_suffix(suffix)),
            None => (KeyKind::Operator, token.len() <= MAX_OPERATOR_KEY),
        };
        if fits {
            Ok(Self {
                text: token.to_owned(),
                kind,
            })
        } else {
            Err(MalformedKey)
        }
    }

    /// Takes the string that an operator chose as the admin key.
    ///
    /// # Errors
    /// When it is too weak or could not be sent as a bearer token.
    pub fn operator(text: &str) -> Result<Self, InvalidOperatorKey> {
        if !(MIN_OPERATOR_KEY..=MAX_OPERATOR_KEY).contains(&text.len()) {
            return Err(InvalidOperatorKey::Length);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidOperatorKey::Characters);
        }
        match Self::parse(text) {
            Ok(key) if key.kind == KeyKind::Admin || !text.starts_with(OURS) => Ok(key),
            Ok(_) | Err(MalformedKey) => Err(InvalidOperatorKey::Prefix),
        }
    }

    /// The kind of the key.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The secret text. Every use is a place to look at twice.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The first 12 characters, enough to tell a key from others and too few to guess it.
    #[must_use]
    pub fn display_prefix(&self) -> &str {
        self.text.get(..SHOWN).unwrap_or_default()
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn push_base62(text: &mut String, number: u128, width: usize) {
    let mut digits = base62::encode(number);
    text.extend(std::iter::repeat_n('0', width.saturating_sub(digits.len())));
    text.push_str(&digits);
    digits.zeroize();
}

fn has_valid_suffix(suffix: &str) -> bool {
    // Characters of more than one byte fail the first test; after it, bytes are characters.
    if suffix.len() != SUFFIX || !suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let (random, checksum) = suffix.split_at(2 * HALF);
    let (first, second) = random.split_at(HALF);
    let in_128_bits = |half: &str| base62::decode(half).is_ok();
    in_128_bits(first)
        && in_128_bits(second)
        && base62::decode(checksum) == Ok(crc32fast::hash(random.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use rand_core::{TryCryptoRng, TryRng};

    use super::*;

    /// A source that gives the same number for ever.
    struct Constant(u64);

    impl TryRng for Constant {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(self.0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill(0);
            Ok(())
        }
    }

    impl TryCryptoRng for Constant {}

    fn key() -> PlainKey {
        PlainKey::generate(KeyKind::Partner, &mut Constant(0x0123_4567_89ab_cdef))
    }

    #[test]
    fn the_checksum_is_the_ieee_crc_32() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_smallest_and_the_largest_randomness_have_the_same_length() {
        for (number, half) in [
            (0, "0".repeat(22)),
            (u64::MAX, "7n42DGM5Tflk9n8mt7Fhc7".into()),
        ] {
            let key = PlainKey::generate(KeyKind::Admin, &mut Constant(number));
            assert_eq!(key.expose().len(), 7 + 50);
            assert!(
                key.expose().starts_with(&format!("mol_ak_{half}{half}")),
                "{}",
                key.expose()
            );
            assert_eq!(
                PlainKey::parse(key.expose()).unwrap().kind(),
                KeyKind::Admin
            );
        }
    }

    #[test]
    fn every_single_slip_is_caught_without_a_look_up() {
        let good = key();
        assert!(PlainKey::parse(good.expose()).is_ok());
        for at in 7..good.expose().len() {
            for other in "0aZ-é".chars() {
                let mut slip: Vec<char> = good.expose().chars().collect();
                if slip[at] == other {
                    continue;
                }
                slip[at] = other;
                let slip: String = slip.into_iter().collect();
                assert!(PlainKey::parse(&slip).is_err(), "{slip}");
            }
            assert!(PlainKey::parse(&good.expose()[..at]).is_err());
        }
        assert!(PlainKey::parse(&format!("{}0", good.expose())).is_err());
    }

    #[test]
    fn a_half_past_128_bits_is_refused_though_its_checksum_is_right() {
        let random = "z".repeat(44);
        let mut text = format!("mol_pk_{random}");
        push_base62(
            &mut text,
            crc32fast::hash(random.as_bytes()).into(),
            CHECKSUM,
        );
        assert!(PlainKey::parse(&text).is_err());
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", key()), "[redacted]");
        assert_eq!(key().display_prefix().len(), 12);
    }

    #[track_caller]
    fn operator(text: &str, expect: Result<KeyKind, InvalidOperatorKey>) {
        assert_eq!(
            PlainKey::operator(text).map(|key| key.kind()),
            expect,
            "{text:?}"
        );
    }

    #[test]
    fn what_an_operator_may_choose() {
        operator(&"x".repeat(31), Err(InvalidOperatorKey::Length));
        operator(&"x".repeat(32), Ok(KeyKind::Operator));
        operator(&"x".repeat(257), Err(InvalidOperatorKey::Length));
        operator(&"x y".repeat(20), Err(InvalidOperatorKey::Characters));
        operator(&"é".repeat(20), Err(InvalidOperatorKey::Characters));
        operator(
            &format!("mol_ak_{}", "x".repeat(50)),
            Err(InvalidOperatorKey::Prefix),
        );
        operator(key().expose(), Err(InvalidOperatorKey::Prefix));
        let admin = PlainKey::generate(KeyKind::Admin, &mut Constant(5));
        operator(admin.expose(), Ok(KeyKind::Admin));
    }
}
