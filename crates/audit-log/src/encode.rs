//! Encoding events as a segment. It runs for every call, so it does as little work as it can.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
    hash::Hash,
    net::IpAddr,
};

use audit::{Actor, Event, Request};
use foldhash::fast::RandomState;
use ids::{OrgId, RequestId, TypedId as _, Ulid, canonical_ulid};

use crate::{
    Corrupt, Subject, SubjectKind, id_bytes, id_second,
    segment::{
        ActorEntry, Entry, NO_ADDRESS, RequestEntry, RequestIdEntry, Rest, Secrets, Subjects,
        TargetEntry, VERSION,
    },
    subject,
};

/// An encoded segment, and what is stored beside it so that it can be found.
#[derive(Debug)]
pub struct EncodedSegment {
    /// The id of the first event.
    pub first_id: [u8; 16],
    /// The id of the last event.
    pub last_id: [u8; 16],
    /// The second in the id of the last event, since 1970.
    pub second: i64,
    /// How many events it has.
    pub events: i64,
    /// The encoded events.
    pub body: Vec<u8>,
}

impl EncodedSegment {
    /// Encodes events that are sorted by id; `None` when there are none.
    ///
    /// # Errors
    /// [`Corrupt`] when an event has details that are no JSON.
    pub fn new(events: &[&Event]) -> Result<Option<Self>, Corrupt> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(None);
        };
        let mut tables = Tables::default();
        let entries = events
            .iter()
            .map(|event| tables.entry(event))
            .collect::<Result<Vec<_>, _>>()?;
        let of_entries = entries.iter().map(|entry| entry.secret).collect();
        let subjects = Subjects(tables.subjects.items.as_flattened());
        let rest = Rest {
            words: tables.words.items,
            addresses: tables.addresses.items,
            entries,
        };
        let mut body = Vec::with_capacity(256 + events.len() * 64);
        body.push(VERSION);
        let unwritable = |_| Corrupt("an event that is to be written");
        let mut body = postcard::to_extend(&(subjects, rest), body).map_err(unwritable)?;
        let prefixes = tables.prefixes.items;
        if !prefixes.is_empty() {
            let secrets = Secrets {
                prefixes,
                of_entries,
            };
            body = postcard::to_extend(&secrets, body).map_err(unwritable)?;
        }
        Ok(Some(Self {
            first_id: id_bytes(first.id.ulid()),
            last_id: id_bytes(last.id.ulid()),
            second: id_second(last.id.ulid()),
            events: i64::try_from(events.len()).unwrap_or(i64::MAX),
            body,
        }))
    }
}

/// The lists of a segment: what repeats, each once.
#[derive(Default)]
struct Tables<'a> {
    words: Table<&'a str>,
    addresses: Table<IpAddr>,
    subjects: Table<Subject>,
    prefixes: Table<&'a str>,
}

/// Up to this many items, a linear search is faster than a hash map.
const FEW: usize = 8;

/// Distinct items in the order in which they came.
struct Table<T> {
    items: Vec<T>,
    /// The position of each item, once there are more than [`FEW`].
    positions: HashMap<T, u32, RandomState>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            positions: HashMap::default(),
        }
    }
}

impl<T: Copy + Eq + Hash> Table<T> {
    fn position(&mut self, item: T) -> u32 {
        // Segments are far smaller than that.
        let next = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        if self.items.len() <= FEW {
            let mut known = (0..).zip(&self.items);
            if let Some((position, _)) = known.find(|(_, known)| **known == item) {
                return position;
            }
            if self.items.len() == FEW {
                self.positions.extend(self.items.iter().copied().zip(0..));
                self.positions.insert(item, next);
            }
        } else {
            match self.positions.entry(item) {
                hash_map::Entry::Occupied(known) => return *known.get(),
                hash_map::Entry::Vacant(free) => free.insert(next),
            };
        }
        self.items.push(item);
        next
    }
}

impl<'a> Tables<'a> {
    fn entry(&mut self, event: &'a Event) -> Result<Entry<'a>, Corrupt> {
        let actor = match event.actor {
            Actor::PartnerKey { id, partner_id } => ActorEntry::Key {
                key: self.subjects.position(subject(SubjectKind::Key, id)),
                partner: self
                    .subjects
                    .position(subject(SubjectKind::Partner, partner_id)),
            },
            Actor::Admin { id } => ActorEntry::Admin {
                key: self.subjects.position(subject(SubjectKind::Admin, id)),
            },
            Actor::System { partner_id } => ActorEntry::System {
                partner: partner_id
                    .map(|id| self.subjects.position(subject(SubjectKind::Partner, id))),
            },
        };
        let details = if event.details.is_empty() {
            None
        } else {
            let text = serde_json::to_string(&event.details)
                .map_err(|_| Corrupt("the details of an event"))?;
            Some(Cow::Owned(text))
        };
        let key_prefix = event
            .request
            .as_ref()
            .and_then(|request| request.key_prefix.as_deref());
        let secret = key_prefix.map_or(0, |prefix| self.prefixes.position(prefix) + 1);
        let id = event.id.ulid();
        Ok(Entry {
            id: id_bytes(id),
            after_id: Entry::micros_after_id(event),
            actor,
            action: self.words.position(event.action.as_str()),
            target_kind: self.words.position(event.target.kind.as_str()),
            target: self.target(event),
            org: event
                .org_id
                .map(|id| self.subjects.position(subject(SubjectKind::Org, id))),
            outcome: self.words.position(event.outcome.as_str()),
            request: event.request.as_ref().map(|request| self.request(request)),
            details,
            secret,
        })
    }

    fn target(&mut self, event: &'a Event) -> TargetEntry<'a> {
        let Some(text) = &event.target.id else {
            return TargetEntry::None;
        };
        let Some((prefix, id)) = prefix_and_ulid(text) else {
            return TargetEntry::Text(text);
        };
        match event.org_id {
            Some(org) if org.ulid() == id && prefix == OrgId::PREFIX => TargetEntry::SameOrg,
            _ => TargetEntry::Id(self.words.position(prefix), id_bytes(id)),
        }
    }

    fn request(&mut self, request: &'a Request) -> RequestEntry<'a> {
        RequestEntry {
            id: match prefix_and_ulid(&request.id) {
                Some((RequestId::PREFIX, id)) => RequestIdEntry::Generated(id_bytes(id)),
                _ => RequestIdEntry::FromClient(&request.id),
            },
            method: self.words.position(&request.method),
            route: self.words.position(&request.route),
            address: request
                .ip
                .map_or(NO_ADDRESS, |ip| self.addresses.position(ip)),
            user_agent: request
                .user_agent
                .as_deref()
                .map(|text| self.words.position(text)),
            status_code: request.status_code,
        }
    }
}

/// The parts of a text that is a prefix and a ULID in its one spelling.
fn prefix_and_ulid(text: &str) -> Option<(&str, Ulid)> {
    let (prefix, rest) = text.split_once('_')?;
    Some((prefix, canonical_ulid(rest)?))
}

#[cfg(test)]
mod tests {
    use testkit::build::Build;

    use super::*;
    use crate::{Segment, subjects_of};

    #[test]
    fn each_item_has_one_position() {
        let mut table = Table::default();
        for _ in 0..2 {
            for item in 0..100_u32 {
                assert_eq!(table.position(item * 7), item);
            }
        }
        assert_eq!(table.items.len(), 100);
    }

    #[test]
    fn text_that_only_looks_like_an_id_is_kept_as_text() {
        let canonical = "01J9ZK6V3QG8W0T5N4R2M7XACD";
        assert!(prefix_and_ulid(&format!("org_{canonical}")).is_some());
        assert!(prefix_and_ulid(&format!("_{canonical}")).is_some());
        for text in [
            "",
            "_",
            "org",
            "org_",
            canonical,
            "org_01j9zk6v3qg8w0t5n4r2m7xacd",
            "org_81J9ZK6V3QG8W0T5N4R2M7XACD",
            "org_x_01J9ZK6V3QG8W0T5N4R2M7XACD",
            "org_01J9ZK6V3QG8W0T5N4R2M7XACI",
        ] {
            assert_eq!(prefix_and_ulid(text), None, "{text}");
        }
    }

    #[test]
    fn events_round_trip() {
        let build = Build::new();
        let key = build.key(&build.partner());
        let org = build.org(&key);
        let targets = [
            org.id.to_string(),
            build.org(&key).id.to_string(),
            format!("org_{}", key.id.ulid()),
            "org_01j9zk6v3qg8w0t5n4r2m7xacd".to_owned(),
            String::new(),
            "_".to_owned(),
        ];
        let mut events = Vec::new();
        for target in targets {
            let mut event = build.event(&key);
            event.org_id = Some(org.id);
            event.target.id = Some(target.as_str().into());
            event.request = Some(Request {
                id: target.into(),
                key_prefix: [None, Some("mol_pk_first"), Some("mol_pk_other")]
                    .get(events.len() % 3)
                    .copied()
                    .flatten()
                    .map(Into::into),
                ..build.request()
            });
            events.push(event);
        }
        let references: Vec<_> = events.iter().collect();
        let segment = EncodedSegment::new(&references).unwrap().unwrap();
        let decoded = Segment::decode(&segment.body).unwrap();
        let decoded_events: Vec<_> = decoded
            .entries()
            .iter()
            .map(|entry| decoded.event(entry).unwrap())
            .collect();
        assert_eq!(decoded_events, events);
        assert_eq!(subjects_of(&segment.body).unwrap().len(), 3);
    }

    #[test]
    fn truncated_and_unknown_versions_are_errors() {
        let build = Build::new();
        let mut event = build.event(&build.key(&build.partner()));
        let whole = EncodedSegment::new(&[&event]).unwrap().unwrap().body;
        event.request.as_mut().unwrap().key_prefix = None;
        let without_secrets = EncodedSegment::new(&[&event]).unwrap().unwrap().body;
        assert!(whole.starts_with(&without_secrets));
        assert!(Segment::decode(&[]).is_err());
        for length in 0..whole.len() {
            assert_eq!(
                Segment::decode(whole.get(..length).unwrap()).is_ok(),
                length == without_secrets.len(),
                "{length}"
            );
        }
        let mut other = whole.clone();
        *other.first_mut().unwrap() = VERSION + 1;
        assert!(Segment::decode(&other).is_err());
        // Whatever a flipped byte makes of it, reading it does no harm.
        for position in 1..whole.len() {
            let mut flipped = whole.clone();
            *flipped.get_mut(position).unwrap() ^= 0xff;
            if let Ok(decoded) = Segment::decode(&flipped) {
                for entry in decoded.entries() {
                    drop(decoded.event(entry));
                }
            }
        }
    }
}
