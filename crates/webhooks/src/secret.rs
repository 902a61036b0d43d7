//! The secret that the sender and the receiver of a message share.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What a secret begins with, as text.
const PREFIX: &str = "whsec_";
/// How many bytes a new secret has.
const GENERATED: usize = 32;
/// The fewest and the most bytes that Standard Webhooks allows.
const MIN: usize = 24;
const MAX: usize = 64;

/// The text is not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

/// A secret in plain: as text `whsec_` and base64. It prints as `[redacted]` and is wiped from memory
/// when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// A new secret of 256 random bits.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        let mut bytes = vec![0; GENERATED];
        random.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads a secret as it was shown.
    ///
    /// # Errors
    /// When it has not the form.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let base64 = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        Self::from_bytes(STANDARD.decode(base64).map_err(|_| InvalidSecret)?)
    }

    /// The secret of these bytes.
    ///
    /// # Errors
    /// When they are fewer than 24 or more than 64.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidSecret> {
        let secret = Self(bytes.into());
        if (MIN..=MAX).contains(&secret.0.len()) {
            Ok(secret)
        } else {
            Err(InvalidSecret)
        }
    }

    /// The secret as it is shown.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let base64 = Zeroizing::new(STANDARD.encode(&self.0));
        Zeroizing::new([PREFIX, base64.as_str()].concat())
    }

    /// What signatures are keyed with.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counter;

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(WebhookSecret::parse(text).is_ok(), fits, "{text}");
    }

    #[test]
    fn a_secret_has_its_prefix_and_24_to_64_bytes() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        check(&of(23), false);
        check(&of(24), true);
        check(&of(64), true);
        check(&of(65), false);
        check("", false);
        check("whsec_", false);
        check(&of(24).replace("whsec_", ""), false);
        check(&of(24).replace("whsec_", "whsk_"), false);
        check(&format!("{}!", of(24)), false);
        check(&of(25).replace('=', ""), false);
    }

    #[test]
    fn a_new_secret_reads_back_as_it_was_shown() {
        let mut random = Counter::default();
        let secret = WebhookSecret::generate(&mut random);
        let again = WebhookSecret::parse(&secret.expose()).unwrap();
        assert_eq!(secret.as_bytes(), again.as_bytes());
        assert_eq!(secret.as_bytes().len(), 32);
        assert_ne!(
            secret.as_bytes(),
            WebhookSecret::generate(&mut random).as_bytes()
        );
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = WebhookSecret::from_bytes([7; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }
}
