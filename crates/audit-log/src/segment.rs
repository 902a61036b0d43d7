//! The segment format, version 1, and how it is decoded. `FORMAT.md` describes the bytes.
//!
//! The order of the fields and variants below is the format: `postcard` writes them in that order. A new
//! version is a new set of types beside these, chosen by the version byte.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use audit::{Actor, Details, Event, Request, Target, TargetKind};
use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId, RequestId, TypedId, Ulid};
use serde::{Deserialize, Serialize};

use crate::{
    Corrupt, SUBJECT_LEN, Subject, SubjectKind, id_from_bytes, id_micros,
    timestamp::{self, micros},
};

/// The version that is written.
pub(crate) const VERSION: u8 = 1;

/// Stands in [`RequestEntry::address`] for an unknown client address. It was added without a new version:
/// no segment has that many addresses, so none written before can contain it.
pub(crate) const NO_ADDRESS: u32 = u32::MAX;

const CORRUPT: Corrupt = Corrupt("a segment of events");

/// Decoded events. What repeats is stored once; numbers in the entries are positions in these lists.
#[derive(Debug)]
pub struct Segment<'a> {
    pub(crate) subjects: Subjects<'a>,
    pub(crate) rest: Rest<'a>,
    /// The first characters of secrets.
    prefixes: Vec<&'a str>,
}

/// Which secrets the events were authenticated by. It was added without a new version: readers ignore what
/// comes behind the entries, and a segment from before ends there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Secrets<'a> {
    /// The first characters of each, once.
    #[serde(borrow)]
    pub(crate) prefixes: Vec<&'a str>,
    /// For each entry the place of its secret among the prefixes, counted from 1; 0 for none.
    pub(crate) of_entries: Vec<u32>,
}

/// Distinct subjects, one after another. They come first, so that a reader who looks for one subject can
/// skip a segment without decoding it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Subjects<'a>(#[serde(borrow, serialize_with = "as_bytes")] pub(crate) &'a [u8]);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rest<'a> {
    #[serde(borrow)]
    pub(crate) words: Vec<&'a str>,
    pub(crate) addresses: Vec<IpAddr>,
    #[serde(borrow)]
    pub(crate) entries: Vec<Entry<'a>>,
}

/// One event of a segment, not yet resolved against the segment's lists.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry<'a> {
    pub(crate) id: [u8; 16],
    /// Microseconds from the millisecond in the id to the time of the event.
    pub(crate) after_id: i64,
    pub(crate) actor: ActorEntry,
    pub(crate) action: u32,
    pub(crate) target_kind: u32,
    #[serde(borrow)]
    pub(crate) target: TargetEntry<'a>,
    pub(crate) org: Option<u32>,
    pub(crate) outcome: u32,
    #[serde(borrow)]
    pub(crate) request: Option<RequestEntry<'a>>,
    /// A JSON object; `None` for an empty one.
    #[serde(borrow)]
    pub(crate) details: Option<Cow<'a, str>>,
    /// The place of the secret among the prefixes, counted from 1; 0 for none. It stands behind the entries.
    #[serde(skip)]
    pub(crate) secret: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum ActorEntry {
    Key { key: u32, partner: u32 },
    Admin { key: u32 },
    System { partner: Option<u32> },
}

/// The id of the target.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TargetEntry<'a> {
    None,
    /// The org that the event is about.
    SameOrg,
    /// A prefix, as a word, and a ULID.
    Id(u32, [u8; 16]),
    Text(&'a str),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestEntry<'a> {
    #[serde(borrow)]
    pub(crate) id: RequestIdEntry<'a>,
    pub(crate) method: u32,
    pub(crate) route: u32,
    /// A position among the addresses, or [`NO_ADDRESS`].
    pub(crate) address: u32,
    pub(crate) user_agent: Option<u32>,
    pub(crate) status_code: u16,
}

/// A request id is one of ours, or a text that the client chose.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RequestIdEntry<'a> {
    Generated([u8; 16]),
    FromClient(&'a str),
}

/// Serializes bytes as one value: the same output as byte by byte, and faster.
fn as_bytes<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// The subjects that an encoded segment mentions.
///
/// # Errors
/// [`Corrupt`] when it is no segment.
pub fn subjects_of(encoded: &[u8]) -> Result<&[Subject], Corrupt> {
    let (subjects, _) = Subjects::decode(encoded)?;
    Ok(subjects.all())
}

impl<'a> Subjects<'a> {
    /// The subjects of a segment, and the bytes that follow them.
    fn decode(encoded: &'a [u8]) -> Result<(Self, &'a [u8]), Corrupt> {
        match encoded.split_first() {
            Some((&VERSION, body)) => postcard::take_from_bytes(body).map_err(|_| CORRUPT),
            Some(_) | None => Err(CORRUPT),
        }
    }

    fn all(self) -> &'a [Subject] {
        self.0.as_chunks::<SUBJECT_LEN>().0
    }

    pub(crate) fn get(self, position: u32) -> Result<&'a Subject, Corrupt> {
        get(self.all(), position)
    }
}

impl<'a> Segment<'a> {
    /// Decodes a segment.
    ///
    /// # Errors
    /// [`Corrupt`] when it is no segment.
    pub fn decode(encoded: &'a [u8]) -> Result<Self, Corrupt> {
        let (subjects, rest) = Subjects::decode(encoded)?;
        Self::decode_rest(subjects, rest)
    }

    /// Decodes a segment if it mentions the subject; `None` if it does not.
    ///
    /// # Errors
    /// [`Corrupt`] when it is no segment.
    pub fn decode_if_mentions(
        encoded: &'a [u8],
        subject: &Subject,
    ) -> Result<Option<Self>, Corrupt> {
        let (subjects, rest) = Subjects::decode(encoded)?;
        if subjects.all().contains(subject) {
            Self::decode_rest(subjects, rest).map(Some)
        } else {
            Ok(None)
        }
    }

    fn decode_rest(subjects: Subjects<'a>, rest: &'a [u8]) -> Result<Self, Corrupt> {
        let (mut rest, behind): (Rest<'a>, _) =
            postcard::take_from_bytes(rest).map_err(|_| CORRUPT)?;
        if behind.is_empty() {
            return Ok(Self {
                subjects,
                rest,
                prefixes: Vec::new(),
            });
        }
        let secrets: Secrets<'a> = postcard::from_bytes(behind).map_err(|_| CORRUPT)?;
        if secrets.of_entries.len() != rest.entries.len() {
            return Err(CORRUPT);
        }
        for (entry, secret) in rest.entries.iter_mut().zip(secrets.of_entries) {
            entry.secret = secret;
        }
        Ok(Self {
            subjects,
            rest,
            prefixes: secrets.prefixes,
        })
    }

    /// The events, sorted by id.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.rest.entries
    }

    /// The event of an entry of this segment.
    ///
    /// # Errors
    /// [`Corrupt`] when it refers to what the segment does not have, or to a value that no version knows.
    pub fn event(&self, entry: &Entry<'_>) -> Result<Event, Corrupt> {
        let org_id = entry
            .org
            .map(|position| self.id::<OrgId>(SubjectKind::Org, position))
            .transpose()?;
        Ok(Event {
            id: EventId::from_ulid(entry.id()),
            occurred_at: timestamp::time(entry.micros())?,
            actor: self.actor(entry.actor)?,
            action: self
                .word(entry.action)?
                .parse()
                .map_err(|_| Corrupt("the action of an event"))?,
            target: Target {
                kind: TargetKind::parse(self.word(entry.target_kind)?)
                    .ok_or(Corrupt("the target of an event"))?,
                id: self.target(&entry.target, org_id)?,
            },
            org_id,
            outcome: self
                .word(entry.outcome)?
                .parse()
                .map_err(|_| Corrupt("the outcome of an event"))?,
            request: entry
                .request
                .as_ref()
                .map(|request| self.request(request, self.key_prefix(entry)?))
                .transpose()?,
            details: match &entry.details {
                None => Details::new(),
                Some(text) => {
                    serde_json::from_str(text).map_err(|_| Corrupt("the details of an event"))?
                }
            },
        })
    }

    fn actor(&self, actor: ActorEntry) -> Result<Actor, Corrupt> {
        Ok(match actor {
            ActorEntry::Key { key, partner } => Actor::PartnerKey {
                id: self.id::<KeyId>(SubjectKind::Key, key)?,
                partner_id: self.id::<PartnerId>(SubjectKind::Partner, partner)?,
            },
            ActorEntry::Admin { key } => Actor::Admin {
                id: self.id::<AdminKeyId>(SubjectKind::Admin, key)?,
            },
            ActorEntry::System { partner } => Actor::System {
                partner_id: partner
                    .map(|position| self.id(SubjectKind::Partner, position))
                    .transpose()?,
            },
        })
    }

    fn target(
        &self,
        target: &TargetEntry<'_>,
        org: Option<OrgId>,
    ) -> Result<Option<Arc<str>>, Corrupt> {
        Ok(match target {
            TargetEntry::None => None,
            TargetEntry::SameOrg => Some(org.ok_or(CORRUPT)?.to_string().into()),
            TargetEntry::Id(prefix, id) => {
                Some(format!("{}_{}", self.word(*prefix)?, id_from_bytes(*id)).into())
            }
            TargetEntry::Text(text) => Some((*text).into()),
        })
    }

    /// The first characters of the secret that an entry's request was authenticated by.
    fn key_prefix(&self, entry: &Entry<'_>) -> Result<Option<Arc<str>>, Corrupt> {
        match entry.secret.checked_sub(1) {
            None => Ok(None),
            Some(position) => get(&self.prefixes, position).map(|text| Some((*text).into())),
        }
    }

    fn request(
        &self,
        request: &RequestEntry<'_>,
        key_prefix: Option<Arc<str>>,
    ) -> Result<Request, Corrupt> {
        Ok(Request {
            id: match request.id {
                RequestIdEntry::Generated(id) => {
                    RequestId::from_ulid(id_from_bytes(id)).to_string().into()
                }
                RequestIdEntry::FromClient(text) => text.into(),
            },
            method: self.word(request.method)?.to_owned().into(),
            route: self.word(request.route)?.to_owned().into(),
            ip: match request.address {
                NO_ADDRESS => None,
                position => Some(*get(&self.rest.addresses, position)?),
            },
            user_agent: request
                .user_agent
                .map(|position| self.word(position).map(Arc::from))
                .transpose()?,
            status_code: request.status_code,
            key_prefix,
        })
    }

    fn word(&self, position: u32) -> Result<&'a str, Corrupt> {
        get(&self.rest.words, position).copied()
    }

    fn id<I: TypedId>(&self, kind: SubjectKind, position: u32) -> Result<I, Corrupt> {
        match self.subjects.get(position)?.split_first_chunk::<1>() {
            Some(([byte], id)) if *byte == kind.byte() => {
                let id = id.try_into().map_err(|_| CORRUPT)?;
                Ok(I::from_ulid(id_from_bytes(id)))
            }
            Some(_) | None => Err(CORRUPT),
        }
    }
}

impl Entry<'_> {
    /// The id of the event.
    #[must_use]
    pub fn id(&self) -> Ulid {
        id_from_bytes(self.id)
    }

    /// The time of the event, in microseconds since 1970.
    #[must_use]
    pub fn micros(&self) -> i64 {
        id_micros(self.id()).saturating_add(self.after_id)
    }

    /// The same of an event that is encoded.
    pub(crate) fn micros_after_id(event: &Event) -> i64 {
        micros(event.occurred_at).saturating_sub(id_micros(event.id.ulid()))
    }
}

pub(crate) fn get<T>(list: &[T], position: u32) -> Result<&T, Corrupt> {
    usize::try_from(position)
        .ok()
        .and_then(|position| list.get(position))
        .ok_or(CORRUPT)
}
