//! Which events are shown to whom, and in what order.

use audit::{Action, Actor, ActorId, AuditVisibility, Event, EventFilter, Outcome};
use ids::{EventId, KeyId, OrgId, PartnerId};
use stores::{Database, prelude::*};

use super::fixture::{ALL, Fixture, at, ids_of};

async fn listed<D: Database>(fixture: &Fixture<D>, filter: EventFilter) -> Vec<EventId> {
    let page = fixture.read(move |view| view.events(&filter, ALL)).await;
    ids_of(&page.items, |event| event.id)
}

/// Two partners, their keys and orgs; what a key, the system and an admin did to them.
struct Log<D> {
    fixture: Fixture<D>,
    p: PartnerId,
    q: PartnerId,
    p_key: KeyId,
    q_key: KeyId,
    admin: ids::AdminKeyId,
    p_org: OrgId,
    q_org: OrgId,
    /// p's key; p's key on p's org; the system on it; an admin on it; q's key on its own; the system
    /// on nothing of a partner's; the system on q's org.
    events: [EventId; 7],
}

async fn log<D: Database>(db: D) -> Log<D> {
    let fixture = Fixture::new(db);
    let build = &fixture.build;
    let (p, q, p_org, q_org) = (build.id(), build.id(), build.id(), build.id());
    let (p_key, q_key, admin) = (build.id(), build.id(), build.id());
    let of_key = |id, partner_id| Actor::PartnerKey { id, partner_id };
    let of_system = |partner_id| Actor::System { partner_id };
    let event = |actor, org_id| Event {
        org_id,
        ..build.event_by(actor)
    };
    let events = [
        event(of_key(p_key, p), None),
        event(of_key(p_key, p), Some(p_org)),
        event(of_system(Some(p)), Some(p_org)),
        event(Actor::Admin { id: admin }, Some(p_org)),
        event(of_key(q_key, q), Some(q_org)),
        event(of_system(None), None),
        event(of_system(Some(q)), Some(q_org)),
    ];
    for event in &events {
        fixture.add_event(event).await;
    }
    let events = events.map(|event| event.id);
    Log {
        fixture,
        p,
        q,
        p_key,
        q_key,
        admin,
        p_org,
        q_org,
        events,
    }
}

impl<D: Database> Log<D> {
    /// Checks that the filter lists the events at these places, the last first.
    async fn check(&self, filter: EventFilter, expect: &[usize]) {
        let actual = listed(&self.fixture, filter.clone()).await;
        let expect: Vec<EventId> = expect
            .iter()
            .filter_map(|&place| self.events.get(place).copied())
            .collect();
        assert_eq!(actual, expect, "{filter:?}");
    }
}

/// The system's doing on an org is its partner's to see; an admin's never is.
pub async fn a_visibility_shows_its_own_events_alone<D: Database>(db: D) {
    let log = log(db).await;
    let unknown = log.fixture.build.id();
    let visibilities: [(AuditVisibility, &[usize]); 9] = [
        (AuditVisibility::All, &[6, 5, 4, 3, 2, 1, 0]),
        (AuditVisibility::Partner(log.p), &[2, 1, 0]),
        (AuditVisibility::Partner(log.q), &[6, 4]),
        (AuditVisibility::Partner(unknown), &[]),
        (AuditVisibility::Org(log.p, log.p_org), &[2, 1]),
        (AuditVisibility::Org(log.q, log.q_org), &[6, 4]),
        (AuditVisibility::Org(log.q, log.p_org), &[]),
        (AuditVisibility::Org(log.p, log.q_org), &[]),
        (AuditVisibility::Org(unknown, log.p_org), &[]),
    ];
    for (visibility, expect) in visibilities {
        log.check(EventFilter::all(visibility), expect).await;
    }
}

/// Actor, partner and org; what was done and how it ended have values of their own below.
pub async fn each_filter_of_events_holds_alone<D: Database>(db: D) {
    let log = log(db).await;
    let all = EventFilter::all(AuditVisibility::All);
    for (actor, expect) in [
        (ActorId::Key(log.p_key), &[1, 0][..]),
        (ActorId::Key(log.q_key), &[4]),
        (ActorId::Key(log.fixture.build.id()), &[]),
        (ActorId::Admin(log.admin), &[3]),
        (ActorId::Admin(log.fixture.build.id()), &[]),
    ] {
        let actor = Some(actor);
        log.check(
            EventFilter {
                actor,
                ..all.clone()
            },
            expect,
        )
        .await;
    }
    for (partner, expect) in [(log.p, &[2, 1, 0][..]), (log.q, &[6, 4])] {
        let filter = EventFilter {
            partner_id: Some(partner),
            ..all.clone()
        };
        log.check(filter, expect).await;
    }
    for (org, expect) in [(log.p_org, &[3, 2, 1][..]), (log.q_org, &[6, 4])] {
        let org_id = Some(org);
        log.check(
            EventFilter {
                org_id,
                ..all.clone()
            },
            expect,
        )
        .await;
    }

    let actor = Actor::System { partner_id: None };
    let event = Event {
        action: Action::KeyRevoke,
        outcome: Outcome::Denied,
        ..log.fixture.build.event_by(actor)
    };
    log.fixture.add_event(&event).await;
    let by_action = EventFilter {
        action: Some(Action::KeyRevoke),
        ..all.clone()
    };
    let by_outcome = EventFilter {
        outcome: Some(Outcome::Denied),
        ..all.clone()
    };
    for filter in [by_action, by_outcome] {
        assert_eq!(listed(&log.fixture, filter).await, [event.id]);
    }
    let failed = Some(Outcome::Failed);
    log.check(
        EventFilter {
            outcome: failed,
            ..all
        },
        &[],
    )
    .await;
}

/// What differs in one member alone is not listed.
pub async fn filters_of_events_hold_together<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let build = &fixture.build;
    let (p, q, org, other_org) = (build.id(), build.id(), build.id(), build.id());
    let (key, other_key) = (build.id(), build.id());
    let wanted = Event {
        org_id: Some(org),
        action: Action::OrgCreate,
        outcome: Outcome::Denied,
        occurred_at: at(10),
        ..build.event_by(Actor::PartnerKey {
            id: key,
            partner_id: p,
        })
    };
    let like = || Event {
        id: build.id(),
        ..wanted.clone()
    };
    let by = |id, partner_id| Event {
        actor: Actor::PartnerKey { id, partner_id },
        ..like()
    };
    let others = [
        by(other_key, p),
        by(key, q),
        Event {
            org_id: Some(other_org),
            ..like()
        },
        Event {
            org_id: None,
            ..like()
        },
        Event {
            action: Action::OrgDelete,
            ..like()
        },
        Event {
            outcome: Outcome::Success,
            ..like()
        },
        Event {
            occurred_at: at(9),
            ..like()
        },
        Event {
            occurred_at: at(11),
            ..like()
        },
    ];
    for event in [&wanted].into_iter().chain(&others) {
        fixture.add_event(event).await;
    }
    for visibility in [
        AuditVisibility::All,
        AuditVisibility::Partner(p),
        AuditVisibility::Org(p, org),
    ] {
        let filter = EventFilter {
            visibility,
            actor: Some(ActorId::Key(key)),
            partner_id: Some(p),
            org_id: Some(org),
            action: Some(Action::OrgCreate),
            outcome: Some(Outcome::Denied),
            request_id: wanted.request.as_ref().map(|request| request.id.clone()),
            since: Some(at(10)),
            until: Some(at(11)),
            open_before: Some(at(0)),
        };
        assert_eq!(
            listed(&fixture, filter).await,
            [wanted.id],
            "{visibility:?}"
        );
    }
}

/// A partner that names another's key, account or org is shown nothing.
pub async fn no_filter_of_events_reaches_beyond_the_visibility<D: Database>(db: D) {
    let log = log(db).await;
    for visibility in [
        AuditVisibility::Partner(log.p),
        AuditVisibility::Org(log.p, log.p_org),
    ] {
        let all = EventFilter::all(visibility);
        for actor in [ActorId::Key(log.q_key), ActorId::Admin(log.admin)] {
            let actor = Some(actor);
            log.check(
                EventFilter {
                    actor,
                    ..all.clone()
                },
                &[],
            )
            .await;
        }
        let partner_id = Some(log.q);
        let filter = EventFilter {
            partner_id,
            ..all.clone()
        };
        log.check(filter, &[]).await;
        let org_id = Some(log.q_org);
        log.check(EventFilter { org_id, ..all }, &[]).await;
    }
}

/// To the microsecond, whole seconds too.
pub async fn since_is_inclusive_and_until_exclusive<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    // The start is at 123456 µs of its second.
    let times = [-123_457, -123_456, -123_455, 0, 1];
    let mut events = Vec::new();
    for micros in times {
        let event = Event {
            occurred_at: at(micros),
            ..fixture.build.event_by(Actor::System { partner_id: None })
        };
        fixture.add_event(&event).await;
        events.push((micros, event.id));
    }
    let check = async |since: Option<i64>, until: Option<i64>| {
        let mut expect: Vec<EventId> = events
            .iter()
            .filter(|(micros, _)| since.is_none_or(|since| *micros >= since))
            .filter(|(micros, _)| until.is_none_or(|until| *micros < until))
            .map(|(_, id)| *id)
            .collect();
        expect.reverse();
        let filter = EventFilter {
            since: since.map(at),
            until: until.map(at),
            ..EventFilter::all(AuditVisibility::All)
        };
        let actual = listed(&fixture, filter).await;
        assert_eq!(actual, expect, "from {since:?} to {until:?}");
    };
    for micros in times {
        check(Some(micros), None).await;
        check(None, Some(micros)).await;
        check(Some(micros), Some(micros + 1)).await;
        check(Some(micros), Some(micros)).await;
        check(Some(-123_456), Some(micros)).await;
    }
}

/// In the order of their ids, whatever the time that they tell; none twice, none lost.
pub async fn events_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (p, q) = (fixture.build.id(), fixture.build.id());
    let (mut all, mut of_p) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let partner_id = Some(if n % 3 == 0 { p } else { q });
        let event = Event {
            occurred_at: at(-n),
            ..fixture.build.event_by(Actor::System { partner_id })
        };
        fixture.add_event(&event).await;
        all.insert(0, event.id);
        if partner_id == Some(p) {
            of_p.insert(0, event.id);
        }
    }
    for (visibility, expect) in [
        (AuditVisibility::All, &all),
        (AuditVisibility::Partner(p), &of_p),
    ] {
        fixture
            .check_pages(
                expect,
                |event: &Event| event.id,
                move |view, page| view.events(&EventFilter::all(visibility), page),
            )
            .await;
    }
}
