//! Random events and postings survive the formats; random bytes do no harm.

#![expect(clippy::unwrap_used, reason = "this is test code")]

use audit::{Action, Actor, Details, Event, Outcome, Request, Target, TargetKind};
use audit_log::{
    EncodedSegment, PageBuilder, Segment, Slot, Subject, read_page, slots_of, subjects_of,
};
use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId, TypedId as _, Ulid};
use proptest::{collection::vec, option, prelude::*};
use time::OffsetDateTime;

fn ulids() -> impl Strategy<Value = Ulid> {
    // Few, so that they repeat within a segment, and any.
    prop_oneof![
        (0..4_u128).prop_map(Ulid::from),
        any::<u128>().prop_map(Ulid::from)
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,3}",
        "\\PC{0,40}",
        ulids().prop_map(|id| format!("org_{id}")),
        ulids().prop_map(|id| format!("req_{id}")),
    ]
}

fn actors() -> impl Strategy<Value = Actor> {
    prop_oneof![
        (ulids(), ulids()).prop_map(|(key, partner)| Actor::PartnerKey {
            id: KeyId::from_ulid(key),
            partner_id: PartnerId::from_ulid(partner),
        }),
        ulids().prop_map(|id| Actor::Admin {
            id: AdminKeyId::from_ulid(id),
        }),
        option::of(ulids()).prop_map(|id| Actor::System {
            partner_id: id.map(PartnerId::from_ulid),
        }),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    (
        (texts(), texts(), texts()),
        option::of(any::<std::net::IpAddr>()),
        option::of(texts()),
        any::<u16>(),
        option::of(texts()),
    )
        .prop_map(
            |((id, method, route), ip, user_agent, status_code, key_prefix)| Request {
                id: id.into(),
                method: method.into(),
                route: route.into(),
                ip,
                user_agent: user_agent.map(Into::into),
                status_code,
                key_prefix: key_prefix.map(Into::into),
            },
        )
}

fn events() -> impl Strategy<Value = Event> {
    const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Denied, Outcome::Failed];
    const ACTIONS: [Action; 3] = [Action::OrgStatus, Action::KeyRevoke, Action::OrgCreate];
    const KINDS: [TargetKind; 3] = [TargetKind::Org, TargetKind::Route, TargetKind::PartnerKey];
    (
        (ulids(), -1_000_000_000_000_000..4_000_000_000_000_000_i64),
        actors(),
        (
            prop::sample::select(ACTIONS.to_vec()),
            prop::sample::select(OUTCOMES.to_vec()),
        ),
        (prop::sample::select(KINDS.to_vec()), option::of(texts())),
        option::of(ulids()),
        option::of(requests()),
        vec((texts(), texts()), 0..3),
    )
        .prop_map(
            |((id, micros), actor, (action, outcome), (kind, target), org, request, details)| {
                Event {
                    id: EventId::from_ulid(id),
                    occurred_at: OffsetDateTime::from_unix_timestamp_nanos(
                        i128::from(micros) * 1000,
                    )
                    .unwrap(),
                    actor,
                    action,
                    target: Target {
                        kind,
                        id: target.map(Into::into),
                    },
                    org_id: org.map(OrgId::from_ulid),
                    outcome,
                    request,
                    details: details
                        .into_iter()
                        .map(|(name, value)| (name, value.into()))
                        .collect::<Details>(),
                }
            },
        )
}

fn encode(events: &[Event]) -> Vec<u8> {
    let encoded = EncodedSegment::new(&events.iter().collect::<Vec<_>>());
    encoded.unwrap().unwrap().body
}

/// Decodes as much as can be decoded.
fn decode_all(bytes: &[u8]) -> Vec<Event> {
    let _ = subjects_of(bytes);
    let _ = Segment::decode_if_mentions(bytes, &[1; 17]);
    let Ok(segment) = Segment::decode(bytes) else {
        return Vec::new();
    };
    let entries = segment.entries().iter();
    entries
        .filter_map(|entry| segment.event(entry).ok())
        .collect()
}

/// Some alike, some not.
fn subjects() -> impl Strategy<Value = Subject> {
    (0..17_usize, any::<Subject>()).prop_map(|(from, random)| {
        let mut subject = [7; 17];
        for (byte, random) in subject.iter_mut().zip(random).skip(from) {
            *byte = random;
        }
        subject
    })
}

proptest! {
    #[test]
    fn events_survive(mut events in vec(events(), 1..40)) {
        events.sort_by_key(|event| event.id);
        let bytes = encode(&events);
        prop_assert_eq!(decode_all(&bytes), events);
    }

    /// Whatever is made of damaged bytes can be written and read again.
    #[test]
    fn damaged_segments_do_no_harm(
        events in vec(events(), 1..10),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = encode(&events);
        for (position, byte) in damage {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let decoded = decode_all(&bytes);
        if !decoded.is_empty() {
            prop_assert_eq!(decode_all(&encode(&decoded)), decoded);
        }
    }

    #[test]
    fn postings_survive(mut postings in vec((subjects(), 1000..u64::MAX / 2), 1..400)) {
        postings.sort_unstable();
        postings.dedup();
        let mut builder = PageBuilder::new(Slot::new(1000));
        for (subject, slot) in &postings {
            builder.push((*subject, Slot::new(*slot))).unwrap();
        }
        let pages = builder.end().unwrap();
        let decoded = pages.iter().flat_map(|page| read_page(&page.body).unwrap());
        let decoded: Vec<_> = decoded.map(|(subject, slot)| (subject, slot.number())).collect();
        prop_assert_eq!(decoded, postings);
    }

    #[test]
    fn random_bytes_do_no_harm(mut bytes in vec(any::<u8>(), 0..400), version in any::<bool>()) {
        if version && let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        decode_all(&bytes);
        let _ = read_page(&bytes);
        let _ = slots_of(&bytes, &[1; 17]);
    }
}
