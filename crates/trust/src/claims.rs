//! What a rule asks of the claims of a token.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Map, Value};

/// The most claims that a rule names in `claims`, and in `refuse`.
pub const MAX_CLAIMS: usize = 16;
/// The most values of one claim.
const MAX_VALUES: usize = 64;
/// The longest name of a claim.
const MAX_NAME: usize = 64;
/// The longest value, in characters.
const MAX_VALUE: usize = 255;
/// What every token is checked for anyway.
const CHECKED_ANYWAY: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// Why claims are not taken. The text is the JSON pointer to the fault, from the claims on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct InvalidClaims {
    /// The name of the claim; `None` for the claims as a whole.
    pub claim: Option<String>,
    /// The place of the value in a list.
    pub index: Option<usize>,
    /// What is wrong, and what is right.
    pub detail: &'static str,
}

/// A value that a claim can have: a string, a whole number, or `true` or `false`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimValue {
    /// A string.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// `true` or `false`.
    Bool(bool),
}

impl ClaimValue {
    fn read(value: &Value) -> Result<Self, &'static str> {
        const KIND: &str = "must be a string, a whole number, true or false";
        match value {
            Value::String(text) => {
                if text.is_empty() || text.chars().nth(MAX_VALUE).is_some() {
                    Err("must have 1 to 255 characters")
                } else if text.chars().any(char::is_control) {
                    Err("must have no control characters")
                } else if text.contains('*') {
                    Err(
                        "must have no `*`: values are compared as a whole, and there are no wildcards",
                    )
                } else {
                    Ok(Self::Text(text.clone()))
                }
            }
            Value::Number(number) => number.as_i64().map(Self::Whole).ok_or(KIND),
            Value::Bool(value) => Ok(Self::Bool(*value)),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(KIND),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Whole(number) => Value::from(*number),
            Self::Bool(value) => Value::from(*value),
        }
    }

    /// Whether a claim has this value. A number and its digits are the same: providers send numbers as strings.
    fn is(&self, claim: &Value) -> bool {
        let own = self.to_string();
        match claim {
            Value::String(text) => *text == own,
            Value::Number(number) => number.to_string() == own,
            Value::Bool(value) => value.to_string() == own,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}

impl fmt::Display for ClaimValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => number.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

/// The values of which a claim must have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValues {
    /// This one.
    One(ClaimValue),
    /// Any of these.
    Any(Vec<ClaimValue>),
}

impl ClaimValues {
    fn read(claim: &str, value: &Value, may_be_empty: bool) -> Result<Self, InvalidClaims> {
        let fault = |index, detail| InvalidClaims {
            claim: Some(claim.to_owned()),
            index,
            detail,
        };
        let Value::Array(values) = value else {
            let value = ClaimValue::read(value).map_err(|detail| fault(None, detail))?;
            return Ok(Self::One(value));
        };
        if values.is_empty() && !may_be_empty {
            return Err(fault(None, "must have at least one value"));
        }
        if values.len() > MAX_VALUES {
            return Err(fault(None, "must have at most 64 values"));
        }
        let read = values.iter().enumerate();
        let read =
            read.map(|(n, value)| ClaimValue::read(value).map_err(|detail| fault(Some(n), detail)));
        Ok(Self::Any(read.collect::<Result<_, _>>()?))
    }

    /// The values.
    #[must_use]
    pub fn as_slice(&self) -> &[ClaimValue] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Any(values) => values,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::One(value) => value.to_json(),
            Self::Any(values) => values.iter().map(ClaimValue::to_json).collect(),
        }
    }
}

fn check_name(name: &str) -> Result<(), InvalidClaims> {
    let fault = |detail| InvalidClaims {
        claim: Some(name.to_owned()),
        index: None,
        detail,
    };
    let is_plain = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain {
        Err(fault(
            "the name of a claim has 1 to 64 visible ASCII characters",
        ))
    } else if CHECKED_ANYWAY.contains(&name) {
        Err(fault("is checked in every token; leave it out"))
    } else {
        Ok(())
    }
}

/// A merge patch of claims: `null` takes one out (RFC 7396).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimPatch(BTreeMap<String, Option<ClaimValues>>);

impl ClaimPatch {
    /// Reads a patch.
    ///
    /// # Errors
    /// With the first claim that is not taken.
    pub fn read(members: &Map<String, Value>, may_be_empty: bool) -> Result<Self, InvalidClaims> {
        let mut read = BTreeMap::new();
        for (name, value) in members {
            check_name(name)?;
            let values = if value.is_null() {
                None
            } else {
                Some(ClaimValues::read(name, value, may_be_empty)?)
            };
            read.insert(name.clone(), values);
        }
        Ok(Self(read))
    }

    fn apply(self, to: &mut BTreeMap<String, ClaimValues>) -> Result<(), InvalidClaims> {
        for (name, values) in self.0 {
            match values {
                Some(values) => to.insert(name, values),
                None => to.remove(&name),
            };
        }
        if to.len() > MAX_CLAIMS {
            return Err(InvalidClaims {
                claim: None,
                index: None,
                detail: "must have at most 16 claims",
            });
        }
        Ok(())
    }
}

/// The claims that a token must have, each with one of some values; at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<String, ClaimValues>);

/// The claims by which a token is refused, when one of them has one of some values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals(BTreeMap<String, ClaimValues>);

fn to_json(claims: &BTreeMap<String, ClaimValues>) -> Map<String, Value> {
    let members = claims.iter();
    members
        .map(|(name, values)| (name.clone(), values.to_json()))
        .collect()
}

impl Claims {
    /// Reads claims.
    ///
    /// # Errors
    /// With the first claim that is not taken.
    pub fn read(members: &Map<String, Value>) -> Result<Self, InvalidClaims> {
        Self::default().patched(ClaimPatch::read(members, false)?)
    }

    /// These claims after a merge patch.
    ///
    /// # Errors
    /// When there are none or too many afterwards.
    pub fn patched(mut self, patch: ClaimPatch) -> Result<Self, InvalidClaims> {
        patch.apply(&mut self.0)?;
        if self.0.is_empty() {
            return Err(InvalidClaims {
                claim: None,
                index: None,
                detail: "must name at least one claim: without any, every token of the issuer would do",
            });
        }
        Ok(self)
    }

    /// The claims as JSON.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        to_json(&self.0)
    }

    /// Whether one of these claims is named.
    #[must_use]
    pub fn name_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    /// The values of one claim.
    #[must_use]
    pub fn get(&self, name: &str) -> &[ClaimValue] {
        self.0.get(name).map_or(&[], ClaimValues::as_slice)
    }

    /// The first claim that a token does not have as it must. A claim that is a list or an object has no value.
    pub(crate) fn unmatched(&self, token: &Map<String, Value>) -> Option<&str> {
        let mut claims = self.0.iter();
        let found = claims.find(|(name, values)| {
            let claim = token.get(name.as_str());
            !claim.is_some_and(|claim| values.as_slice().iter().any(|value| value.is(claim)))
        });
        found.map(|(name, _)| name.as_str())
    }
}

impl Refusals {
    /// Reads refusals.
    ///
    /// # Errors
    /// With the first claim that is not taken.
    pub fn read(members: &Map<String, Value>) -> Result<Self, InvalidClaims> {
        Self::default().patched(ClaimPatch::read(members, true)?)
    }

    /// These refusals after a merge patch.
    ///
    /// # Errors
    /// When there are too many afterwards.
    pub fn patched(mut self, patch: ClaimPatch) -> Result<Self, InvalidClaims> {
        patch.apply(&mut self.0)?;
        Ok(self)
    }

    /// The refusals as JSON; each claim has a list.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let members = self.0.iter();
        members
            .map(|(name, values)| {
                let list = values.as_slice().iter().map(ClaimValue::to_json);
                (name.clone(), list.collect())
            })
            .collect()
    }

    /// Adds values to refuse of a claim of which nothing is said, but those that are asked for by `claims`.
    pub(crate) fn default_to(&mut self, claim: &str, values: &[&str], claims: &Claims) {
        if self.0.contains_key(claim) {
            return;
        }
        let wanted: BTreeSet<&ClaimValue> = claims.get(claim).iter().collect();
        let values = values
            .iter()
            .map(|text| ClaimValue::Text((*text).to_owned()));
        let values: Vec<_> = values.filter(|value| !wanted.contains(value)).collect();
        if !values.is_empty() {
            self.0.insert(claim.to_owned(), ClaimValues::Any(values));
        }
    }

    /// The first claim by which a token is refused. Of a list each item counts, and an object is refused.
    pub(crate) fn refused(&self, token: &Map<String, Value>) -> Option<&str> {
        let mut refusals = self.0.iter();
        let found = refusals.find(|(name, values)| {
            let values = values.as_slice();
            let claim = token.get(name.as_str()).filter(|_| !values.is_empty());
            claim.is_some_and(|claim| meets(claim, values))
        });
        found.map(|(name, _)| name.as_str())
    }
}

fn meets(claim: &Value, values: &[ClaimValue]) -> bool {
    match claim {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(|item| meets(item, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            values.iter().any(|value| value.is(claim))
        }
    }
}

#[cfg(test)]
mod tests;
