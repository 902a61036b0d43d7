//! Audit events in great numbers: written in any company, listed exactly, exported and pruned.

use std::collections::BTreeMap;

use audit::{Action, Actor, ActorId, AuditVisibility, Event, EventFilter, Outcome};
use ids::{AdminKeyId, EventId, KeyId, OrgId, Page, PageRequest, PartnerId, TypedId as _, Ulid};
use rand_core::Rng as _;
use stores::{Database, StoreError, Transaction as _, prelude::*};
use time::{Duration, OffsetDateTime};

use super::fixture::{ALL, Fixture, at, at_once, ids_of};
use crate::{clock::START, random::SeededRandom};

/// How long the history is.
const LENGTH_MS: u64 = 10 * 60_000;

/// A number below this one.
fn below(random: &mut SeededRandom, end: u64) -> u64 {
    random.next_u64() % end
}

fn numbered<I: ids::TypedId>(kind: u64, number: u64) -> I {
    I::from_ulid(Ulid::from_parts(kind, number.into()))
}

/// An event at any time within the history, by any of a few.
fn any_event(world_build: &crate::build::Build, random: &mut SeededRandom, number: u64) -> Event {
    let partner_id: PartnerId = numbered(1, below(random, 4));
    let actor = match below(random, 10) {
        0 => Actor::Admin {
            id: numbered(3, below(random, 2)),
        },
        1 => Actor::System {
            partner_id: Some(partner_id),
        },
        2 => Actor::System { partner_id: None },
        _ => Actor::PartnerKey {
            id: numbered(2, below(random, 6)),
            partner_id,
        },
    };
    let after_start = below(random, LENGTH_MS);
    let start_ms = u64::try_from(START.unix_timestamp()).unwrap() * 1000;
    let lag = Duration::microseconds(i64::try_from(below(random, 5000)).unwrap());
    Event {
        id: EventId::from_ulid(Ulid::from_parts(start_ms + after_start, number.into())),
        occurred_at: START + Duration::milliseconds(after_start.try_into().unwrap()) - lag,
        org_id: (below(random, 2) == 0).then(|| numbered(4, below(random, 5))),
        action: if below(random, 50) == 0 {
            Action::KeyRevoke
        } else {
            Action::OrgList
        },
        outcome: if below(random, 9) == 0 {
            Outcome::Denied
        } else {
            Outcome::Success
        },
        ..world_build.event_by(actor)
    }
}

/// What has been written, by id.
type Model = BTreeMap<EventId, Event>;

/// Writes events by all ways there are, many and few at once, and returns them.
async fn history<D: Database>(fixture: &Fixture<D>) -> Model {
    let mut random = SeededRandom::new(11);
    let events: Vec<Event> = (0..1600)
        .map(|number| any_event(&fixture.build, &mut random, number))
        .collect();
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let size = [1, 7, 120, 600].get(usize::try_from(below(&mut random, 4)).unwrap());
        let (now, later) = rest.split_at((*size.unwrap()).min(rest.len()));
        rest = later;
        let now = now.to_vec();
        match below(&mut random, 4) {
            0 => {
                let appended = at_once(now.len(), |n| {
                    let (db, event) = (fixture.db.clone(), now.get(n).unwrap().clone());
                    async move { db.append(Box::new(event)).await }
                });
                for outcome in appended.await {
                    outcome.unwrap();
                }
            }
            1 if now.len() < 200 => {
                fixture
                    .write(move |tx| now.iter().try_for_each(|event| tx.event_fold(event)))
                    .await;
            }
            _ => {
                fixture
                    .write(move |tx| {
                        now.iter()
                            .try_for_each(|event| tx.event_record(event).map(drop))
                    })
                    .await;
            }
        }
    }
    events.into_iter().map(|event| (event.id, event)).collect()
}

fn filters() -> Vec<EventFilter> {
    let all = EventFilter::all(AuditVisibility::All);
    let minutes = |count: i64| Some(START + Duration::minutes(count));
    let (partner, org): (PartnerId, OrgId) = (numbered(1, 1), numbered(4, 2));
    let (key, admin): (KeyId, AdminKeyId) = (numbered(2, 3), numbered(3, 1));
    let visible = |visibility| EventFilter::all(visibility);
    vec![
        all.clone(),
        visible(AuditVisibility::Partner(partner)),
        visible(AuditVisibility::Org(partner, org)),
        visible(AuditVisibility::Partner(numbered(1, 99))),
        EventFilter {
            actor: Some(ActorId::Key(key)),
            ..all.clone()
        },
        EventFilter {
            actor: Some(ActorId::Admin(admin)),
            ..all.clone()
        },
        EventFilter {
            org_id: Some(org),
            outcome: Some(Outcome::Denied),
            ..all.clone()
        },
        EventFilter {
            action: Some(Action::KeyRevoke),
            ..all.clone()
        },
        EventFilter {
            since: minutes(3),
            until: minutes(4),
            ..all.clone()
        },
        EventFilter {
            partner_id: Some(partner),
            since: minutes(9),
            ..all.clone()
        },
        EventFilter {
            actor: Some(ActorId::Key(key)),
            org_id: Some(org),
            until: minutes(2),
            ..visible(AuditVisibility::Partner(partner))
        },
    ]
}

/// How many events a page has, and how many rows may be read for it.
type Cut = (usize, usize);

/// All pages of a list, one after another.
async fn walked<D: Database>(
    fixture: &Fixture<D>,
    (limit, budget): Cut,
    list: impl Fn(&mut D::View, PageRequest) -> Result<Page<Event>, StoreError> + Clone + Send + 'static,
) -> Vec<Event> {
    let (mut actual, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest::new(limit, after).with_budget(budget);
        let list = list.clone();
        let page = fixture.read(move |view| list(view, request)).await;
        assert!(page.items.len() <= limit);
        actual.extend(page.items);
        if page.next.is_none() {
            return actual;
        }
        assert_ne!(page.next, after, "no progress with a budget of {budget}");
        after = page.next;
    }
}

/// Checks every list in both directions, cut in these ways.
async fn check_lists<D: Database>(fixture: &Fixture<D>, model: &Model, cuts: &[Cut]) {
    for filter in filters() {
        let expect: Vec<Event> = model
            .values()
            .filter(|event| filter.includes(event))
            .cloned()
            .collect();
        for &cut in cuts {
            let (down, up) = (filter.clone(), filter.clone());
            let mut actual = walked(fixture, cut, move |view, page| view.events(&down, page)).await;
            actual.reverse();
            let id = |event: &Event| event.id;
            assert_eq!(ids_of(&actual, id), ids_of(&expect, id), "{filter:?}");
            assert!(actual == expect, "{filter:?}");
            let list = move |view: &mut D::View, page| view.events_oldest_first(&up, page);
            let actual = walked(fixture, cut, list).await;
            assert_eq!(ids_of(&actual, id), ids_of(&expect, id), "{filter:?}");
            assert!(actual == expect, "{filter:?}");
        }
    }
}

/// However they were written, lists hold exactly what they should, in both directions.
pub async fn events_are_listed_exactly_in_whatever_company_they_were_written<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let model = history(&fixture).await;
    check_lists(&fixture, &model, &[(37, usize::MAX), (1000, 1024)]).await;
}

/// However little a page may cost, all pages together hold each event once, in order.
pub async fn events_are_listed_exactly_however_little_a_page_may_cost<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let model = history(&fixture).await;
    check_lists(&fixture, &model, &[(20, 30), (1, 100)]).await;
}

/// In parts of any size, whatever the order of the ids.
pub async fn pruning_deletes_what_happened_before_a_time_and_nothing_else<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut model = history(&fixture).await;
    for (minutes, limit) in [(-1, 100), (2, 3), (5, 1000), (5, 1000), (20, 40)] {
        let before = START + Duration::minutes(minutes);
        let (mut after, mut deleted): (Option<Ulid>, usize) = (None, 0);
        loop {
            let part = fixture
                .write(move |tx| tx.events_prune(before, after, limit))
                .await;
            deleted += part.deleted;
            let progress = part.next.is_none() || part.next > after || part.deleted > 0;
            assert!(progress, "no progress");
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        let total = model.len();
        model.retain(|_, event| event.occurred_at >= before);
        assert_eq!(deleted, total - model.len(), "before minute {minutes}");
        check_lists(&fixture, &model, &[(37, 1024)]).await;
    }
    assert!(model.is_empty());
}

/// To the microsecond, within what was written together.
pub async fn pruning_keeps_what_happened_at_the_very_time<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let events: Vec<Event> = [-1, 0, 1, -2]
        .into_iter()
        .map(|micros| Event {
            occurred_at: at(micros),
            ..fixture.build.event_by(Actor::System { partner_id: None })
        })
        .collect();
    let kept: Vec<Event> = [2, 1]
        .iter()
        .filter_map(|&place| events.get(place).cloned())
        .collect();
    fixture
        .write(move |tx| {
            events
                .iter()
                .try_for_each(|event| tx.event_record(event).map(drop))
        })
        .await;
    let part = fixture
        .write(move |tx| tx.events_prune(at(0), None, 100))
        .await;
    assert_eq!((part.deleted, part.next), (2, None));
    let all = EventFilter::all(AuditVisibility::All);
    let actual = fixture.read(move |view| view.events(&all, ALL)).await;
    assert_eq!(actual.items, kept);
}

/// As it sees all else that it has changed; what failed has left nothing.
pub async fn a_writer_sees_its_own_events_and_those_of_no_failed_savepoint<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.build.id();
    let [a, b, c, d] = [(); 4].map(|()| {
        let partner_id = Some(partner);
        fixture.build.event_by(Actor::System { partner_id })
    });
    let parts = [&a, &b, &c, &d].map(Clone::clone);
    let list = EventFilter::all(AuditVisibility::Partner(partner));
    let asked = list.clone();
    let actual = fixture.write(move |tx| {
        let [a, b, c, d] = &parts;
        tx.event_record(a)?;
        let within = tx.savepoint(|tx| {
            tx.event_record(b)?;
            tx.savepoint(|tx| tx.event_record(c))?;
            let within = tx.events(&asked, ALL)?;
            assert_eq!(within.items.len(), 3);
            Err::<(), _>(StoreError::Overloaded)
        });
        assert!(within.is_err());
        let after_failure = tx.events(&asked, ALL)?;
        tx.savepoint(|tx| tx.event_record(d))?;
        let page = PageRequest::new(1, Some(d.id.ulid()));
        let paged = tx.events(&asked, page)?;
        Ok((after_failure.items, tx.events(&asked, ALL)?.items, paged))
    });
    let (after_failure, at_the_end, paged) = actual.await;
    assert_eq!(after_failure, std::slice::from_ref(&a));
    assert_eq!(at_the_end, [d.clone(), a.clone()]);
    assert_eq!((paged.items, paged.next), (vec![a.clone()], None));
    let actual = fixture.read(move |view| view.events(&list, ALL)).await;
    assert_eq!(actual.items, [d, a]);
}

/// Neither a change that panicked nor one that was caught and forgotten leaves its event.
pub async fn a_change_that_failed_leaves_no_event<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let [kept, lost] = [(); 2].map(|()| {
        let actor = Actor::System { partner_id: None };
        fixture.build.event_by(actor)
    });
    let event = lost.clone();
    let failed = fixture.db.write(move |tx| {
        tx.savepoint(|tx| tx.event_record(&event))?;
        panic!("a panic that this test is about: an event");
    });
    let failed: Result<(), StoreError> = failed.await;
    assert!(matches!(failed, Err(StoreError::Panicked)));
    let (first, second) = (kept.clone(), lost);
    fixture
        .write(move |tx| {
            tx.event_record(&first)?;
            let failed = tx.savepoint(|tx| {
                tx.event_record(&second)?;
                tx.event_record(&second)
            });
            assert!(failed.is_err(), "one event was added twice");
            Ok(())
        })
        .await;
    let all = EventFilter::all(AuditVisibility::All);
    let actual = fixture.read(move |view| view.events(&all, ALL)).await;
    assert_eq!(actual.items, [kept]);
}

/// Ids are made once; what comes twice all the same is shown once, and hurts nobody.
pub async fn an_event_that_comes_twice_is_listed_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let events: Vec<Event> = (0..40)
        .map(|_| fixture.build.event_by(Actor::System { partner_id: None }))
        .collect();
    let twin = events.get(20).cloned().unwrap();
    fixture.db.append(Box::new(twin.clone())).await.unwrap();
    // It may be refused, and is nobody's fault but its own.
    let appended = at_once(events.len(), |n| {
        let (db, event) = (fixture.db.clone(), events.get(n).unwrap().clone());
        async move { (event.id, db.append(Box::new(event)).await) }
    });
    for (id, outcome) in appended.await {
        assert!(outcome.is_ok() || id == twin.id, "{outcome:?}");
    }
    let mut expect = events;
    expect.reverse();
    let all = EventFilter::all(AuditVisibility::All);
    let actual = fixture.read(move |view| view.events(&all, ALL)).await;
    assert_eq!(actual.items, expect);
}

/// From the first millisecond that an id can tell to the last.
pub async fn an_event_at_either_end_of_time_is_listed<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let id = |ulid| EventId::from_ulid(ulid);
    let first = Event {
        id: id(Ulid::from(0)),
        occurred_at: OffsetDateTime::UNIX_EPOCH,
        ..fixture.build.event_by(Actor::System { partner_id: None })
    };
    let last = Event {
        id: id(Ulid::from(u128::MAX)),
        ..first.clone()
    };
    for event in [&first, &last] {
        fixture.add_event(event).await;
    }
    let expect = [last.id, first.id];
    fixture
        .check_pages(
            &expect,
            |event: &Event| event.id,
            |view, page| view.events(&EventFilter::all(AuditVisibility::All), page),
        )
        .await;
    let list = |view: &mut D::View, page| {
        view.events_oldest_first(&EventFilter::all(AuditVisibility::All), page)
    };
    assert_eq!(walked(&fixture, (1, 1024), list).await, [first, last]);
}
