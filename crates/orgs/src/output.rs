//! What a provisioner hands back: outputs, which whoever reads the org may see, and secrets.
//!
//! [`ProvisionOutput::parse`] reads the answer of a provisioner. No error of it shows a value.

mod json;
mod mask;
mod secret;

use std::{collections::BTreeMap, fmt};

use self::json::Json;
pub use self::{
    mask::SecretMask,
    secret::{OrgSecrets, SecretValue},
};

/// The longest answer, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;
/// How many outputs there are at the most, and how many secrets.
const MAX_ENTRIES: usize = 64;
/// The longest name, in characters.
const MAX_NAME: usize = 64;
/// The longest value, in characters.
const MAX_VALUE: usize = 4096;

const OUTPUTS: &str = "outputs";
const SECRETS: &str = "secrets";

/// What a provisioner has handed back. What it did not name stays as it was; what it named is replaced as a
/// whole.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProvisionOutput {
    /// The org's outputs, if the answer has any to set.
    pub outputs: Option<BTreeMap<String, String>>,
    /// The org's secrets, if the answer has any to set.
    pub secrets: Option<OrgSecrets>,
}

/// The names and no values.
impl fmt::Debug for ProvisionOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outputs = self.outputs.as_ref().map(BTreeMap::keys);
        f.debug_struct("ProvisionOutput")
            .field(OUTPUTS, &outputs.map(Iterator::collect::<Vec<_>>))
            .field(SECRETS, &self.secrets)
            .finish()
    }
}

/// Why the answer of a provisioner can't be used. It names names and never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOutput {
    /// It is longer than [`MAX_ANSWER`].
    #[error("it is longer than 64 KiB")]
    TooLong,
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is no JSON.
    #[error("it is not JSON: line {line}, column {column}")]
    NotJson {
        /// The line of the first error, from 1.
        line: usize,
        /// The column of the first error, from 1.
        column: usize,
    },
    /// It ends within its JSON.
    #[error("its JSON is cut off")]
    CutOff,
    /// It is JSON and no object.
    #[error("it is JSON, but not an object")]
    NotObject,
    /// It has a member that means nothing.
    #[error("it has a member that is neither outputs nor secrets")]
    UnknownMember,
    /// It has a member twice.
    #[error("it has the member {0} twice")]
    MemberTwice(&'static str),
    /// A member is no object.
    #[error("{0} is not an object")]
    MemberNotObject(&'static str),
    /// A member has too many entries.
    #[error("{0} has more than 64 entries")]
    TooMany(&'static str),
    /// A name can't be used.
    #[error(
        "{0} has a name that is not 1 to 64 letters, digits and underscores with no digit in front"
    )]
    Name(&'static str),
    /// A name comes twice.
    #[error("{0} has the name {1} twice")]
    NameTwice(&'static str, String),
    /// A value is no text.
    #[error("the value of {1} in {0} is not a string")]
    NotString(&'static str, String),
    /// A value is too long.
    #[error("the value of {1} in {0} is longer than 4096 characters")]
    ValueTooLong(&'static str, String),
    /// A name is that of an output and of a secret: it would be shown though it is secret.
    #[error("{0} is both an output and a secret")]
    Both(String),
}

impl ProvisionOutput {
    /// Reads an answer: nothing, or one JSON object with the members `outputs` and `secrets`, each an object of
    /// strings.
    ///
    /// # Errors
    /// When it is anything else, or something in it is too long or comes twice.
    pub fn parse(answer: &[u8]) -> Result<Self, InvalidOutput> {
        if answer.len() > MAX_ANSWER {
            return Err(InvalidOutput::TooLong);
        }
        let text = std::str::from_utf8(answer).map_err(|_| InvalidOutput::NotText)?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let Json::Object(members) = json::parse(text)? else {
            return Err(InvalidOutput::NotObject);
        };
        let (mut outputs, mut secrets) = (None, None);
        for (name, value) in members {
            let (member, place) = match name.as_str() {
                OUTPUTS => (OUTPUTS, &mut outputs),
                SECRETS => (SECRETS, &mut secrets),
                _ => return Err(InvalidOutput::UnknownMember),
            };
            if place.replace(entries(member, value)?).is_some() {
                return Err(InvalidOutput::MemberTwice(member));
            }
        }
        if let (Some(outputs), Some(secrets)) = (&outputs, &secrets)
            && let Some(name) = outputs.keys().find(|name| secrets.contains_key(*name))
        {
            return Err(InvalidOutput::Both(name.clone()));
        }
        let plain = |(name, value): (String, SecretValue)| (name, value.expose().to_owned());
        Ok(Self {
            outputs: outputs.map(|outputs| outputs.into_iter().map(plain).collect()),
            secrets: secrets.map(OrgSecrets::new),
        })
    }
}

/// The entries of a member.
fn entries(
    member: &'static str,
    value: Json,
) -> Result<BTreeMap<String, SecretValue>, InvalidOutput> {
    let Json::Object(members) = value else {
        return Err(InvalidOutput::MemberNotObject(member));
    };
    if members.len() > MAX_ENTRIES {
        return Err(InvalidOutput::TooMany(member));
    }
    let mut entries = BTreeMap::new();
    for (name, value) in members {
        if !is_name(&name) {
            return Err(InvalidOutput::Name(member));
        }
        let Json::Text(value) = value else {
            return Err(InvalidOutput::NotString(member, name));
        };
        if value.expose().chars().count() > MAX_VALUE {
            return Err(InvalidOutput::ValueTooLong(member, name));
        }
        if entries.insert(name.clone(), value).is_some() {
            return Err(InvalidOutput::NameTwice(member, name));
        }
    }
    Ok(entries)
}

/// Whether this is a name, `[A-Za-z_][A-Za-z0-9_]{0,63}`.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests;
