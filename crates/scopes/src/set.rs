//! Sets of scopes.

use std::fmt;

use crate::{Scope, UnknownScope};

/// A set of scopes; the empty set allows only what every key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(u32);

impl ScopeSet {
    /// No scope at all.
    pub const EMPTY: Self = Self(0);

    const fn bit(scope: Scope) -> u32 {
        // A fieldless enum's discriminant is its position, far below 32.
        #[expect(clippy::as_conversions, reason = "the only way to a discriminant")]
        let position = scope as u32;
        1 << position
    }

    /// Whether the scope is in the set.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    /// Whether no scope is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set with one more scope.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | Self::bit(scope))
    }

    /// The scopes in the set, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .iter()
            .copied()
            .filter(move |&scope| self.contains(scope))
    }

    /// Reads the form that [`fmt::Display`] prints: names separated by single spaces.
    ///
    /// # Errors
    /// At the first name that is not a scope.
    pub fn parse_list(text: &str) -> Result<Self, UnknownScope> {
        text.split(' ')
            .filter(|name| !name.is_empty())
            .map(str::parse::<Scope>)
            .collect()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// Names separated by single spaces, the form of `scope` in RFC 6750, section 3.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl serde::Serialize for ScopeSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_exactly_what_was_put_in() {
        for &scope in Scope::ALL {
            let set: ScopeSet = [scope, scope].into_iter().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), [scope]);
            assert!(
                Scope::ALL
                    .iter()
                    .all(|&other| set.contains(other) == (other == scope))
            );
        }
        assert!(ScopeSet::EMPTY.is_empty());
    }

    #[test]
    fn a_set_reads_back_as_it_was_printed() {
        let all: ScopeSet = Scope::ALL.iter().copied().collect();
        for set in [ScopeSet::EMPTY, ScopeSet::EMPTY.with(Scope::OrgsList), all] {
            assert_eq!(ScopeSet::parse_list(&set.to_string()), Ok(set));
        }
    }
}
