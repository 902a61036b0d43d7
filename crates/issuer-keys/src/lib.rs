//! The keys of an issuer: a JSON Web Key Set (RFC 7517), and the signatures that they verify.
//!
//! This crate must not know how keys are fetched and kept.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, crypto};
use serde_json::{Map, Value};

use trust::{Algorithm, Denial, Jwt};

/// The most keys of one issuer that are kept.
pub const MAX_KEYS: usize = 100;
/// RSA keys of 2048 to 4096 bits are taken, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// The exponent of an RSA key fits in so many bytes.
const MAX_EXPONENT: usize = 4;
/// The length of a coordinate on P-256.
const P256_BYTES: usize = 32;

/// Why a document is not a set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// It is no JSON object, or has a member twice.
    #[error("the keys of the issuer are not a JSON object")]
    Json,
    /// It has no list of keys.
    #[error("the keys of the issuer have no list `keys`")]
    NoList,
    /// There are too many.
    #[error("the issuer has more than 100 keys")]
    TooMany,
    /// It has none that can verify a token.
    #[error("the issuer has no RSA key of 2048 bits or more, and none on P-256")]
    NoKey,
}

/// The keys of an issuer that can verify tokens.
pub struct KeySet(Vec<Key>);

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|key| (&key.kid, key.algorithm));
        f.debug_list().entries(names).finish()
    }
}

impl KeySet {
    /// Reads a set. Keys that are of another kind, or for something else, are left out.
    ///
    /// # Errors
    /// When it is none, or has no key that could verify a token.
    pub fn read(document: &[u8]) -> Result<Self, InvalidKeySet> {
        let document = strict_json::object(document).ok_or(InvalidKeySet::Json)?;
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(InvalidKeySet::NoList)?;
        if keys.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooMany);
        }
        let keys = keys.iter().filter_map(|key| Key::read(key.as_object()?));
        let keys: Vec<Key> = keys.collect();
        if keys.is_empty() {
            return Err(InvalidKeySet::NoKey);
        }
        Ok(Self(keys))
    }

    /// Whether a key of the name that the token has is here.
    #[must_use]
    pub fn has_key_for(&self, token: &Jwt) -> bool {
        self.candidates(token).next().is_some()
    }

    /// The keys that a token may be signed with. One that names none may be signed with the only one of its kind.
    fn candidates<'a>(&'a self, token: &'a Jwt) -> impl Iterator<Item = &'a Key> {
        let of_kind = |key: &&Key| key.algorithm == token.algorithm();
        let only = self.0.iter().filter(of_kind).count() == 1;
        let fits = move |key: &&Key| match token.kid() {
            Some(kid) => key.kid.as_deref() == Some(kid),
            None => only,
        };
        // Two keys of one name are the most that a rotation needs.
        self.0.iter().filter(of_kind).filter(fits).take(2)
    }

    /// Verifies the signature of a token.
    ///
    /// # Errors
    /// When there is no key for it, or the signature is wrong.
    pub fn verify(&self, token: &Jwt) -> Result<(), Denial> {
        let mut outcome = Err(Denial::UnknownKey);
        for key in self.candidates(token) {
            let message = token.message().as_bytes();
            let algorithm = match key.algorithm {
                Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
                Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            };
            match crypto::verify(token.signature(), message, &key.key, algorithm) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) => outcome = Err(Denial::Signature),
            }
        }
        outcome
    }
}

impl Key {
    /// `None` for a key that is of another kind or for something else.
    fn read(members: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|of| of != "sig") {
            return None;
        }
        if let Some(operations) = members.get("key_ops") {
            let verifies = |operation: &Value| operation.as_str() == Some("verify");
            if !operations.as_array()?.iter().any(verifies) {
                return None;
            }
        }
        let decode = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let (algorithm, name, key) = match text("kty")? {
            "RSA" => {
                let (n, e) = (decode("n")?, decode("e")?);
                // A leading zero is none of the length.
                let n: &[u8] = n.strip_prefix(&[0]).unwrap_or(&n);
                let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
                let is_sound = RSA_BYTES.contains(&n.len())
                    && n.first().is_some_and(|first| *first >= 0x80)
                    && (1..=MAX_EXPONENT).contains(&e.len())
                    && is_odd(n)
                    && is_odd(&e)
                    && e != [1];
                if !is_sound {
                    return None;
                }
                let key = DecodingKey::from_rsa_raw_components(n, &e);
                (Algorithm::Rs256, "RS256", key)
            }
            "EC" if text("crv")? == "P-256" => {
                let (x, y) = (decode("x")?, decode("y")?);
                if x.len() != P256_BYTES || y.len() != P256_BYTES {
                    return None;
                }
                let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?;
                (Algorithm::Es256, "ES256", key)
            }
            _ => return None,
        };
        if text("alg").is_some_and(|of| of != name) {
            return None;
        }
        Some(Self {
            kid: text("kid").map(str::to_owned),
            algorithm,
            key,
        })
    }
}

#[cfg(test)]
mod tests;
