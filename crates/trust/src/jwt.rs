//! JSON Web Tokens (RFC 7519), signed (RFC 7515), in the compact form.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::Issuer;

/// The longest token, in bytes.
pub const MAX_JWT: usize = 16 * 1024;
/// The longest name of a key.
const MAX_KID: usize = 512;

/// Why a text is not a token that can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwt {
    /// It is longer than [`MAX_JWT`].
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// It has not three parts of base64url, of which two are JSON objects.
    #[error("the token is not a signed JWT: three parts of base64url, separated by full stops")]
    Form,
    /// An object in it is not JSON, or has a member twice.
    #[error("the header or the claims of the token are no JSON object, or have a member twice")]
    Json,
    /// The algorithm is not taken.
    #[error("the token is signed by another algorithm than RS256 and ES256 (header alg)")]
    Algorithm,
    /// There are extensions in its header that must be understood.
    #[error("the header of the token asks for extensions (crit) that are not known here")]
    Critical,
    /// The name of its key is not a text of a bounded length.
    #[error("the name of the token's key (header kid) is not a string of up to 512 characters")]
    KeyId,
}

/// An algorithm of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// What tells a token from all others, see [`Jwt::digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

/// A token that is not verified yet.
#[derive(Clone)]
pub struct Jwt {
    algorithm: Algorithm,
    kid: Option<String>,
    pub(crate) claims: Map<String, Value>,
    /// What is signed: the header and the claims as they were sent.
    message: String,
    /// As it was sent.
    signature: String,
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwt([redacted])")
    }
}

impl Jwt {
    /// Reads a token.
    ///
    /// # Errors
    /// When it is not one that could be verified.
    pub fn parse(text: &str) -> Result<Self, InvalidJwt> {
        if text.len() > MAX_JWT {
            return Err(InvalidJwt::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(InvalidJwt::Form)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidJwt::Form)?;
        let decode = |part: &str| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(part);
            bytes.map_err(|_| InvalidJwt::Form)
        };
        let (header, claims) = (decode(header)?, decode(claims)?);
        if decode(signature)?.is_empty() {
            return Err(InvalidJwt::Form);
        }
        let header = strict_json::object(&header).ok_or(InvalidJwt::Json)?;
        let claims = strict_json::object(&claims).ok_or(InvalidJwt::Json)?;
        let algorithm = match header.get("alg").and_then(Value::as_str) {
            Some("RS256") => Algorithm::Rs256,
            Some("ES256") => Algorithm::Es256,
            Some(_) | None => return Err(InvalidJwt::Algorithm),
        };
        if header.contains_key("crit") {
            return Err(InvalidJwt::Critical);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
            Some(_) => return Err(InvalidJwt::KeyId),
        };
        Ok(Self {
            algorithm,
            kid,
            claims,
            message: message.to_owned(),
            signature: signature.to_owned(),
        })
    }

    /// The algorithm that it says it is signed with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What is signed: the header and the claims as they were sent.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The signature as it was sent, in base64url.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The name of the key that it says it is signed with.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// A claim that is a string, or a number written as one.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<String> {
        match self.claims.get(claim)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A claim that is a time: seconds since 1970, with or without a fraction.
    pub(crate) fn time(&self, claim: &str) -> Result<Option<OffsetDateTime>, ()> {
        let Some(value) = self.claims.get(claim) else {
            return Ok(None);
        };
        let seconds = value.as_i64().or_else(|| {
            let seconds = value.as_f64()?.floor();
            format!("{seconds:.0}").parse().ok()
        });
        let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        time.map(Some).ok_or(())
    }

    /// When it ends, by its own claim.
    #[must_use]
    pub fn expires_at(&self) -> Option<OffsetDateTime> {
        self.time("exp").ok().flatten()
    }

    /// What tells the token from all others of all issuers: its `jti`, or without one all that is signed. The
    /// signature is left out, for one token can have several.
    #[must_use]
    pub fn digest(&self, issuer: &Issuer) -> TokenDigest {
        let (kind, id) = match self.claims.get("jti") {
            Some(Value::String(jti)) => ("jti", jti.as_str()),
            Some(_) | None => ("message", self.message.as_str()),
        };
        let mut digest = Sha256::new();
        for part in [issuer.as_str(), kind, id] {
            // Lengths keep one part from running into the next.
            digest.update(part.len().to_be_bytes());
            digest.update(part.as_bytes());
        }
        TokenDigest(digest.finalize().into())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn unsigned(header: &str, claims: &str) -> String {
        let [header, claims, signature] =
            [header, claims, "x"].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.{signature}")
    }

    #[track_caller]
    fn check(header: &str, claims: &str, expect: Option<InvalidJwt>) {
        let actual = Jwt::parse(&unsigned(header, claims)).err();
        assert_eq!(actual, expect, "{header} {claims}");
    }

    #[test]
    fn two_algorithms_are_taken_and_nothing_else() {
        check(r#"{"alg": "RS256", "kid": "1"}"#, "{}", None);
        check(r#"{"alg": "ES256", "typ": "JWT", "x5t": "a"}"#, "{}", None);
        for alg in [
            "none", "None", "HS256", "RS384", "RS512", "PS256", "EdDSA", "ES256K", "",
        ] {
            let header = json!({"alg": alg}).to_string();
            check(&header, "{}", Some(InvalidJwt::Algorithm));
        }
        check("{}", "{}", Some(InvalidJwt::Algorithm));
        check(r#"{"alg": ["RS256"]}"#, "{}", Some(InvalidJwt::Algorithm));
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        check(
            r#"{"alg": "RS256", "alg": "RS256"}"#,
            "{}",
            Some(InvalidJwt::Json),
        );
        check(
            r#"{"alg": "RS256"}"#,
            r#"{"a": 1, "a": 1}"#,
            Some(InvalidJwt::Json),
        );
        check(r#"{"alg": "RS256"}"#, "[]", Some(InvalidJwt::Json));
        check(
            r#"{"alg": "RS256", "crit": ["b64"]}"#,
            "{}",
            Some(InvalidJwt::Critical),
        );
        check(
            r#"{"alg": "RS256", "kid": 7}"#,
            "{}",
            Some(InvalidJwt::KeyId),
        );
        let good = unsigned(r#"{"alg": "RS256"}"#, "{}");
        for text in [
            "".to_owned(),
            "a.b".to_owned(),
            "..".to_owned(),
            format!("{good}.x"),
            format!("{good}="),
            good.replace('.', ".!"),
            good[..good.rfind('.').unwrap() + 1].to_owned(),
        ] {
            assert_eq!(Jwt::parse(&text).err(), Some(InvalidJwt::Form), "{text}");
        }
        let long = "x".repeat(MAX_JWT + 1);
        assert_eq!(Jwt::parse(&long).err(), Some(InvalidJwt::TooLong));
    }

    #[test]
    fn a_token_is_told_by_its_jti_or_by_all_that_is_signed() {
        let issuer = |text: &str| Issuer::stored(text.to_owned());
        let digest = |claims: &str, at: &str| {
            let text = unsigned(r#"{"alg": "RS256"}"#, claims);
            Jwt::parse(&text).unwrap().digest(&issuer(at))
        };
        let one = digest(r#"{"jti": "a", "n": 1}"#, "https://a");
        assert_eq!(one, digest(r#"{"jti": "a", "n": 2}"#, "https://a"));
        assert_ne!(one, digest(r#"{"jti": "a", "n": 1}"#, "https://b"));
        assert_ne!(one, digest(r#"{"jti": "b", "n": 1}"#, "https://a"));
        assert_ne!(
            digest(r#"{"n": 1}"#, "https://a"),
            digest(r#"{"n": 2}"#, "https://a")
        );
        // Another signature of the same makes no other token.
        let text = unsigned(r#"{"alg": "ES256"}"#, r#"{"n": 1}"#);
        let other = format!("{}.AAAA", text.rsplit_once('.').unwrap().0);
        let digest = |text: &str| Jwt::parse(text).unwrap().digest(&issuer("https://a"));
        assert_eq!(digest(&text), digest(&other));
    }
}
