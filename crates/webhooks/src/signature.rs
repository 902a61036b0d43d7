//! Signatures of Standard Webhooks 1.0.0, as senders make them and receivers check them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use time::{Duration, OffsetDateTime};

use crate::WebhookSecret;

/// The header that names the message; it stays the same over all attempts.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of the attempt, in whole seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures, separated by spaces.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far the time of an attempt may be from the receiver's own: five minutes.
pub const TOLERANCE: Duration = Duration::minutes(5);

/// The one kind of signature that we make: HMAC-SHA-256, base64.
const VERSION: &str = "v1";

/// A message as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its id. A full stop in it would make the signature ambiguous, so there is none in ours.
    pub id: &'a str,
    /// When this attempt is made; sent in whole seconds.
    pub timestamp: OffsetDateTime,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// The value of `webhook-timestamp`.
    #[must_use]
    pub fn timestamp_header(&self) -> String {
        self.timestamp.unix_timestamp().to_string()
    }

    /// The value of `webhook-signature`: one signature for each secret, separated by spaces, so that
    /// a receiver who has only the older or only the newer one can check.
    #[must_use]
    pub fn signature_header<'s>(
        &self,
        secrets: impl IntoIterator<Item = &'s WebhookSecret>,
    ) -> String {
        let signatures: Vec<String> = secrets
            .into_iter()
            .map(|secret| {
                let timestamp = self.timestamp.unix_timestamp();
                let mac = mac(secret, self.id, timestamp, self.body);
                format!("{VERSION},{}", STANDARD.encode(mac))
            })
            .collect();
        signatures.join(" ")
    }
}

/// The headers of a message as they came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Why a message is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// The timestamp is not a number of seconds.
    #[error("the timestamp is not a number of seconds since 1970")]
    Timestamp,
    /// It was sent too long ago, or lies in the future: it may be an old one played again.
    #[error("the message is not of now: its timestamp is more than five minutes off")]
    Stale,
    /// None of the signatures is of this secret and these bytes.
    #[error("none of the signatures fits")]
    Signature,
}

impl Received<'_> {
    /// Checks that somebody who has the secret sent exactly this, within [`TOLERANCE`] of `now`.
    ///
    /// # Errors
    /// When the message is not to be believed.
    pub fn verify(
        &self,
        secret: &WebhookSecret,
        now: OffsetDateTime,
    ) -> Result<(), VerificationError> {
        let digits = self.timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let timestamp: i64 = Some(self.timestamp)
            .filter(|_| digits)
            .and_then(|text| text.parse().ok())
            .ok_or(VerificationError::Timestamp)?;
        if timestamp.abs_diff(now.unix_timestamp()) > TOLERANCE.whole_seconds().unsigned_abs() {
            return Err(VerificationError::Stale);
        }
        let expected = mac(secret, self.id, timestamp, self.body);
        let fits = |signature: &str| {
            let (version, base64) = signature.split_once(',').unwrap_or_default();
            let given = STANDARD.decode(base64).unwrap_or_default();
            version == VERSION && bool::from(given.ct_eq(&expected))
        };
        if self.signature.split(' ').any(fits) {
            Ok(())
        } else {
            Err(VerificationError::Signature)
        }
    }
}

fn mac(secret: &WebhookSecret, id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length, so this arm is never taken; an empty signature fits nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return Vec::new();
    };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// The example of the standard's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const NOW: OffsetDateTime = datetime!(2021-02-25 15:02:10 UTC);

    fn secret() -> WebhookSecret {
        WebhookSecret::parse(SECRET).unwrap()
    }

    fn received() -> Received<'static> {
        Received {
            id: ID,
            timestamp: TIMESTAMP,
            signature: SIGNATURE,
            body: BODY,
        }
    }

    #[track_caller]
    fn check(received: Received<'_>, now: OffsetDateTime, expect: Result<(), VerificationError>) {
        assert_eq!(received.verify(&secret(), now), expect, "{received:?}");
    }

    #[test]
    fn the_example_of_the_standard_is_signed_as_there() {
        let message = Message {
            id: ID,
            timestamp: NOW,
            body: BODY,
        };
        assert_eq!(message.timestamp_header(), TIMESTAMP);
        assert_eq!(message.signature_header([&secret()]), SIGNATURE);
        check(received(), NOW, Ok(()));
    }

    #[test]
    fn while_a_secret_rotates_either_one_fits() {
        let other = WebhookSecret::from_bytes([7; 32]).unwrap();
        let message = Message {
            id: ID,
            timestamp: NOW,
            body: BODY,
        };
        let signature = message.signature_header([&other, &secret()]);
        assert!(signature.ends_with(&format!(" {SIGNATURE}")), "{signature}");
        let both = Received {
            signature: &signature,
            ..received()
        };
        check(both, NOW, Ok(()));
        assert_eq!(both.verify(&other, NOW), Ok(()));
        let third = WebhookSecret::from_bytes([8; 32]).unwrap();
        assert_eq!(both.verify(&third, NOW), Err(VerificationError::Signature));
    }

    #[test]
    fn whatever_was_changed_does_not_verify() {
        let wrong = Err(VerificationError::Signature);
        let id = "msg_other";
        check(Received { id, ..received() }, NOW, wrong);
        let timestamp = "1614265331";
        let later = Received {
            timestamp,
            ..received()
        };
        check(later, NOW, wrong);
        let body = br#"{"test": 2432232315}"#;
        check(Received { body, ..received() }, NOW, wrong);
        for signature in ["", "v1,", "v1", SIGNATURE.strip_prefix("v1,").unwrap()] {
            let bare = Received {
                signature,
                ..received()
            };
            check(bare, NOW, wrong);
        }
        let signature = &SIGNATURE.replace("v1,", "v1a,");
        let unknown = Received {
            signature,
            ..received()
        };
        check(unknown, NOW, wrong);
    }

    #[test]
    fn a_message_that_is_not_of_now_is_refused() {
        check(received(), NOW + TOLERANCE, Ok(()));
        check(received(), NOW - TOLERANCE, Ok(()));
        let off = TOLERANCE + Duration::SECOND;
        check(received(), NOW + off, Err(VerificationError::Stale));
        check(received(), NOW - off, Err(VerificationError::Stale));
        for timestamp in ["", "now", "-5", "+1614265330", "99999999999999999999"] {
            let odd = Received {
                timestamp,
                ..received()
            };
            check(odd, NOW, Err(VerificationError::Timestamp));
        }
    }
}
