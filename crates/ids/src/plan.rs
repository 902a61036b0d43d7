//! Names of the plans that orgs can have.

use std::fmt;

/// The longest plan name, in bytes.
const MAX_BYTES: usize = 32;

/// Why a text can't be the name of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plan's name must match [a-z][a-z0-9_-]{{0,31}}")]
pub struct InvalidPlanName;

/// The name of an org's plan, such as `standard`; which plans exist is the operator's choice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanName(String);

impl PlanName {
    /// Checks the form, `[a-z][a-z0-9_-]{0,31}`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidPlanName> {
        let text = text.into();
        let mut bytes = text.bytes();
        let fits = text.len() <= MAX_BYTES
            && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidPlanName)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for PlanName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(PlanName::new(text).is_ok(), fits, "{text:?}");
    }

    #[test]
    fn the_form_of_a_plan_name() {
        check("standard", true);
        check("tier_2-eu", true);
        check("", false);
        check("2", false);
        check("Standard", false);
        check(&"p".repeat(32), true);
        check(&"p".repeat(33), false);
    }
}
