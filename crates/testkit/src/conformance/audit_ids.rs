//! Events that are looked up: by their own ids, and by those of their requests.

use std::sync::Arc;

use audit::{Actor, AuditVisibility, Event, EventFilter, Outcome, Request};
use ids::{EventId, RequestId, TypedId as _, Ulid};
use stores::{Database, StoreError, prelude::*};
use time::Duration;

use super::fixture::{ALL, Fixture, at, ids_of};

async fn found<D: Database>(
    fixture: &Fixture<D>,
    visibility: AuditVisibility,
    id: EventId,
) -> Option<Event> {
    fixture.read(move |view| view.event(visibility, id)).await
}

/// What a list would not show is not found either.
pub async fn an_event_is_found_by_its_id_within_the_visibility_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let build = &fixture.build;
    let (p, q, org) = (build.id(), build.id(), build.id());
    let of_key = Actor::PartnerKey {
        id: build.id(),
        partner_id: p,
    };
    let about_org = Event {
        org_id: Some(org),
        ..build.event_by(of_key)
    };
    let about_none = build.event_by(of_key);
    let of_system = build.event_by(Actor::System {
        partner_id: Some(p),
    });
    let of_admin = build.event_by(Actor::Admin { id: build.id() });
    let folded = build.event_by(of_key);
    let events = [&about_org, &about_none, &of_system, &of_admin, &folded];
    for event in [&about_org, &about_none, &of_system, &of_admin] {
        fixture.add_event(event).await;
    }
    let fold = folded.clone();
    fixture.write(move |tx| tx.event_fold(&fold)).await;
    for (visibility, seen) in [
        (AuditVisibility::All, &events[..]),
        (
            AuditVisibility::Partner(p),
            &[&about_org, &about_none, &of_system, &folded],
        ),
        (AuditVisibility::Partner(q), &[]),
        (AuditVisibility::Org(p, org), &[&about_org]),
        (AuditVisibility::Org(p, build.id()), &[]),
        (AuditVisibility::Org(q, org), &[]),
    ] {
        for event in events {
            let expect = seen.contains(&event).then_some(event);
            let actual = found(&fixture, visibility, event.id).await;
            assert_eq!(actual.as_ref(), expect, "{visibility:?}");
        }
    }
    assert_eq!(
        found(&fixture, AuditVisibility::All, build.id()).await,
        None
    );
}

/// Whatever company they were written in, also within the transaction that writes them.
pub async fn each_of_many_events_is_found_by_its_id<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let system = Actor::System { partner_id: None };
    // Segments that overlap, and one that is as long as they get.
    let starts: [(u128, u64); 4] = [(0, 100), (1, 100), (2, 60_000), (3, 7)];
    let mut all = Vec::new();
    for (n, step) in starts {
        let events: Vec<Event> = (0..3)
            .map(|part: u64| Event {
                id: EventId::from_ulid(Ulid::from_parts(1_700_000_000_000 + part * step / 2, n)),
                ..fixture.build.event_by(system)
            })
            .collect();
        all.extend(events.clone());
        fixture
            .write(move |tx| {
                events
                    .iter()
                    .try_for_each(|event| tx.event_record(event).map(drop))?;
                for event in &events {
                    let actual = tx.event(AuditVisibility::All, event.id)?;
                    assert_eq!(actual.as_ref(), Some(event));
                }
                Ok::<_, StoreError>(())
            })
            .await;
    }
    for event in all {
        let actual = found(&fixture, AuditVisibility::All, event.id).await;
        assert_eq!(actual, Some(event));
    }
    for ms in [1_699_999_999_999, 1_700_000_000_025, 1_700_000_060_001] {
        let id = EventId::from_ulid(Ulid::from_parts(ms, 0));
        assert_eq!(found(&fixture, AuditVisibility::All, id).await, None);
    }
}

/// The client's own ids and ours, of events and folded ones.
pub async fn events_are_found_by_the_id_of_their_request<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let build = &fixture.build;
    let partner_id = build.id();
    let by = |id: Arc<str>, partner_id| Event {
        request: Some(Request {
            id,
            ..build.request()
        }),
        ..build.event_by(Actor::PartnerKey {
            id: build.id(),
            partner_id,
        })
    };
    let ours: Arc<str> = build.id::<RequestId>().to_string().into();
    let other: Arc<str> = build.id::<RequestId>().to_string().into();
    let clients: Arc<str> = "build-17_a.b".into();
    let one = by(Arc::clone(&ours), partner_id);
    let two = by(Arc::clone(&clients), partner_id);
    let foreign = by(Arc::clone(&clients), build.id());
    let without = Event {
        request: None,
        ..build.event_by(Actor::System { partner_id: None })
    };
    for event in [&one, &two, &foreign, &without, &by(other, partner_id)] {
        fixture.add_event(event).await;
    }
    let folded = by(Arc::clone(&clients), partner_id);
    let fold = folded.clone();
    fixture.write(move |tx| tx.event_fold(&fold)).await;
    let all = AuditVisibility::All;
    let of_partner = AuditVisibility::Partner(partner_id);
    for (visibility, id, expect) in [
        (all, &ours, &[one.id][..]),
        (all, &clients, &[folded.id, foreign.id, two.id]),
        (of_partner, &clients, &[folded.id, two.id]),
        (all, &"build-17".into(), &[]),
        (all, &ours.to_lowercase().into(), &[]),
    ] {
        let filter = EventFilter {
            request_id: Some(Arc::clone(id)),
            ..EventFilter::all(visibility)
        };
        let page = fixture.read(move |view| view.events(&filter, ALL)).await;
        assert_eq!(ids_of(&page.items, |event| event.id), expect, "{id}");
    }
}

/// After the clock was set back by days: ids rise, and times are what the clock tells.
pub async fn events_whose_ids_run_ahead_of_their_times_are_found_and_pruned<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let system = Actor::System { partner_id: None };
    let days = |days: i64, micros: i64| at(micros) + Duration::days(days);
    let mut events = Vec::new();
    for (days_back, folded) in [(0, false), (3, false), (3, true), (2, false), (0, false)] {
        let event = Event {
            occurred_at: days(-days_back, i64::try_from(events.len()).unwrap()),
            ..fixture.build.event_by(system)
        };
        let written = event.clone();
        if folded {
            fixture.write(move |tx| tx.event_fold(&written)).await;
        } else {
            fixture.add_event(&written).await;
        }
        events.push(event);
    }
    for (since, until) in [(-4, -3), (-4, -2), (-3, -2), (-2, -1), (-3, 1), (0, 1)] {
        let filter = EventFilter {
            since: Some(days(since, 10)),
            until: Some(days(until, 10)),
            ..EventFilter::all(AuditVisibility::All)
        };
        let expect = events.iter().filter(|event| filter.includes(event));
        let mut expect: Vec<EventId> = expect.map(|event| event.id).collect();
        let (asked, upwards) = (filter.clone(), filter.clone());
        let page = fixture
            .read(move |view| view.events_oldest_first(&upwards, ALL))
            .await;
        assert_eq!(
            ids_of(&page.items, |event| event.id),
            expect,
            "{since} to {until}"
        );
        expect.reverse();
        let page = fixture.read(move |view| view.events(&asked, ALL)).await;
        assert_eq!(
            ids_of(&page.items, |event| event.id),
            expect,
            "{since} to {until}"
        );
    }
    let mut after = None;
    let mut deleted = 0;
    loop {
        let part = fixture
            .write(move |tx| tx.events_prune(days(-2, 10), after, 1))
            .await;
        deleted += part.deleted;
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(deleted, 3);
    let all = EventFilter::all(AuditVisibility::All);
    let page = fixture.read(move |view| view.events(&all, ALL)).await;
    assert_eq!(page.items.len(), 2);
}

/// While a count may still grow, and once whoever counts must be gone.
pub async fn an_open_event_is_hidden_until_it_is_closed_or_old<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let event = Event {
        outcome: Outcome::Denied,
        occurred_at: at(10),
        ..fixture.build.event_by(Actor::System { partner_id: None })
    };
    let listed = async |before: i64| {
        let filter = EventFilter {
            open_before: Some(at(before)),
            ..EventFilter::all(AuditVisibility::All)
        };
        let page = fixture.read(move |view| view.events(&filter, ALL)).await;
        page.items
            .into_iter()
            .map(Event::closed)
            .collect::<Vec<_>>()
    };
    let open = event.clone().opened();
    fixture.write(move |tx| tx.event_fold(&open)).await;
    assert_eq!(listed(10).await, []);
    assert_eq!(listed(11).await, std::slice::from_ref(&event));
    let closed = event.clone();
    fixture.write(move |tx| tx.event_fold(&closed)).await;
    assert_eq!(listed(10).await, std::slice::from_ref(&event));
    fixture.write(move |tx| tx.event_unfold(event.id)).await;
    assert_eq!(listed(11).await, []);
}
