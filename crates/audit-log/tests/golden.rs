//! A segment and a page of every version ever written, which must stay readable.

#![expect(clippy::unwrap_used, reason = "this is test code")]

use std::{fs, net::IpAddr, path::PathBuf};

use audit::{Action, Actor, Details, Event, Outcome, Request, Target, TargetKind};
use audit_log::{EncodedSegment, PageBuilder, Posting, Segment, Slot, key, read_page};
use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId, RequestId, TypedId as _, Ulid};
use time::OffsetDateTime;

fn ulid(number: u128) -> Ulid {
    Ulid::from_parts(
        1_790_000_000_000 + u64::try_from(number % 1000).unwrap(),
        number,
    )
}

fn event(number: u128, actor: Actor) -> Event {
    let id = ulid(number);
    Event {
        id: EventId::from_ulid(id),
        occurred_at: OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap(),
        actor,
        action: Action::OrgStatus,
        target: Target::all(TargetKind::Org),
        org_id: None,
        outcome: Outcome::Success,
        request: None,
        details: Details::new(),
    }
}

/// Events that use each kind of actor, target, request and address.
fn events() -> Vec<Event> {
    let partner_id = PartnerId::from_ulid(ulid(900));
    let org_id = OrgId::from_ulid(ulid(901));
    let key = Actor::PartnerKey {
        id: KeyId::from_ulid(ulid(902)),
        partner_id,
    };
    let admin = Actor::Admin {
        id: AdminKeyId::from_ulid(ulid(903)),
    };
    let request = Request {
        id: RequestId::from_ulid(ulid(904)).to_string().into(),
        method: "GET".into(),
        route: "/cp/orgs/{id}/status".into(),
        ip: Some(IpAddr::from([192, 0, 2, 7])),
        user_agent: Some("molctl/1.0".into()),
        status_code: 200,
        key_prefix: None,
    };
    let mut details = Details::new();
    details.insert("count".into(), 3.into());
    vec![
        Event {
            org_id: Some(org_id),
            target: Target::one(TargetKind::Org, org_id),
            request: Some(request.clone()),
            ..event(1, key)
        },
        Event {
            target: Target::one(TargetKind::PartnerKey, KeyId::from_ulid(ulid(905))),
            action: Action::KeyRevoke,
            outcome: Outcome::Denied,
            request: Some(Request {
                id: "chosen by the client".into(),
                method: "DELETE".into(),
                ip: Some("2001:db8::1".parse().unwrap()),
                user_agent: None,
                status_code: 409,
                ..request.clone()
            }),
            ..event(2, admin)
        },
        Event {
            target: Target::one(TargetKind::Org, "no id at all"),
            outcome: Outcome::Failed,
            request: Some(Request {
                ip: None,
                status_code: 500,
                ..request
            }),
            details,
            ..event(3, key)
        },
        event(4, Actor::System { partner_id: None }),
        Event {
            occurred_at: OffsetDateTime::from_unix_timestamp_nanos(1_789_999_999_123_456_000)
                .unwrap(),
            ..event(
                5,
                Actor::System {
                    partner_id: Some(partner_id),
                },
            )
        },
    ]
}

/// The bytes of a golden file, which is recorded when it is not there yet.
fn golden(name: &str, encode: impl Fn() -> Vec<u8>) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(name);
    if std::env::var_os("RECORD_GOLDEN").is_some() && !path.exists() {
        fs::write(&path, encode()).unwrap();
    }
    fs::read(&path).unwrap()
}

fn encode_segment() -> EncodedSegment {
    encode(&events())
}

fn encode(events: &[Event]) -> EncodedSegment {
    let encoded = EncodedSegment::new(&events.iter().collect::<Vec<_>>());
    encoded.unwrap().unwrap()
}

/// Subjects alike and not, slots near and far, and more of one subject than a group has.
fn postings() -> Vec<Posting> {
    let slot = |number: u64| Slot::new(200_000_000_000 + number);
    let mut alike = [2; 17];
    alike[16] = 3;
    let mut postings = vec![
        ([1; 17], slot(0)),
        ([2; 17], slot(7)),
        (alike, slot(1 << 20)),
    ];
    postings.extend((0..100).map(|number| ([4; 17], slot(number * 3))));
    postings
}

fn encode_page() -> (Vec<u8>, Vec<u8>) {
    let mut builder = PageBuilder::new(Slot::new(200_000_000_000));
    for posting in postings() {
        builder.push(posting).unwrap();
    }
    let page = builder.end().unwrap().pop().unwrap();
    (page.first, page.body)
}

#[test]
fn segment_version_1_is_readable_and_is_what_is_written() {
    let bytes = golden("segment-v1.bin", || encode_segment().body);
    let segment = Segment::decode(&bytes).unwrap();
    let entries = segment.entries().iter();
    let decoded: Vec<Event> = entries.map(|entry| segment.event(entry).unwrap()).collect();
    assert_eq!(decoded, events());
    let encoded = encode_segment();
    assert_eq!(encoded.body, bytes);
    assert_eq!(encoded.events, 5);
    assert_eq!(encoded.second, 1_790_000_000);
}

/// The first event of each prefix, and one without.
fn events_with_secrets() -> Vec<Event> {
    let mut events = events();
    for (event, prefix) in events.iter_mut().zip(["mol_pk_12345", "", "mol_pk_67890"]) {
        if let Some(request) = event.request.as_mut().filter(|_| !prefix.is_empty()) {
            request.key_prefix = Some(prefix.into());
        }
    }
    events
}

#[test]
fn segment_version_1_with_secrets_is_readable_and_is_what_is_written() {
    let bytes = golden("segment-v1-secrets.bin", || {
        encode(&events_with_secrets()).body
    });
    let segment = Segment::decode(&bytes).unwrap();
    let entries = segment.entries().iter();
    let decoded: Vec<Event> = entries.map(|entry| segment.event(entry).unwrap()).collect();
    assert_eq!(decoded, events_with_secrets());
    assert_eq!(encode(&events_with_secrets()).body, bytes);
    // For readers from before, who ignore what comes behind the entries.
    assert!(bytes.starts_with(&encode_segment().body));
}

#[test]
fn page_version_1_is_readable_and_is_what_is_written() {
    let bytes = golden("page-v1.bin", || encode_page().1);
    assert_eq!(read_page(&bytes).unwrap(), postings());
    let (first, body) = encode_page();
    assert_eq!(body, bytes);
    assert_eq!(first, key(&postings()[0]));
}
