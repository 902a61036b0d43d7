//! Where messages may be sent.

use std::{fmt, net::IpAddr};

use url::{Host, Url};

use crate::{NotPublic, address::check_public};

/// The longest URL.
const MAX_LENGTH: usize = 2048;

/// Why a URL is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is not a URL, or one that is read in more than one way.
    #[error(
        "must be a URL such as https://hooks.example.com/molecule, in visible ASCII characters \
         (percent-encode others) and without a backslash"
    )]
    Form,
    /// It is too long.
    #[error("must have at most 2048 characters")]
    Length,
    /// It is not `https`.
    #[error(
        "must begin with https://, so that messages can't be read on their way; \
         for trials the operator can set webhook_allow_private"
    )]
    Scheme,
    /// There is a name or a password in it.
    #[error("must not hold a user name or a password; check the signature instead")]
    Credentials,
    /// There is a fragment, which is never sent.
    #[error("must not hold a fragment (#…), which is never sent")]
    Fragment,
    /// It names no port that can be reached.
    #[error("must not name port 0")]
    Port,
    /// The host is this machine.
    #[error("must name a host on the public internet; this one is the server itself")]
    Local,
    /// The host is an address that is not public.
    #[error("must name a host on the public internet; this one is {0}")]
    Address(#[from] NotPublic),
}

/// Which URLs are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// `https` to hosts on the public internet.
    Public,
    /// `https` and `http`, to any host: the operator has said so.
    Anywhere,
}

impl AddressPolicy {
    /// The policy of a control plane whose operator has, or has not, allowed private addresses.
    #[must_use]
    pub const fn allowing_private(allowed: bool) -> Self {
        if allowed {
            Self::Anywhere
        } else {
            Self::Public
        }
    }
}

/// A URL to which messages may be sent, as far as that can be seen without asking for its host's
/// addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    text: String,
    url: Url,
}

impl EndpointUrl {
    /// Checks a URL that a partner asks for.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn new(text: impl Into<String>, policy: AddressPolicy) -> Result<Self, InvalidUrl> {
        let checked = Self::stored(text)?;
        let url = &checked.url;
        match (url.scheme(), policy) {
            ("https", _) | ("http", AddressPolicy::Anywhere) => {}
            (_, AddressPolicy::Public | AddressPolicy::Anywhere) => return Err(InvalidUrl::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::Credentials);
        }
        if url.fragment().is_some() {
            return Err(InvalidUrl::Fragment);
        }
        if url.port() == Some(0) {
            return Err(InvalidUrl::Port);
        }
        if policy == AddressPolicy::Public {
            checked.check_host()?;
        }
        Ok(checked)
    }

    /// Reads a URL that was checked when it was asked for.
    ///
    /// # Errors
    /// When it is no URL at all.
    pub fn stored(text: impl Into<String>) -> Result<Self, InvalidUrl> {
        let text = text.into();
        if text.len() > MAX_LENGTH {
            return Err(InvalidUrl::Length);
        }
        // The parser would drop tabs and line ends, and take a backslash for a slash.
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(InvalidUrl::Form);
        }
        let url = Url::parse(&text).map_err(|_| InvalidUrl::Form)?;
        match url.host() {
            Some(_) => Ok(Self { text, url }),
            None => Err(InvalidUrl::Form),
        }
    }

    /// Refuses hosts that can be seen not to be public.
    fn check_host(&self) -> Result<(), InvalidUrl> {
        match self.url.host() {
            None => Err(InvalidUrl::Form),
            Some(Host::Ipv4(address)) => Ok(check_public(IpAddr::V4(address))?),
            Some(Host::Ipv6(address)) => Ok(check_public(IpAddr::V6(address))?),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let top = name.rsplit('.').next().unwrap_or(name);
                if top == "localhost" {
                    Err(InvalidUrl::Local)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The URL as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL in its parts.
    #[must_use]
    pub const fn parts(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, policy: AddressPolicy, expect: Result<(), InvalidUrl>) {
        let actual = EndpointUrl::new(text, policy).map(|url| assert_eq!(url.as_str(), text));
        assert_eq!(actual, expect, "{text} {policy:?}");
    }

    #[track_caller]
    fn both(text: &str, expect: Result<(), InvalidUrl>) {
        check(text, AddressPolicy::Public, expect);
        check(text, AddressPolicy::Anywhere, expect);
    }

    #[track_caller]
    fn private(text: &str) {
        let refused = EndpointUrl::new(text, AddressPolicy::Public);
        let is_refused = matches!(refused, Err(InvalidUrl::Address(_) | InvalidUrl::Local));
        assert!(is_refused, "{text} {refused:?}");
        check(text, AddressPolicy::Anywhere, Ok(()));
    }

    #[test]
    fn an_https_url_is_taken_as_it_is() {
        both("https://hooks.example.com", Ok(()));
        both("https://hooks.example.com/a/b?c=d&e=%20", Ok(()));
        both("https://hooks.example.com:8443/", Ok(()));
        both("https://xn--bcher-kva.example/", Ok(()));
        both("https://93.184.216.34/", Ok(()));
        both("https://[2606:2800:220:1:248:1893:25c8:1946]/", Ok(()));
        both(&format!("https://example.com/{}", "a".repeat(2028)), Ok(()));
    }

    #[test]
    fn what_is_not_a_plain_url_is_refused() {
        for text in [
            "",
            "hooks",
            "hooks.example.com/x",
            "https://",
            "https:///",
            "//example.com",
            "https://exa mple.com",
            " https://example.com",
            "https://example.com/\n",
            "https://example.com/\u{e9}",
            "https://example.com\\@10.0.0.1/",
            "https://example.com:99999/",
            "mailto:a@example.com",
            "data:,x",
        ] {
            both(text, Err(InvalidUrl::Form));
        }
        let long = format!("https://example.com/{}", "a".repeat(2029));
        both(&long, Err(InvalidUrl::Length));
        both("ftp://example.com/", Err(InvalidUrl::Scheme));
        both("file://example.com/x", Err(InvalidUrl::Scheme));
        both("https://me@example.com/", Err(InvalidUrl::Credentials));
        both("https://:pw@example.com/", Err(InvalidUrl::Credentials));
        both("https://example.com/#x", Err(InvalidUrl::Fragment));
        both("https://example.com:0/", Err(InvalidUrl::Port));
    }

    #[test]
    fn http_is_for_operators_who_allow_private_addresses() {
        let url = "http://hooks.example.com/";
        check(url, AddressPolicy::Public, Err(InvalidUrl::Scheme));
        check(url, AddressPolicy::Anywhere, Ok(()));
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_however_they_are_written() {
        private("https://localhost/");
        private("https://LOCALHOST./");
        private("https://a.localhost:8443/");
        private("https://10.0.0.1/");
        private("https://127.1/");
        private("https://2130706433/");
        private("https://0x7f.0.0.1/");
        private("https://0177.0.0.1/");
        private("https://0/");
        private("https://169.254.169.254/latest/meta-data/");
        private("https://[::1]/");
        private("https://[::ffff:10.0.0.1]/");
        private("https://[64:ff9b::7f00:1]/");
        private("https://[fd00:ec2::254]/");
    }
}
