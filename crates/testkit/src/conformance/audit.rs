//! Audit events: written once, kept as they are.

use audit::{
    Action, Actor, AuditVisibility, Details, Event, EventFilter, Outcome, Request, Target,
};
use ids::EventId;
use serde_json::json;
use stores::{Database, StoreError, prelude::*};

use super::fixture::{ALL, Fixture, at, at_once, ids_of};
use crate::build::Build;

async fn all_events<D: Database>(fixture: &Fixture<D>) -> Vec<Event> {
    let filter = EventFilter::all(AuditVisibility::All);
    let page = fixture.read(move |view| view.events(&filter, ALL)).await;
    assert_eq!(page.next, None);
    page.items
}

fn details(value: &serde_json::Value) -> Details {
    value.as_object().unwrap().clone()
}

fn events_with_all_fields(build: &Build) -> Vec<Event> {
    let partner_id = build.id();
    let bare = Event {
        request: None,
        ..build.event_by(Actor::System { partner_id: None })
    };
    let of_system = Actor::System {
        partner_id: Some(partner_id),
    };
    let of_key = Actor::PartnerKey {
        id: build.id(),
        partner_id,
    };
    let org_id = Some(build.id());
    let system = Event {
        occurred_at: at(1),
        action: Action::OrgFailed,
        target: Target::one(audit::TargetKind::Org, build.id::<ids::OrgId>()),
        org_id,
        outcome: Outcome::Failed,
        request: None,
        ..build.event_by(of_system)
    };
    let full = Event {
        occurred_at: at(-123_456),
        target: Target::one(audit::TargetKind::Route, "日本/%_'\""),
        org_id,
        outcome: Outcome::Denied,
        request: Some(Request {
            id: "the client's own ✓".into(),
            method: "PATCH".into(),
            route: "/v1/orgs/{org_id}".into(),
            ip: Some("2001:db8::7".parse().unwrap()),
            user_agent: Some("Ünï \"agent\"/1.0".into()),
            status_code: 599,
            key_prefix: None,
        }),
        details: details(&json!({
            "count": 9_007_199_254_740_993_u64,
            "ratio": 1.5,
            "nested": {"list": [1, null, true, "日本"], "empty": {}},
            "quote": "\"'\\ %",
        })),
        ..build.event_by(of_key)
    };
    let admin = Event {
        request: Some(Request {
            user_agent: None,
            ip: Some("203.0.113.7".parse().unwrap()),
            ..build.request()
        }),
        ..build.event_by(Actor::Admin { id: build.id() })
    };
    let from_nowhere = Event {
        request: Some(Request {
            ip: None,
            ..build.request()
        }),
        ..build.event_by(Actor::Admin { id: build.id() })
    };
    vec![bare, system, full, admin, from_nowhere]
}

/// Every kind of actor, and every field set and left out, by both ways of writing.
pub async fn an_event_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut expect = Vec::new();
    for event in events_with_all_fields(&fixture.build) {
        fixture.add_event(&event).await;
        expect.insert(0, event);
    }
    for event in events_with_all_fields(&fixture.build) {
        fixture.db.append(Box::new(event.clone())).await.unwrap();
        expect.insert(0, event);
    }
    assert_eq!(all_events(&fixture).await, expect);
}

/// No name is lost between here and there.
pub async fn an_event_of_every_action_target_and_outcome_is_kept<D: Database>(db: D) {
    use audit::TargetKind::{
        AdminKey, AuditEvent, AuditLog, Org, Partner, PartnerKey, Route, Workspace,
    };
    let fixture = Fixture::new(db);
    let system = Actor::System { partner_id: None };
    let mut events = Vec::new();
    for &action in Action::ALL {
        let event = fixture.build.event_by(system);
        events.insert(0, Event { action, ..event });
    }
    for kind in [
        Partner, PartnerKey, AdminKey, Org, Workspace, AuditLog, AuditEvent, Route,
    ] {
        for target in [Target::all(kind), Target::one(kind, "x")] {
            let event = fixture.build.event_by(system);
            events.insert(0, Event { target, ..event });
        }
    }
    for outcome in [Outcome::Success, Outcome::Denied, Outcome::Failed] {
        let event = fixture.build.event_by(system);
        events.insert(0, Event { outcome, ..event });
    }
    let expect = events.clone();
    fixture
        .write(move |tx| {
            events
                .iter()
                .try_for_each(|event| tx.event_record(event).map(drop))
        })
        .await;
    assert_eq!(all_events(&fixture).await, expect);
}

/// The same event with a higher count takes the place of the one before, in its details alone.
pub async fn a_folded_event_is_counted_on_and_not_doubled<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let first = fixture.build.event_by(Actor::System { partner_id: None });
    let other = fixture.build.event_by(Actor::System { partner_id: None });
    for count in 1..=3 {
        for event in [&first, &other] {
            let counted = Event {
                occurred_at: at(count),
                details: details(&json!({"count": count, format!("only {count}"): true})),
                ..event.clone()
            };
            fixture.write(move |tx| tx.event_fold(&counted)).await;
        }
    }
    let expect = |event: &Event| Event {
        occurred_at: at(1),
        details: details(&json!({"count": 3, "only 3": true})),
        ..event.clone()
    };
    let actual = all_events(&fixture).await;
    assert_eq!(actual, [expect(&other), expect(&first)]);
}

/// The answer leaves when the event is there, so whoever asks next sees it.
pub async fn an_appended_event_is_seen_at_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    for count in 1..=5 {
        let event = fixture.build.event(&key);
        fixture.db.append(Box::new(event.clone())).await.unwrap();
        let actual = all_events(&fixture).await;
        assert_eq!((actual.first(), actual.len()), (Some(&event), count));
    }
}

/// None is lost in a batch.
pub async fn many_events_appended_at_once_are_all_there<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let events: Vec<Event> = (0..200)
        .map(|_| fixture.build.event_by(Actor::System { partner_id: None }))
        .collect();
    let results = at_once(events.len(), |n| {
        let (db, event) = (fixture.db.clone(), events.get(n).unwrap().clone());
        async move { db.append(Box::new(event)).await }
    });
    for result in results.await {
        result.unwrap();
    }
    let mut expect: Vec<EventId> = ids_of(&events, |event| event.id);
    expect.reverse();
    let actual = all_events(&fixture).await;
    assert_eq!(ids_of(&actual, |event| event.id), expect);
}

/// No event without its change.
pub async fn an_event_of_a_rolled_back_transaction_is_gone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let event = fixture.build.event_by(Actor::System { partner_id: None });
    let refused = fixture.db.write(move |tx| {
        tx.event_record(&event)?;
        Err::<(), _>(StoreError::Overloaded)
    });
    assert!(refused.await.is_err());
    assert_eq!(all_events(&fixture).await, []);
}
