//! What a client holds for each type of the wire: text where the server has a rule, so that a client goes on
//! when the rule changes.

use std::{collections::BTreeMap, convert::Infallible, fmt, str::FromStr};

use audit::{Action, ActorId, Details, Outcome, TargetKind};
use ids::{
    AdminKeyId, DeliveryId, EndpointId, EventId, InstanceId, KeyId, Labels, Name, OrgId, PartnerId,
    PlanName, TrustRuleId, WorkspaceId,
};
use keys::{
    AdminRole, Change, KeyStatus, LeakUrl, Networks, OnLeak, OnRevoke, PartnerPlan,
    RevocationReason,
};
use orgs::{OrgOptions, OrgStatus, Slug, StepName, StepStatus, SubscriptionStatus, Ttl};
use scopes::{Scope, ScopeSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use webhooks::{DeliveryStatus, DisabledReason, EndpointUrl, EventKind, EventKinds};

use super::{generic::*, labels::LabelPatch, org_plans::OrgPlans, types::*};
use crate::{ErrorCode, Secret, Time};

/// A type of the wire, and what a client has in its place.
pub trait ClientType {
    /// The client's type.
    type As;
}

/// An enum whose values are words in JSON.
pub trait Words: Copy + fmt::Debug + PartialEq + 'static {
    /// All values that this version knows.
    const WORDS: &'static [Self];

    /// The word in JSON.
    fn word(self) -> &'static str;
}

/// A word of an enum. A newer server may send one that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<T> {
    /// One that this version knows.
    Known(T),
    /// Another.
    Other(String),
}

impl<T: Words> Word<T> {
    /// The word in JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value.word(),
            Self::Other(text) => text,
        }
    }

    /// The value, if this version knows it.
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }
}

impl<T> Default for Word<T> {
    /// No word: a server refuses it.
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl<T: Words> From<T> for Word<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: Words> PartialEq<T> for Word<T> {
    fn eq(&self, other: &T) -> bool {
        self.known() == Some(*other)
    }
}

impl<T: Words> FromStr for Word<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let known = T::WORDS.iter().find(|value| value.word() == text);
        Ok(known.map_or_else(|| Self::Other(text.to_owned()), |value| Self::Known(*value)))
    }
}

impl<T: Words> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<T: Words> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Ok(word) = String::deserialize(deserializer)?.parse();
        Ok(word)
    }
}

macro_rules! client_types {
    ($($($ty:ty),+ => $as:ty;)*) => {$($(
        impl ClientType for $ty {
            type As = $as;
        }
    )+)*};
}

macro_rules! words {
    ($($ty:ty = $words:expr;)*) => {$(
        impl Words for $ty {
            const WORDS: &'static [Self] = $words;

            fn word(self) -> &'static str {
                self.as_str()
            }
        }

        impl ClientType for $ty {
            type As = Word<$ty>;
        }
    )*};
}

client_types! {
    bool => bool;
    u16 => u16;
    u32 => u32;
    i64 => i64;
    u64 => u64;
    String, Name, Slug, PlanName, ActorId, EndpointUrl => String;
    Url, CreatorText, KeyPrefix, CursorText, RequestIdText => String;
    EndpointStatus, MessageType, ActorType, CredentialType, LimitName, HealthStatus => String;
    QuotaName, FailedStatus => String;
    GrantType, SubjectTokenType, IssuedTokenType, TokenType, TokenErrorCode, ScopeText => String;
    LeakLabel, LeakUrl => String;
    SecretKey, WebhookSecretText, SubjectToken, LeakedText => Secret;
    crate::leak::LeakedTokens => Vec<Secret>;
    Time, FutureTime => Time;
    Ttl => u32;
    Labels => BTreeMap<String, String>;
    EntryName => String;
    StringMap => BTreeMap<String, String>;
    SecretMap => BTreeMap<String, Secret>;
    LabelPatch => BTreeMap<String, Option<String>>;
    OrgPlans, Networks => Vec<String>;
    ScopeSet => Vec<Word<Scope>>;
    EventKinds => Vec<Word<EventKind>>;
    AnyObject, OrgOptions, OptionsPatch => Details;
    KeyId => KeyId;
    AdminKeyId => AdminKeyId;
    PartnerId => PartnerId;
    OrgId => OrgId;
    WorkspaceId => WorkspaceId;
    EventId => EventId;
    EndpointId => EndpointId;
    DeliveryId => DeliveryId;
    InstanceId => InstanceId;
    TrustRuleId => TrustRuleId;
}

words! {
    Scope = Self::ALL;
    EventKind = Self::OFFERED;
    KeyStatus = Self::ALL;
    OnRevoke = Self::ALL;
    OnLeak = Self::ALL;
    RevocationReason = Self::ALL;
    AdminRole = Self::ALL;
    PartnerPlan = Self::ALL;
    OrgStatus = &Self::ALL;
    StepName = Self::ALL;
    StepStatus = Self::ALL;
    SubscriptionStatus = Self::ALL;
    Action = Self::ALL;
    Outcome = Self::ALL;
    TargetKind = Self::ALL;
    DeliveryStatus = Self::ALL;
    DisabledReason = Self::ALL;
    ErrorCode = Self::ALL;
}

impl<const MIN: u64, const MAX: u64> ClientType for Whole<MIN, MAX> {
    type As = u64;
}

impl<T: ClientType> ClientType for Option<T> {
    type As = Option<T::As>;
}

impl<T: ClientType> ClientType for Present<T> {
    type As = Option<T::As>;
}

/// `None` leaves the value as it is, `Some(None)` restores the default.
impl<T: ClientType> ClientType for Change<T> {
    type As = Option<Option<T::As>>;
}

/// `None` leaves the value as it is.
impl<T: ClientType> ClientType for NotNull<T> {
    type As = Option<T::As>;
}

impl<T: ClientType> ClientType for Vec<T> {
    type As = Vec<T::As>;
}

impl<T: ClientType> ClientType for NonEmpty<T> {
    type As = Vec<T::As>;
}

impl<const MAX: usize, T: ClientType> ClientType for AtMost<MAX, T> {
    type As = Vec<T::As>;
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn a_word_of_a_newer_server_survives() {
        let ready: Word<OrgStatus> = from_value(json!("ready")).unwrap();
        assert_eq!(ready, OrgStatus::Ready);
        let newer: Word<OrgStatus> = from_value(json!("hibernating")).unwrap();
        assert_eq!(newer.known(), None);
        assert_eq!(to_value(&newer).unwrap(), "hibernating");
    }

    #[test]
    fn what_a_client_does_not_know_is_left_out() {
        let limit = json!({"limit": 5, "window_seconds": 60, "colour": "red"});
        let read: crate::client::RateLimit = from_value(limit).unwrap();
        assert_eq!((read.limit, read.window_seconds), (5, 60));
    }

    #[test]
    fn an_older_server_sends_less() {
        let org = json!({
            "id": "org_01J9ZK6V3QG8W0T5N4R2M7XACD", "name": "a", "slug": "a", "plan": "free", "status": "ready",
            "partner_id": "ptn_01J9ZK5H8D3M6Q7R1S2T4V5W6X", "login_url": "http://h",
            "created_by_key_id": "pak_01J9ZK60AB1CD2EF3GH4JK5MN6", "created_at": "2026-04-23T08:00:00Z",
        });
        let read: crate::client::Org = from_value(org).unwrap();
        assert!(read.labels.is_empty() && read.options.is_empty() && read.failure.is_none());
    }

    #[test]
    fn a_patch_says_what_stays_what_goes_and_what_is_set() {
        let changes = crate::client::PartnerKeyChanges {
            expires_at: Some(None),
            disabled: Some(Some(true)),
            labels: Some(Some([("run".to_owned(), None)].into())),
            ..Default::default()
        };
        let expect = json!({"expires_at": null, "disabled": true, "labels": {"run": null}});
        assert_eq!(to_value(changes).unwrap(), expect);
    }
}
