//! Slugs: short unique names that fit into a URL.

use std::{collections::BTreeSet, fmt};

use time::Duration;

/// How long the slug of a deleted org is kept from other partners.
pub const SLUG_HOLD: Duration = Duration::days(30);

/// The slugs that no org can have unless the operator says otherwise.
const RESERVED: &[&str] = &[
    "about",
    "account",
    "accounts",
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "blog",
    "cdn",
    "cp",
    "dashboard",
    "dev",
    "doc",
    "docs",
    "help",
    "login",
    "logout",
    "mail",
    "oauth",
    "root",
    "security",
    "signup",
    "sso",
    "staging",
    "staging-api",
    "static",
    "status",
    "support",
    "system",
    "webhooks",
    "www",
];

/// Why a text is not a slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a slug has 3 to 32 lower-case letters, digits and single hyphens, begins with a letter and does \
     not end with a hyphen"
)]
pub struct InvalidSlug;

/// `^[a-z][a-z0-9-]{1,30}[a-z0-9]$`, without `--`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl Slug {
    /// Checks the form; nothing is trimmed or changed.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSlug> {
        let text = text.into();
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (3..=32).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(inner)
            && !text.ends_with('-')
            && !text.contains("--");
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidSlug)
        }
    }

    /// The slug that a name suggests: its letters and digits in lower case, all else as hyphens.
    ///
    /// # Errors
    /// When too little of the name is left, as with a name in another script.
    pub fn from_name(name: &str) -> Result<Self, InvalidSlug> {
        let lower = name.to_lowercase();
        let words = lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        let mut text = words.collect::<Vec<_>>().join("-");
        text.truncate(32);
        Self::new(text.trim_end_matches('-'))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The slugs that no org can have.
#[derive(Clone, Debug)]
pub struct ReservedSlugs(BTreeSet<String>);

impl ReservedSlugs {
    /// The built-in ones and these.
    pub fn with(more: impl IntoIterator<Item = String>) -> Self {
        Self(
            RESERVED
                .iter()
                .map(|&slug| slug.to_owned())
                .chain(more)
                .collect(),
        )
    }

    /// Whether no org can have this slug.
    #[must_use]
    pub fn contains(&self, slug: &Slug) -> bool {
        self.0.contains(slug.as_str())
    }
}

impl Default for ReservedSlugs {
    fn default() -> Self {
        Self::with([])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(Slug::new(text).is_ok(), fits, "{text:?}");
    }

    #[test]
    fn the_form_of_a_slug() {
        check("acme-corp", true);
        check("a1b", true);
        check(&"a".repeat(32), true);
        check("", false);
        check("ab", false);
        check(&"a".repeat(33), false);
        check("Acme", false);
        check("1ab", false);
        check("-ab", false);
        check("ab-", false);
        check("a--b", false);
        check("a_b", false);
        check("acmé", false);
        check("abc\n", false);
        check("a.b", false);
    }

    #[test]
    fn reserved_slugs_are_slugs() {
        let reserved = ReservedSlugs::with(["molecule".to_owned()]);
        for text in [
            "app",
            "www",
            "api",
            "admin",
            "dashboard",
            "billing",
            "status",
            "docs",
            "doc",
        ] {
            assert!(reserved.contains(&Slug::new(text).unwrap()), "{text}");
        }
        assert!(reserved.contains(&Slug::new("staging-api").unwrap()));
        assert!(reserved.contains(&Slug::new("molecule").unwrap()));
        assert!(!reserved.contains(&Slug::new("acme-corp").unwrap()));
    }

    #[test]
    fn a_name_suggests_a_slug() {
        let suggested = |name: &str| Slug::from_name(name).map(|slug| slug.to_string());
        assert_eq!(suggested("  Acme's  Lab #2 "), Ok("acme-s-lab-2".into()));
        assert_eq!(suggested(&"ab ".repeat(40)).map(|slug| slug.len()), Ok(32));
        assert_eq!(suggested("日本"), Err(InvalidSlug));
    }
}
