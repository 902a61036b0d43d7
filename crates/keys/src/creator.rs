//! Who makes keys.

use std::{fmt, str::FromStr};

use ids::{AdminKeyId, ParseIdError, TrustRuleId};

/// Who made a partner key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCreator {
    /// An admin key.
    Admin(AdminKeyId),
    /// A trust rule, for a pipeline that has shown a token.
    Rule(TrustRuleId),
}

impl KeyCreator {
    /// Whether a trust rule made it.
    #[must_use]
    pub const fn is_rule(self) -> bool {
        matches!(self, Self::Rule(_))
    }
}

impl From<AdminKeyId> for KeyCreator {
    fn from(id: AdminKeyId) -> Self {
        Self::Admin(id)
    }
}

impl From<TrustRuleId> for KeyCreator {
    fn from(id: TrustRuleId) -> Self {
        Self::Rule(id)
    }
}

impl fmt::Display for KeyCreator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin(id) => id.fmt(f),
            Self::Rule(id) => id.fmt(f),
        }
    }
}

impl FromStr for KeyCreator {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let rule = text.parse().map(Self::Rule);
        rule.or_else(|_| text.parse().map(Self::Admin))
    }
}

#[cfg(test)]
mod tests {
    use ids::{TypedId as _, Ulid};

    use super::*;

    #[test]
    fn a_creator_reads_back_as_it_was_printed() {
        let creators = [
            AdminKeyId::from_ulid(Ulid::from(1)).into(),
            KeyCreator::from(TrustRuleId::from_ulid(Ulid::from(1))),
        ];
        for creator in creators {
            assert_eq!(creator.to_string().parse(), Ok(creator));
        }
        assert!(
            "pak_00000000000000000000000001"
                .parse::<KeyCreator>()
                .is_err()
        );
    }
}
