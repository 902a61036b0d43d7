//! The events: polls of an org's status by the keys of many partners.

use std::net::IpAddr;

use audit::{Action, Actor, Details, Event, Outcome, Request, Target, TargetKind};
use ids::{EventId, KeyId, OrgId, PartnerId, RequestId, Sequence, TypedId as _, Ulid};
use rand_core::UnwrapErr;
use time::OffsetDateTime;

/// How many partners there are.
pub const PARTNERS: u128 = 100;
/// How many keys each of them has.
const KEYS: u128 = 2;
/// How many orgs each of them has.
const ORGS: u128 = 20;
/// One event of this many is of a partner that is seldom seen.
const SELDOM: u128 = 20_000;

/// The partner of this number; the one behind the last is seldom seen.
pub fn partner(number: u128) -> PartnerId {
    PartnerId::from_ulid(Ulid::from((1 << 80) + number))
}

/// A key of a partner.
pub fn key(partner: u128, number: u128) -> KeyId {
    KeyId::from_ulid(Ulid::from((2 << 80) + partner * KEYS + number))
}

/// An org of a partner.
pub fn org(partner: u128, number: u128) -> OrgId {
    OrgId::from_ulid(Ulid::from((3 << 80) + partner * ORGS + number))
}

/// Makes events as they come in a server: their ids rise.
pub struct Source {
    sequence: Sequence,
    count: u128,
}

impl Source {
    /// A source that has made nothing yet.
    pub const fn new() -> Self {
        Self {
            sequence: Sequence::new(),
            count: 0,
        }
    }

    /// The next event.
    pub fn next(&mut self) -> Event {
        self.count += 1;
        let partner_number = if self.count.is_multiple_of(SELDOM) {
            PARTNERS
        } else {
            self.count % PARTNERS
        };
        let org_id = org(partner_number, self.count / PARTNERS % ORGS);
        let now = OffsetDateTime::now_utc();
        let ms = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let mut random = UnwrapErr(getrandom::SysRng);
        let id: EventId = self.sequence.next(ms, &mut random);
        let request: RequestId = self.sequence.next(ms, &mut random);
        Event {
            id,
            occurred_at: now
                .replace_nanosecond(now.microsecond() * 1000)
                .unwrap_or(now),
            actor: Actor::PartnerKey {
                id: key(partner_number, self.count / PARTNERS % KEYS),
                partner_id: partner(partner_number),
            },
            action: Action::OrgStatus,
            target: Target::one(TargetKind::Org, org_id),
            org_id: Some(org_id),
            outcome: Outcome::Success,
            request: Some(Request {
                id: request.to_string().into(),
                method: "GET".into(),
                route: "/cp/orgs/{id}/status".into(),
                ip: Some(IpAddr::from([
                    10,
                    0,
                    0,
                    u8::try_from(partner_number).unwrap_or_default(),
                ])),
                user_agent: Some("molctl/1.0 (linux; x86_64)".into()),
                status_code: 200,
            }),
            details: Details::new(),
        }
    }
}
