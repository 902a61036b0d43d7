//! Lists whose pages cost a bounded amount of work.

use audit::{Action, Actor, AuditVisibility, Event, EventFilter, Outcome};
use ids::{Labels, Name, Page, PageRequest};
use keys::{KeyFilter, KeyStatus, OnRevoke, RevocationReason};
use orgs::{Org, OrgCriteria, OrgFilter, OrgStatus, OrgVisibility};
use stores::{Database, StoreError, prelude::*};

use super::fixture::{Fixture, at};

/// How many events there are that nobody looks for.
const MANY: usize = 60;

/// Stores events that nobody looks for, each on its own, and a rare one among them now and then.
async fn events_with_rare_ones<D: Database>(fixture: &Fixture<D>, actor: Actor) -> Vec<Event> {
    let mut rare = Vec::new();
    for n in 0..MANY {
        let mut event = Event {
            action: Action::OrgList,
            outcome: Outcome::Success,
            ..fixture.build.event_by(actor)
        };
        if n % 25 == 7 {
            event.action = Action::KeyRevoke;
            rare.push(event.clone());
        }
        fixture.db.append(Box::new(event)).await.unwrap();
    }
    rare.reverse();
    rare
}

/// The filters within which the events of an actor are walked: all of them, its partner's, its own.
fn filters_of(partner: ids::PartnerId, actor: audit::ActorId) -> [EventFilter; 3] {
    [
        EventFilter::all(AuditVisibility::All),
        EventFilter::all(AuditVisibility::Partner(partner)),
        EventFilter {
            actor: Some(actor),
            ..EventFilter::all(AuditVisibility::Partner(partner))
        },
    ]
}

/// However many events there are: the page is empty, and says where to go on.
pub async fn a_page_of_events_that_match_nothing_ends_with_its_budget<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, id) = (fixture.build.id(), fixture.build.id());
    let actor = Actor::PartnerKey {
        id,
        partner_id: partner,
    };
    events_with_rare_ones(&fixture, actor).await;
    for filter in filters_of(partner, audit::ActorId::Key(id)) {
        let nothing = EventFilter {
            outcome: Some(Outcome::Failed),
            ..filter
        };
        let (mut pages, mut after) = (0, None);
        loop {
            let (filter, page) = (nothing.clone(), PageRequest::new(5, after).with_budget(10));
            let page = fixture.read(move |view| view.events(&filter, page)).await;
            assert_eq!(page.items, [], "{nothing:?}");
            pages += 1;
            if page.next.is_none() {
                break;
            }
            assert!(after.is_none_or(|after| page.next < Some(after)));
            after = page.next;
        }
        assert!(
            (MANY / 20..=MANY / 10 + 1).contains(&pages),
            "{pages} pages"
        );
    }
}

/// Pages that hold fewer than their limit leave nothing out.
pub async fn rare_events_are_found_once_each_in_order_over_many_pages<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, id) = (fixture.build.id(), fixture.build.id());
    let actor = Actor::PartnerKey {
        id,
        partner_id: partner,
    };
    let rare = events_with_rare_ones(&fixture, actor).await;
    for filter in filters_of(partner, audit::ActorId::Key(id)) {
        for budget in [1, 2, 7, 1000] {
            let (mut actual, mut after) = (Vec::new(), None);
            loop {
                let filter = EventFilter {
                    action: Some(Action::KeyRevoke),
                    ..filter.clone()
                };
                let page = PageRequest::new(2, after).with_budget(budget);
                let page = fixture.read(move |view| view.events(&filter, page)).await;
                actual.extend(page.items);
                if page.next.is_none() {
                    break;
                }
                after = page.next;
            }
            assert_eq!(actual, rare, "a budget of {budget}");
        }
    }
}

/// All pages of a list, and how many they were.
async fn walked<D: Database, T: Send + 'static>(
    fixture: &Fixture<D>,
    budget: usize,
    list: impl Fn(&mut D::View, PageRequest) -> Result<Page<T>, StoreError> + Clone + Send + 'static,
) -> (Vec<T>, usize) {
    let (mut actual, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (list, page) = (list.clone(), PageRequest::new(3, after).with_budget(budget));
        let page = fixture.read(move |view| list(view, page)).await;
        assert!(page.items.len() <= 3);
        actual.extend(page.items);
        pages += 1;
        if page.next.is_none() {
            return (actual, pages);
        }
        assert!(after.is_none_or(|after| page.next < Some(after)));
        after = page.next;
    }
}

/// Orgs of two partners in turn, every one of them labelled; of the first partner's some are deleted.
async fn orgs_of_two_partners<D: Database>(fixture: &Fixture<D>) -> Vec<Org> {
    let (one, other) = (fixture.partner().await, fixture.partner().await);
    let (one, other) = (fixture.key(&one).await, fixture.key(&other).await);
    let mut orgs = Vec::new();
    for n in 0..30 {
        let labels = [("team".to_owned(), (n % 3).to_string())];
        let org = Org {
            labels: Labels::new(labels).unwrap(),
            external_id: Some(Name::new(format!("ext {}", n % 15)).unwrap()),
            ..fixture.build.org(if n % 2 == 0 { &one } else { &other })
        };
        fixture.add_org(&org).await;
        if n % 10 == 4 {
            fixture.delete_org(&org, at(n)).await;
        }
        orgs.push(fixture.stored_org(org.id).await);
    }
    orgs.reverse();
    orgs
}

fn all_orgs(visibility: OrgVisibility) -> OrgFilter {
    OrgFilter {
        visibility,
        status: None,
        slug: None,
        external_id: None,
        labels: Vec::new(),
        criteria: OrgCriteria::NONE,
    }
}

/// A page that has looked at as many as it may is empty, and says where to go on.
pub async fn orgs_of_a_rare_status_are_found_over_many_pages<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let orgs = orgs_of_two_partners(&fixture).await;
    let deleted = OrgFilter {
        status: Some(OrgStatus::Deleted),
        ..all_orgs(OrgVisibility::All)
    };
    let failed = OrgFilter {
        status: Some(OrgStatus::Failed),
        ..all_orgs(OrgVisibility::All)
    };
    for filter in [deleted, failed] {
        let expect: Vec<Org> = orgs
            .iter()
            .filter(|org| filter.includes(org))
            .cloned()
            .collect();
        let list = move |view: &mut D::View, page| view.orgs(&filter, page);
        let (actual, pages) = walked(&fixture, 5, list).await;
        assert_eq!(actual, expect);
        assert!((5..=8).contains(&pages), "{pages} pages");
    }
}

/// A client that looks for its org need not walk.
pub async fn an_org_is_found_by_slug_external_id_or_label_on_the_first_page<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let orgs = orgs_of_two_partners(&fixture).await;
    let oldest = orgs.last().unwrap();
    let mine = all_orgs(OrgVisibility::Partner(oldest.partner_id));
    let by_slug = OrgFilter {
        slug: Some(oldest.slug.clone()),
        ..mine.clone()
    };
    let by_external_id = OrgFilter {
        external_id: oldest.external_id.clone(),
        ..mine.clone()
    };
    let by_both = OrgFilter {
        slug: Some(oldest.slug.clone()),
        labels: vec![("team".to_owned(), "0".to_owned())],
        ..all_orgs(OrgVisibility::All)
    };
    let everywhere = OrgFilter {
        visibility: OrgVisibility::All,
        ..by_slug.clone()
    };
    for filter in [by_slug, by_external_id, by_both, everywhere] {
        let page = PageRequest::new(3, None).with_budget(4);
        let asked = filter.clone();
        let page = fixture.read(move |view| view.orgs(&asked, page)).await;
        assert_eq!(
            (page.items, page.next),
            (vec![oldest.clone()], None),
            "{filter:?}"
        );
    }
}

/// By whichever index they are found.
pub async fn orgs_are_listed_exactly_however_little_a_page_may_cost<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let orgs = orgs_of_two_partners(&fixture).await;
    let some = orgs.first().unwrap();
    let gone = orgs.iter().find(|org| org.status == OrgStatus::Deleted);
    let gone = gone.unwrap();
    for visibility in [
        OrgVisibility::All,
        OrgVisibility::Partner(some.partner_id),
        OrgVisibility::Partner(gone.partner_id),
        OrgVisibility::MadeBy(some.partner_id, some.created_by_key_id),
        OrgVisibility::One(some.partner_id, some.id),
        OrgVisibility::One(gone.partner_id, gone.id),
    ] {
        let all = all_orgs(visibility);
        let filters = [
            all.clone(),
            OrgFilter {
                labels: vec![("team".to_owned(), "1".to_owned())],
                ..all.clone()
            },
            OrgFilter {
                external_id: some.external_id.clone(),
                ..all.clone()
            },
            OrgFilter {
                slug: Some(gone.slug.clone()),
                status: Some(OrgStatus::Deleted),
                ..all.clone()
            },
            OrgFilter {
                slug: Some(gone.slug.clone()),
                ..all.clone()
            },
            OrgFilter {
                criteria: OrgCriteria {
                    created_by: Some(some.created_by_key_id),
                    created_until: Some(some.created_at),
                    ..OrgCriteria::NONE
                },
                ..all.clone()
            },
            OrgFilter {
                status: Some(OrgStatus::Deleted),
                criteria: OrgCriteria {
                    created_by: Some(gone.created_by_key_id),
                    plan: Some(gone.plan.clone()),
                    created_since: Some(gone.created_at),
                    ..OrgCriteria::NONE
                },
                ..all
            },
        ];
        for filter in filters {
            let wanted = orgs.iter().filter(|org| filter.includes(org));
            let expect: Vec<Org> = wanted.cloned().collect();
            for budget in [1, 4, 100] {
                let asked = filter.clone();
                let list = move |view: &mut D::View, page| view.orgs(&asked, page);
                let (actual, _) = walked(&fixture, budget, list).await;
                assert_eq!(actual, expect, "{filter:?}");
            }
        }
    }
}

/// As with orgs.
pub async fn keys_of_a_rare_status_are_found_over_many_pages<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let mut revoked = Vec::new();
    for n in 0..20 {
        let key = fixture.key(&partner).await;
        if n % 9 == 3 {
            fixture
                .write(move |tx| {
                    tx.key_revoke(key.id, at(n), RevocationReason::Unspecified, OnRevoke::Keep)
                        .map(drop)
                })
                .await;
            revoked.push(fixture.stored_key(key.id).await);
        }
    }
    revoked.reverse();
    for partner_id in [None, Some(partner.id)] {
        let filter = KeyFilter {
            partner_id,
            id: None,
            status: Some((KeyStatus::Revoked, at(100))),
            ..KeyFilter::default()
        };
        let list = move |view: &mut D::View, page| view.keys(&filter, page);
        let (actual, pages) = walked(&fixture, 4, list).await;
        assert_eq!(actual, revoked);
        assert!((5..=6).contains(&pages), "{pages} pages");
    }
}

/// Those that are deleted are in nobody's way for more than a page.
pub async fn endpoints_are_listed_past_many_deleted_ones<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let mut left = Vec::new();
    for n in 0..12 {
        let endpoint = fixture.endpoint(&partner).await;
        if n % 7 == 2 {
            left.push(endpoint);
        } else {
            let partner = partner.id;
            fixture
                .write(move |tx| tx.endpoint_delete(partner, endpoint.id, at(n)).map(drop))
                .await;
        }
    }
    left.reverse();
    let partner = partner.id;
    let list = move |view: &mut D::View, page| view.endpoints(partner, page);
    let (actual, _) = walked(&fixture, 4, list).await;
    assert_eq!(actual, left);
}
