//! The events: polls of an org's status by keys chosen at random.

use std::net::IpAddr;

use audit::{
    Action, Actor, ActorId, AuditVisibility, Details, Event, EventFilter, Outcome, Request, Target,
    TargetKind,
};
use ids::{EventId, KeyId, OrgId, PartnerId, RequestId, Sequence, TypedId as _, Ulid};
use rand_core::{Rng as _, UnwrapErr};
use testkit::random::SeededRandom;
use time::OffsetDateTime;

const KEYS_OF_A_PARTNER: u32 = 10;
const ORGS_OF_A_KEY: u32 = 2;

fn partner(key: u32) -> PartnerId {
    PartnerId::from_ulid(Ulid::from((1 << 80) + u128::from(key / KEYS_OF_A_PARTNER)))
}

fn key_id(key: u32) -> KeyId {
    KeyId::from_ulid(Ulid::from((2 << 80) + u128::from(key)))
}

fn org(key: u32, number: u32) -> OrgId {
    let number = u128::from(key) * u128::from(ORGS_OF_A_KEY) + u128::from(number);
    OrgId::from_ulid(Ulid::from((3 << 80) + number))
}

/// The lists that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    OfKey,
    OfOrg,
    OfPartner,
    Everything,
    /// By an action that no event has: the page ends when its budget is used up.
    Rare,
}

impl List {
    pub(crate) const ALL: [Self; 5] = [
        Self::OfKey,
        Self::OfOrg,
        Self::OfPartner,
        Self::Everything,
        Self::Rare,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OfKey => "key",
            Self::OfOrg => "org",
            Self::OfPartner => "partner",
            Self::Everything => "all",
            Self::Rare => "no match",
        }
    }
}

/// Makes events as they come in a server: their ids rise.
pub(crate) struct Source {
    keys: u32,
    sequence: Sequence,
    random: SeededRandom,
}

impl Source {
    pub(crate) const fn new(keys: u32, seed: u64) -> Self {
        Self {
            keys,
            sequence: Sequence::new(),
            random: SeededRandom::new(seed),
        }
    }

    fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end.max(1)
    }

    /// The filter of a list, for a key chosen at random.
    pub(crate) fn filter(&mut self, list: List) -> EventFilter {
        let key = self.below(self.keys);
        let all = EventFilter::all(AuditVisibility::All);
        match list {
            List::OfKey => EventFilter {
                actor: Some(ActorId::Key(key_id(key))),
                ..EventFilter::all(AuditVisibility::Partner(partner(key)))
            },
            List::OfOrg => EventFilter {
                org_id: Some(org(key, self.below(ORGS_OF_A_KEY))),
                ..EventFilter::all(AuditVisibility::Partner(partner(key)))
            },
            List::OfPartner => EventFilter::all(AuditVisibility::Partner(partner(key))),
            List::Everything => all,
            List::Rare => EventFilter {
                action: Some(Action::KeyRevoke),
                ..all
            },
        }
    }

    pub(crate) fn next(&mut self) -> Event {
        let key = self.below(self.keys);
        let org_id = org(key, self.below(ORGS_OF_A_KEY));
        let now = OffsetDateTime::now_utc();
        let ms = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let mut random = UnwrapErr(getrandom::SysRng);
        let id: EventId = self.sequence.next(ms, &mut random);
        let request: RequestId = self.sequence.next(ms, &mut random);
        let [.., high, low] = (key / KEYS_OF_A_PARTNER).to_be_bytes();
        Event {
            id,
            occurred_at: now
                .replace_nanosecond(now.microsecond() * 1000)
                .unwrap_or(now),
            actor: Actor::PartnerKey {
                id: key_id(key),
                partner_id: partner(key),
            },
            action: Action::OrgStatus,
            target: Target::one(TargetKind::Org, org_id),
            org_id: Some(org_id),
            outcome: Outcome::Success,
            request: Some(Request {
                id: request.to_string().into(),
                method: "GET".into(),
                route: "/cp/orgs/{id}/status".into(),
                ip: Some(IpAddr::from([10, 0, high, low])),
                user_agent: Some("molctl/1.0 (linux; x86_64)".into()),
                status_code: 200,
                key_prefix: Some(format!("mol_pk_{:05}", key % 100_000).into()),
            }),
            details: Details::new(),
        }
    }
}
