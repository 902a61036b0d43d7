//! Issuers: the providers whose tokens are trusted.

use std::fmt;

use url::{Host, Url};

/// The longest issuer.
const MAX_LENGTH: usize = 512;
/// Where an issuer says what its keys are, OpenID Connect Discovery 1.0, section 4.
const DISCOVERY: &str = "/.well-known/openid-configuration";
const GITHUB: &str = "token.actions.githubusercontent.com";
const GITLAB: &str = "gitlab.com";

/// Why a text is not taken as an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIssuer {
    /// It is not a URL, or one that is read in more than one way.
    #[error(
        "must be a URL such as https://token.actions.githubusercontent.com, of up to 512 visible ASCII characters"
    )]
    Form,
    /// It is not `https`.
    #[error(
        "must begin with https://, so that nobody on the way can change its keys; \
         for tests the operator can set oidc_allow_private"
    )]
    Scheme,
    /// There is something in it that an issuer does not have.
    #[error("must hold no user name, password, query or fragment")]
    Parts,
}

/// Which issuers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerPolicy {
    /// `https` alone.
    Https,
    /// `http` as well: the operator has said so, for tests.
    AnyScheme,
}

/// An issuer, as tokens name it in `iss`: compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Issuer(String);

impl Issuer {
    /// Checks an issuer that a rule is to trust.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn new(text: impl Into<String>, policy: IssuerPolicy) -> Result<Self, InvalidIssuer> {
        let text = text.into();
        let is_plain =
            text.len() <= MAX_LENGTH && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let url = Url::parse(&text).ok().filter(|_| is_plain);
        let url = url.ok_or(InvalidIssuer::Form)?;
        match (url.scheme(), policy) {
            ("https", _) | ("http", IssuerPolicy::AnyScheme) => {}
            (_, IssuerPolicy::Https | IssuerPolicy::AnyScheme) => {
                return Err(InvalidIssuer::Scheme);
            }
        }
        let has_parts = !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        if has_parts {
            return Err(InvalidIssuer::Parts);
        }
        if url.host().is_none() || url.port() == Some(0) {
            return Err(InvalidIssuer::Form);
        }
        Ok(Self(text))
    }

    /// An issuer that was checked before.
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the issuer says what its keys are.
    #[must_use]
    pub fn discovery_url(&self) -> String {
        format!("{}{DISCOVERY}", self.0.strip_suffix('/').unwrap_or(&self.0))
    }

    /// The claims of which a rule must pin one: names of repositories and groups can be taken over by others,
    /// these numbers can't.
    #[must_use]
    pub fn required_claims(&self) -> &'static [&'static str] {
        if self.is_github() {
            &["repository_owner_id", "repository_id"]
        } else if self.has_host(GITLAB) {
            &["namespace_id", "project_id"]
        } else {
            &[]
        }
    }

    /// Whether it is GitHub Actions, of github.com or of an enterprise there.
    #[must_use]
    pub fn is_github(&self) -> bool {
        self.has_host(GITHUB)
    }

    fn has_host(&self, name: &str) -> bool {
        let url = Url::parse(&self.0).ok();
        let host = url.as_ref().and_then(Url::host);
        matches!(host, Some(Host::Domain(host)) if host.trim_end_matches('.') == name)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, policy: IssuerPolicy, expect: Result<(), InvalidIssuer>) {
        let actual = Issuer::new(text, policy).map(|issuer| assert_eq!(issuer.as_str(), text));
        assert_eq!(actual, expect, "{text}");
    }

    #[test]
    fn an_issuer_is_a_plain_https_url() {
        for text in [
            "https://token.actions.githubusercontent.com",
            "https://gitlab.com",
            "https://gitlab.example.com:8443/auth/",
        ] {
            check(text, IssuerPolicy::Https, Ok(()));
        }
        for text in [
            "",
            "gitlab.com",
            "https://",
            "https://a b",
            "https://a.example\\x",
            "https://é.example",
            "https://a.example:0",
        ] {
            check(text, IssuerPolicy::Https, Err(InvalidIssuer::Form));
        }
        let long = format!("https://a.example/{}", "x".repeat(500));
        check(&long, IssuerPolicy::Https, Err(InvalidIssuer::Form));
        check(
            "http://a.example",
            IssuerPolicy::Https,
            Err(InvalidIssuer::Scheme),
        );
        check("http://a.example", IssuerPolicy::AnyScheme, Ok(()));
        check(
            "ftp://a.example",
            IssuerPolicy::AnyScheme,
            Err(InvalidIssuer::Scheme),
        );
        for text in [
            "https://me@a.example",
            "https://a.example/?x=1",
            "https://a.example/#x",
        ] {
            check(text, IssuerPolicy::Https, Err(InvalidIssuer::Parts));
        }
    }

    #[test]
    fn a_slash_at_the_end_is_not_doubled() {
        let url = |text: &str| Issuer::stored(text.to_owned()).discovery_url();
        let expect = "https://a.example/x/.well-known/openid-configuration";
        assert_eq!(url("https://a.example/x"), expect);
        assert_eq!(url("https://a.example/x/"), expect);
    }

    #[test]
    fn known_providers_need_a_number_pinned_however_they_are_written() {
        let required = |text: &str| Issuer::stored(text.to_owned()).required_claims().len();
        assert_eq!(required("https://token.actions.githubusercontent.com"), 2);
        assert_eq!(
            required("https://TOKEN.actions.githubusercontent.com./acme"),
            2
        );
        assert_eq!(required("https://gitlab.com/"), 2);
        assert_eq!(required("https://gitlab.com.example"), 0);
    }
}
