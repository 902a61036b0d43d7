//! Prefixed ULIDs, one type for each kind of resource.

use std::{fmt, str::FromStr};

use ulid::Ulid;

/// Why a text is not an id of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id looks like {prefix}_01J9ZK6V3QG8W0T5N4R2M7XACD; lists show the ids")]
pub struct ParseIdError {
    /// The prefix that the id should have had.
    pub prefix: &'static str,
}

/// What all ids have in common: a prefix, an underscore and a ULID in its canonical form
/// (26 upper-case characters of Crockford's base 32, <https://github.com/ulid/spec>).
pub trait TypedId:
    Copy + Ord + fmt::Display + FromStr<Err = ParseIdError> + Send + Sync + 'static
{
    /// The part before the underscore.
    const PREFIX: &'static str;

    /// The id that wraps this ULID.
    fn from_ulid(ulid: Ulid) -> Self;

    /// The ULID inside; ids of one kind sort as their ULIDs do, by time of making.
    fn ulid(self) -> Ulid;

    /// The id as text, without the detour that [`fmt::Display`] takes: it is made for every call.
    #[must_use]
    fn text(self) -> String {
        let mut buffer = [0; ulid::ULID_LEN];
        let digits: &str = self.ulid().array_to_str(&mut buffer);
        let mut text = String::with_capacity(Self::PREFIX.len() + 1 + digits.len());
        text.push_str(Self::PREFIX);
        text.push('_');
        text.push_str(digits);
        text
    }
}

fn parse(text: &str, prefix: &'static str) -> Result<Ulid, ParseIdError> {
    let error = ParseIdError { prefix };
    let rest = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or(error)?;
    canonical_ulid(rest).ok_or(error)
}

/// The ULID of a text, if that is its one spelling: lower case, letters that stand for digits and
/// overflowing first characters decode too, but are not ours.
#[must_use]
pub fn canonical_ulid(text: &str) -> Option<Ulid> {
    let fits = |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z');
    if text.starts_with(|first| first <= '7') && text.bytes().all(fits) {
        Ulid::from_string(text).ok()
    } else {
        None
    }
}

/// The registry of prefixes: a kind of id exists when it has a line here.
macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Ulid);

            impl TypedId for $name {
                const PREFIX: &'static str = $prefix;

                fn from_ulid(ulid: Ulid) -> Self {
                    Self(ulid)
                }

                fn ulid(self) -> Ulid {
                    self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let mut buffer = [0; ulid::ULID_LEN];
                    f.write_str(concat!($prefix, "_"))?;
                    f.write_str(self.0.array_to_str(&mut buffer))
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }

            impl FromStr for $name {
                type Err = ParseIdError;

                fn from_str(text: &str) -> Result<Self, ParseIdError> {
                    parse(text, $prefix).map(Self)
                }
            }

            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                }
            }
        )*

        #[cfg(test)]
        const PREFIXES: &[&str] = &[$($prefix),*];
    };
}

registry! {
    /// A partner key, `pak_…`.
    KeyId = "pak";
    /// An admin key, `adm_…`.
    AdminKeyId = "adm";
    /// A partner, the account that owns keys and orgs, `ptn_…`.
    PartnerId = "ptn";
    /// An org, `org_…`.
    OrgId = "org";
    /// A workspace within an org, `ws_…`.
    WorkspaceId = "ws";
    /// An audit event, `evt_…`.
    EventId = "evt";
    /// A webhook endpoint, `whe_…`.
    EndpointId = "whe";
    /// A delivery to a webhook endpoint, `whd_…`.
    DeliveryId = "whd";
    /// An instance of the program, from its start to its end, `ins_…`.
    InstanceId = "ins";
    /// A rule by which tokens of pipelines are trusted, `tru_…`.
    TrustRuleId = "tru";
    /// A request that brought no id of its own, `req_…`.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str) {
        assert_eq!(
            text.parse::<OrgId>(),
            Err(ParseIdError { prefix: "org" }),
            "{text}"
        );
    }

    #[test]
    fn an_id_reads_back_as_it_was_printed() {
        let text = "org_01J9ZK6V3QG8W0T5N4R2M7XACD";
        let id: OrgId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(OrgId::from_ulid(id.ulid()), id);
    }

    #[test]
    fn another_spelling_is_not_an_id() {
        refused("");
        refused("org_");
        refused("org");
        refused("01J9ZK6V3QG8W0T5N4R2M7XACD");
        refused("pak_01J9ZK6V3QG8W0T5N4R2M7XACD");
        refused("ORG_01J9ZK6V3QG8W0T5N4R2M7XACD");
        refused("org_01j9zk6v3qg8w0t5n4r2m7xacd");
        refused("org_81J9ZK6V3QG8W0T5N4R2M7XACD");
        refused("org_01J9ZK6V3QG8W0T5N4R2M7XAC");
        refused("org_01J9ZK6V3QG8W0T5N4R2M7XACDE");
        refused("org_01J9ZK6V3QG8W0T5N4R2M7XAC\u{e9}");
        refused("org_01J9ZK6V3QG8W0T5N4R2M7XACU");
    }

    #[test]
    fn a_text_is_canonical_when_its_ulid_is_written_so() {
        let text = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
        for place in 0..text.len() {
            for other in (0..=u8::MAX).map(char::from) {
                let mut changed = text.to_owned();
                changed.replace_range(place..=place, &other.to_string());
                let written_so = Ulid::from_string(&changed)
                    .ok()
                    .filter(|ulid| ulid.to_string() == changed);
                assert_eq!(canonical_ulid(&changed), written_so, "{changed}");
            }
        }
    }

    #[test]
    fn prefixes_are_unique() {
        let mut sorted = PREFIXES.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), PREFIXES.len());
    }
}
