//! Segments: many events in one value, where what repeats is told once.
//!
//! A segment is a byte for its version, then [`Body`] as `postcard` writes it: whom it mentions first, so
//! that a segment that does not mention the one that is looked for is read no further. Its events are
//! sorted by id. A new version is a new type beside this one; what was written stays as it is.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use audit::{Actor, ActorId, AuditVisibility, Event, EventFilter, Request, Target, TargetKind};
use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId, RequestId, TypedId, Ulid};
use serde::{Deserialize, Serialize};
use stores::StoreError;

use crate::values;

/// The version that is written.
pub(super) const VERSION: u8 = 1;

/// Stands in [`Call::address`] for a client whose address is not known. No segment has that many addresses,
/// so no segment that was written before there were such clients has it.
pub(super) const NO_ADDRESS: u32 = u32::MAX;

/// Someone or something by whom events are looked for: a byte for the kind, then the id.
pub(crate) type Subject = [u8; 17];

/// The kinds of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Partner,
    Key,
    Admin,
    Org,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Partner => 1,
            Self::Key => 2,
            Self::Admin => 3,
            Self::Org => 4,
        }
    }
}

/// The subject of this kind and id.
pub(super) fn subject(kind: Kind, id: impl TypedId) -> Subject {
    let mut subject = [0; 17];
    if let Some((first, rest)) = subject.split_first_mut() {
        *first = kind.byte();
        rest.copy_from_slice(&bytes(id.ulid()));
    }
    subject
}

/// Whom a segment mentions.
pub(crate) fn subjects_of(stored: &[u8]) -> Result<&[Subject], StoreError> {
    let (subjects, _) = Subjects::read(stored)?;
    Ok(subjects.0.as_chunks().0)
}

/// An id as it is stored.
pub(super) fn bytes(id: Ulid) -> [u8; 16] {
    u128::from(id).to_be_bytes()
}

/// A stored id.
pub(super) fn ulid(bytes: [u8; 16]) -> Ulid {
    Ulid::from(u128::from_be_bytes(bytes))
}

/// Many events. Numbers are places in the lists before them.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    pub(super) subjects: Subjects<'a>,
    pub(super) rest: Rest<'a>,
}

/// Subjects one after another, none twice.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Subjects<'a>(#[serde(borrow, serialize_with = "in_one")] pub(super) &'a [u8]);

/// What follows the subjects of a segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rest<'a> {
    #[serde(borrow)]
    pub(super) words: Vec<&'a str>,
    pub(super) addresses: Vec<IpAddr>,
    #[serde(borrow)]
    pub(super) entries: Vec<Entry<'a>>,
}

/// Bytes as one value; one by one they would be the same, and slower.
fn in_one<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl<'a> Subjects<'a> {
    /// Those of a segment, and what follows them.
    fn read(stored: &'a [u8]) -> Result<(Self, &'a [u8]), StoreError> {
        let Some((&VERSION, body)) = stored.split_first() else {
            return Err(CORRUPT);
        };
        postcard::take_from_bytes(body).map_err(|_| CORRUPT)
    }

    /// All of them.
    pub(super) fn iter(self) -> impl Iterator<Item = &'a Subject> {
        self.0.as_chunks().0.iter()
    }

    fn at(self, place: u32) -> Result<&'a Subject, StoreError> {
        at(self.0.as_chunks().0, place)
    }
}

/// One event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    pub(super) id: [u8; 16],
    /// How many microseconds it happened after the millisecond in its id.
    pub(super) after_id: i64,
    pub(super) actor: Who,
    pub(super) action: u32,
    pub(super) target_kind: u32,
    #[serde(borrow)]
    pub(super) target: What<'a>,
    pub(super) org: Option<u32>,
    pub(super) outcome: u32,
    #[serde(borrow)]
    pub(super) call: Option<Call<'a>>,
    /// As JSON; `None` when there are none.
    #[serde(borrow)]
    pub(super) details: Option<Cow<'a, str>>,
}

/// The actor of an event.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Who {
    Key { key: u32, partner: u32 },
    Admin { key: u32 },
    System { partner: Option<u32> },
}

/// The id of an event's target.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum What<'a> {
    Nothing,
    /// The org that the event is about.
    TheOrg,
    /// A prefix and a ULID.
    Id(u32, [u8; 16]),
    Text(&'a str),
}

/// The request of an event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) id: CallId<'a>,
    pub(super) method: u32,
    pub(super) route: u32,
    /// The place of the client's address, or [`NO_ADDRESS`].
    pub(super) address: u32,
    pub(super) user_agent: Option<u32>,
    pub(super) status_code: u16,
}

/// The id of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum CallId<'a> {
    Ours([u8; 16]),
    Clients(&'a str),
}

const CORRUPT: StoreError = values::corrupt("a segment of events");

impl<'a> Body<'a> {
    /// Reads a segment.
    pub(super) fn read(stored: &'a [u8]) -> Result<Self, StoreError> {
        Self::read_of(stored, None)?.ok_or(CORRUPT)
    }

    /// Reads a segment if it mentions the subject.
    pub(super) fn read_of(
        stored: &'a [u8],
        whom: Option<&Subject>,
    ) -> Result<Option<Self>, StoreError> {
        let (subjects, rest) = Subjects::read(stored)?;
        if whom.is_some_and(|whom| subjects.iter().all(|subject| subject != whom)) {
            return Ok(None);
        }
        let rest = postcard::from_bytes(rest).map_err(|_| CORRUPT)?;
        Ok(Some(Self { subjects, rest }))
    }

    /// The events, sorted by id.
    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.rest.entries
    }

    /// Whether the filter may list the event; one that it lists is never passed over.
    pub(super) fn may_match(&self, filter: &EventFilter, entry: &Entry<'_>) -> bool {
        let partner = match filter.visibility {
            AuditVisibility::All => None,
            AuditVisibility::Partner(partner) | AuditVisibility::Org(partner, _) => Some(partner),
        };
        let (actor, of_partner) = match entry.actor {
            Who::Key { key, partner } => (Some(key), Some(partner)),
            Who::Admin { key } => (Some(key), None),
            Who::System { partner } => (None, partner),
        };
        let is = |place: Option<u32>, wanted: Subject| {
            place.and_then(|place| self.subjects.at(place).ok()) == Some(&wanted)
        };
        let says = |place, wanted| at(&self.rest.words, place).ok() == Some(&wanted);
        filter.actor.is_none_or(|wanted| match wanted {
            ActorId::Key(id) => is(actor, subject(Kind::Key, id)),
            ActorId::Admin(id) => is(actor, subject(Kind::Admin, id)),
        }) && [partner, filter.partner_id]
            .into_iter()
            .flatten()
            .all(|id| is(of_partner, subject(Kind::Partner, id)))
            && filter
                .org_id
                .is_none_or(|id| is(entry.org, subject(Kind::Org, id)))
            && filter
                .action
                .is_none_or(|action| says(entry.action, action.as_str()))
            && filter
                .outcome
                .is_none_or(|outcome| says(entry.outcome, outcome.as_str()))
            && filter
                .request_id
                .as_deref()
                .is_none_or(|id| entry.is_of_request(id))
            && filter
                .since
                .is_none_or(|since| entry.micros() >= values::micros(since))
            && filter
                .until
                .is_none_or(|until| entry.micros() < values::micros(until))
    }

    /// The event of an entry.
    pub(super) fn event(&self, entry: &Entry<'_>) -> Result<Event, StoreError> {
        let org_id = entry
            .org
            .map(|place| self.id::<OrgId>(Kind::Org, place))
            .transpose()?;
        Ok(Event {
            id: EventId::from_ulid(ulid(entry.id)),
            occurred_at: values::time(entry.micros(), "the time of an event")?,
            actor: self.actor(entry.actor)?,
            action: self
                .word(entry.action)?
                .parse()
                .map_err(|_| values::corrupt("the action of an event"))?,
            target: Target {
                kind: TargetKind::parse(self.word(entry.target_kind)?)
                    .ok_or(values::corrupt("the target of an event"))?,
                id: self.target(&entry.target, org_id)?,
            },
            org_id,
            outcome: self
                .word(entry.outcome)?
                .parse()
                .map_err(|_| values::corrupt("the outcome of an event"))?,
            request: entry
                .call
                .as_ref()
                .map(|call| self.request(call))
                .transpose()?,
            details: match &entry.details {
                None => audit::Details::new(),
                Some(text) => serde_json::from_str(text)
                    .map_err(|_| values::corrupt("the details of an event"))?,
            },
        })
    }

    fn actor(&self, who: Who) -> Result<Actor, StoreError> {
        Ok(match who {
            Who::Key { key, partner } => Actor::PartnerKey {
                id: self.id::<KeyId>(Kind::Key, key)?,
                partner_id: self.id::<PartnerId>(Kind::Partner, partner)?,
            },
            Who::Admin { key } => Actor::Admin {
                id: self.id::<AdminKeyId>(Kind::Admin, key)?,
            },
            Who::System { partner } => Actor::System {
                partner_id: partner
                    .map(|place| self.id(Kind::Partner, place))
                    .transpose()?,
            },
        })
    }

    fn target(&self, what: &What<'_>, org: Option<OrgId>) -> Result<Option<Arc<str>>, StoreError> {
        Ok(match what {
            What::Nothing => None,
            What::TheOrg => Some(org.ok_or(CORRUPT)?.to_string().into()),
            What::Id(prefix, id) => Some(format!("{}_{}", self.word(*prefix)?, ulid(*id)).into()),
            What::Text(text) => Some((*text).into()),
        })
    }

    fn request(&self, call: &Call<'_>) -> Result<Request, StoreError> {
        Ok(Request {
            id: match call.id {
                CallId::Ours(id) => RequestId::from_ulid(ulid(id)).to_string().into(),
                CallId::Clients(text) => text.into(),
            },
            method: self.word(call.method)?.to_owned().into(),
            route: self.word(call.route)?.to_owned().into(),
            ip: match call.address {
                NO_ADDRESS => None,
                place => Some(*at(&self.rest.addresses, place)?),
            },
            user_agent: call
                .user_agent
                .map(|place| self.word(place).map(Arc::from))
                .transpose()?,
            status_code: call.status_code,
        })
    }

    fn word(&self, place: u32) -> Result<&'a str, StoreError> {
        at(&self.rest.words, place).copied()
    }

    fn id<I: TypedId>(&self, kind: Kind, place: u32) -> Result<I, StoreError> {
        match self.subjects.at(place)?.split_first_chunk::<1>() {
            Some(([byte], id)) if *byte == kind.byte() => {
                let id = id.try_into().map_err(|_| CORRUPT)?;
                Ok(I::from_ulid(ulid(id)))
            }
            _ => Err(CORRUPT),
        }
    }
}

impl Entry<'_> {
    /// Whether it is of the request with this id.
    fn is_of_request(&self, id: &str) -> bool {
        self.call.as_ref().is_some_and(|call| match call.id {
            CallId::Clients(text) => text == id,
            CallId::Ours(ours) => id
                .parse::<RequestId>()
                .is_ok_and(|id| bytes(id.ulid()) == ours),
        })
    }

    /// When it happened, in microseconds since 1970.
    pub(super) fn micros(&self) -> i64 {
        id_micros(ulid(self.id)).saturating_add(self.after_id)
    }
}

/// The millisecond in an id, in microseconds since 1970.
pub(super) fn id_micros(id: Ulid) -> i64 {
    i64::try_from(id.timestamp_ms())
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}

/// The second in an id, since 1970.
pub(super) fn second(id: Ulid) -> i64 {
    i64::try_from(id.timestamp_ms() / 1000).unwrap_or(i64::MAX)
}

fn at<T>(list: &[T], place: u32) -> Result<&T, StoreError> {
    usize::try_from(place)
        .ok()
        .and_then(|place| list.get(place))
        .ok_or(CORRUPT)
}
