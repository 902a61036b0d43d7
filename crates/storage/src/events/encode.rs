//! From events to a segment, with as little work as can be: it is done for every call.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
    hash::Hash,
    net::IpAddr,
};

use audit::{Actor, Event, Request};
use foldhash::fast::RandomState;
use ids::{RequestId, TypedId as _, Ulid, canonical_ulid};
use stores::StoreError;

use super::segment::{
    Body, Call, CallId, Entry, Kind, NO_ADDRESS, Rest, Subject, Subjects, VERSION, What, Who,
    bytes, id_micros, second, subject,
};
use crate::values;

/// A segment as it is stored.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The id of its first event.
    pub(crate) first_id: [u8; 16],
    /// The second in the id of its last event.
    pub(crate) second: i64,
    /// The id of its last event.
    pub(crate) last_id: [u8; 16],
    /// How many events it has.
    pub(crate) events: i64,
    /// The events, and before them whom they mention.
    pub(crate) body: Vec<u8>,
}

impl Segment {
    /// The segment of these events, which are sorted by id; `None` when there are none.
    pub(super) fn of(events: &[&Event]) -> Result<Option<Self>, StoreError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(None);
        };
        let mut tables = Tables::default();
        let entries = events
            .iter()
            .map(|event| tables.entry(event))
            .collect::<Result<_, _>>()?;
        let body = Body {
            subjects: Subjects(tables.subjects.items.as_flattened()),
            rest: Rest {
                words: tables.words.items,
                addresses: tables.addresses.items,
                entries,
            },
        };
        let mut stored = Vec::with_capacity(256 + events.len() * 64);
        stored.push(VERSION);
        let stored = postcard::to_extend(&body, stored)
            .map_err(|_| values::corrupt("an event that is to be written"))?;
        Ok(Some(Self {
            first_id: bytes(first.id.ulid()),
            second: second(last.id.ulid()),
            last_id: bytes(last.id.ulid()),
            events: i64::try_from(events.len()).unwrap_or(i64::MAX),
            body: stored,
        }))
    }
}

/// What repeats, each once.
#[derive(Default)]
struct Tables<'a> {
    words: Table<&'a str>,
    addresses: Table<IpAddr>,
    subjects: Table<Subject>,
}

/// How many items are looked through one by one; where there are more, a map is asked.
const FEW: usize = 8;

/// Distinct items, numbered in the order in which they came.
struct Table<T> {
    items: Vec<T>,
    /// The places of all, once they are more than a few.
    places: HashMap<T, u32, RandomState>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            places: HashMap::default(),
        }
    }
}

impl<T: Copy + Eq + Hash> Table<T> {
    fn place(&mut self, item: T) -> u32 {
        // Segments are far smaller than that.
        let next = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        if self.items.len() <= FEW {
            let mut known = (0..).zip(&self.items);
            if let Some((place, _)) = known.find(|(_, known)| **known == item) {
                return place;
            }
            if self.items.len() == FEW {
                self.places.extend(self.items.iter().copied().zip(0..));
                self.places.insert(item, next);
            }
        } else {
            match self.places.entry(item) {
                hash_map::Entry::Occupied(known) => return *known.get(),
                hash_map::Entry::Vacant(free) => free.insert(next),
            };
        }
        self.items.push(item);
        next
    }
}

impl<'a> Tables<'a> {
    fn entry(&mut self, event: &'a Event) -> Result<Entry<'a>, StoreError> {
        let actor = match event.actor {
            Actor::PartnerKey { id, partner_id } => Who::Key {
                key: self.subjects.place(subject(Kind::Key, id)),
                partner: self.subjects.place(subject(Kind::Partner, partner_id)),
            },
            Actor::Admin { id } => Who::Admin {
                key: self.subjects.place(subject(Kind::Admin, id)),
            },
            Actor::System { partner_id } => Who::System {
                partner: partner_id.map(|id| self.subjects.place(subject(Kind::Partner, id))),
            },
        };
        let details = if event.details.is_empty() {
            None
        } else {
            let text = serde_json::to_string(&event.details)
                .map_err(|_| values::corrupt("the details of an event"))?;
            Some(Cow::Owned(text))
        };
        let id = event.id.ulid();
        Ok(Entry {
            id: bytes(id),
            after_id: values::micros(event.occurred_at).saturating_sub(id_micros(id)),
            actor,
            action: self.words.place(event.action.as_str()),
            target_kind: self.words.place(event.target.kind.as_str()),
            target: self.target(event),
            org: event
                .org_id
                .map(|id| self.subjects.place(subject(Kind::Org, id))),
            outcome: self.words.place(event.outcome.as_str()),
            call: event.request.as_ref().map(|request| self.call(request)),
            details,
        })
    }

    fn target(&mut self, event: &'a Event) -> What<'a> {
        let Some(text) = &event.target.id else {
            return What::Nothing;
        };
        let Some((prefix, id)) = prefix_and_ulid(text) else {
            return What::Text(text);
        };
        match event.org_id {
            Some(org) if org.ulid() == id && prefix == ids::OrgId::PREFIX => What::TheOrg,
            _ => What::Id(self.words.place(prefix), bytes(id)),
        }
    }

    fn call(&mut self, request: &'a Request) -> Call<'a> {
        Call {
            id: match prefix_and_ulid(&request.id) {
                Some((RequestId::PREFIX, id)) => CallId::Ours(bytes(id)),
                _ => CallId::Clients(&request.id),
            },
            method: self.words.place(&request.method),
            route: self.words.place(&request.route),
            address: request.ip.map_or(NO_ADDRESS, |ip| self.addresses.place(ip)),
            user_agent: request
                .user_agent
                .as_deref()
                .map(|text| self.words.place(text)),
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

    #[test]
    fn each_item_has_one_place_however_many_there_are() {
        let mut table = Table::default();
        for _ in 0..2 {
            for item in 0..100_u32 {
                assert_eq!(table.place(item * 7), item);
            }
        }
        assert_eq!(table.items.len(), 100);
    }

    #[test]
    fn what_looks_like_an_id_and_is_none_stays_as_it_is() {
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
    fn an_event_comes_back_from_a_segment_as_it_was() {
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
                ..build.request()
            });
            events.push(event);
        }
        let references: Vec<_> = events.iter().collect();
        let segment = Segment::of(&references).unwrap().unwrap();
        let body = Body::read(&segment.body).unwrap();
        let told: Vec<_> = body
            .entries()
            .iter()
            .map(|entry| body.event(entry).unwrap())
            .collect();
        assert_eq!(told, events);
        assert_eq!(
            Body::read(&segment.body).unwrap().subjects.iter().count(),
            3
        );
    }

    #[test]
    fn what_is_broken_is_told_and_nothing_is_made_up() {
        let build = Build::new();
        let event = build.event(&build.key(&build.partner()));
        let whole = Segment::of(&[&event]).unwrap().unwrap().body;
        assert!(Body::read(&[]).is_err());
        for length in 0..whole.len() {
            assert!(
                Body::read(whole.get(..length).unwrap()).is_err(),
                "{length}"
            );
        }
        let mut other = whole.clone();
        *other.first_mut().unwrap() = VERSION + 1;
        assert!(Body::read(&other).is_err());
        // Whatever a flipped byte makes of it, reading it does no harm.
        for place in 1..whole.len() {
            let mut flipped = whole.clone();
            *flipped.get_mut(place).unwrap() ^= 0xff;
            if let Ok(body) = Body::read(&flipped) {
                for entry in body.entries() {
                    drop(body.event(entry));
                }
            }
        }
    }
}
