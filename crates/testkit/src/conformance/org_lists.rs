//! Which orgs are shown to whom, and in what order.

use ids::OrgId;
use keys::PartnerKey;
use orgs::{Org, OrgCriteria, OrgFilter, OrgStatus, OrgVisibility};
use stores::{Database, prelude::*};

use super::{
    fixture::{ALL, Fixture, at, ids_of},
    orgs::STATUSES,
};
use crate::build::{labels, name};

pub(super) const fn visible(visibility: OrgVisibility) -> OrgFilter {
    OrgFilter {
        visibility,
        status: None,
        slug: None,
        external_id: None,
        labels: Vec::new(),
        criteria: OrgCriteria::NONE,
    }
}

pub(super) async fn listed<D: Database>(fixture: &Fixture<D>, filter: OrgFilter) -> Vec<OrgId> {
    let page = fixture.read(move |view| view.orgs(&filter, ALL)).await;
    ids_of(&page.items, |org| org.id)
}

/// Every variant, by every method that takes a visibility.
pub async fn a_visibility_shows_its_own_orgs_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (p, q) = (fixture.partner().await, fixture.partner().await);
    let (p1, p2) = (fixture.key(&p).await, fixture.key(&p).await);
    let q1 = fixture.key(&q).await;
    let (a, b) = (fixture.org(&p1).await.id, fixture.org(&p2).await.id);
    let c = fixture.org(&q1).await.id;
    let unknown: OrgId = fixture.build.id();
    let visibilities: [(OrgVisibility, &[OrgId]); 11] = [
        (OrgVisibility::All, &[c, b, a]),
        (OrgVisibility::Partner(p.id), &[b, a]),
        (OrgVisibility::Partner(q.id), &[c]),
        (OrgVisibility::MadeBy(p.id, p1.id), &[a]),
        (OrgVisibility::MadeBy(p.id, p2.id), &[b]),
        (OrgVisibility::MadeBy(p.id, q1.id), &[]),
        (OrgVisibility::MadeBy(q.id, p1.id), &[]),
        (OrgVisibility::One(p.id, a), &[a]),
        (OrgVisibility::One(q.id, a), &[]),
        (OrgVisibility::One(p.id, c), &[]),
        (OrgVisibility::One(p.id, unknown), &[]),
    ];
    for (visibility, expect) in visibilities {
        assert_eq!(
            listed(&fixture, visible(visibility)).await,
            expect,
            "{visibility:?}"
        );
        for id in [a, b, c, unknown] {
            let expect = expect.contains(&id).then_some(id);
            let read = fixture.read(move |view| view.org(visibility, id)).await;
            assert_eq!(read.map(|org| org.id), expect, "org, {visibility:?}");
            let held = fixture
                .write(move |tx| tx.org_for_update(visibility, id))
                .await;
            let actual = held.map(|org| org.id);
            assert_eq!(actual, expect, "org_for_update, {visibility:?}");
        }
    }
}

/// By its id a deleted org is found, for its record.
pub async fn deleted_orgs_are_listed_only_when_asked_for<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let (live, gone) = (fixture.org(&key).await, fixture.org(&key).await);
    fixture.delete_org(&gone, at(1)).await;
    let all = visible(OrgVisibility::Partner(partner.id));
    assert_eq!(listed(&fixture, all.clone()).await, [live.id]);
    let by_slug = OrgFilter {
        slug: Some(gone.slug.clone()),
        ..all.clone()
    };
    assert_eq!(listed(&fixture, by_slug.clone()).await, []);
    for filter in [all, by_slug] {
        let filter = OrgFilter {
            status: Some(OrgStatus::Deleted),
            ..filter
        };
        assert_eq!(listed(&fixture, filter).await, [gone.id]);
    }
    assert_eq!(
        fixture.stored_org(gone.id).await.deleted_at,
        Some(at(1)),
        "a deleted org is read by its id"
    );
}

/// Each status has its own list.
pub async fn orgs_are_filtered_by_status<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut orgs = Vec::new();
    for status in STATUSES.into_iter().chain(STATUSES) {
        let org = fixture.build.org(&key);
        let org = Org { status, ..org };
        fixture.add_org(&org).await;
        orgs.insert(0, org);
    }
    for status in STATUSES {
        let expect: Vec<OrgId> = orgs
            .iter()
            .filter(|org| org.status == status)
            .map(|org| org.id)
            .collect();
        let filter = OrgFilter {
            status: Some(status),
            ..visible(OrgVisibility::All)
        };
        assert_eq!(listed(&fixture, filter).await, expect, "{status}");
    }
}

/// Both are compared as a whole, by every letter.
pub async fn orgs_are_filtered_by_slug_and_external_id<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let bare = fixture.org(&key).await;
    let with = |external: &str| Org {
        external_id: Some(name(external)),
        ..fixture.build.org(&key)
    };
    let (one, upper, two) = (with("tenant_1%"), with("Tenant_1%"), with("tenant-1%"));
    let same = with("tenant_1%");
    for org in [&one, &upper, &two, &same] {
        fixture.add_org(org).await;
    }
    let by_name = |external: &str| {
        let filter = OrgFilter {
            external_id: Some(name(external)),
            ..visible(OrgVisibility::All)
        };
        listed(&fixture, filter)
    };
    assert_eq!(by_name("tenant_1%").await, [same.id, one.id]);
    assert_eq!(by_name("Tenant_1%").await, [upper.id]);
    assert_eq!(by_name("tenant").await, []);
    for org in [bare, one, upper, two, same] {
        let filter = OrgFilter {
            slug: Some(org.slug),
            ..visible(OrgVisibility::All)
        };
        assert_eq!(listed(&fixture, filter).await, [org.id]);
    }
    let filter = OrgFilter {
        slug: Some(crate::build::slug("unknown")),
        ..visible(OrgVisibility::All)
    };
    assert_eq!(listed(&fixture, filter).await, []);
}

/// Times to the microsecond: `since` includes its moment, `until` and `before` don't.
pub async fn orgs_are_filtered_by_plan_maker_and_times<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (key, sister) = (fixture.key(&partner).await, fixture.key(&partner).await);
    let mut ids = Vec::new();
    for (maker, plan, created, expires) in [
        (&key, "free", 1, None),
        (&sister, "free", 2, Some(10)),
        (&key, "standard", 3, Some(20)),
        (&key, "free", 4, Some(30)),
    ] {
        let org = Org {
            plan: crate::build::plan(plan),
            created_at: at(created),
            expires_at: expires.map(at),
            ..fixture.build.org(maker)
        };
        fixture.add_org(&org).await;
        ids.push(org.id);
    }
    let none = OrgCriteria::NONE;
    let plan = |name| OrgCriteria {
        plan: Some(crate::build::plan(name)),
        ..none.clone()
    };
    let by = |key: &PartnerKey| OrgCriteria {
        created_by: Some(key.id),
        ..none.clone()
    };
    let created = |since: Option<i64>, until: Option<i64>| OrgCriteria {
        created_since: since.map(at),
        created_until: until.map(at),
        ..none.clone()
    };
    let expires = |before| OrgCriteria {
        expires_before: Some(at(before)),
        ..none.clone()
    };
    let far = i64::from(i32::MAX) * 1_000_000;
    let rows: [(OrgCriteria, &[usize]); 15] = [
        (plan("free"), &[3, 1, 0]),
        (plan("standard"), &[2]),
        (plan("other"), &[]),
        (by(&key), &[3, 2, 0]),
        (by(&sister), &[1]),
        (created(Some(3), None), &[3, 2]),
        (created(None, Some(3)), &[1, 0]),
        (created(Some(2), Some(4)), &[2, 1]),
        (created(Some(4), Some(4)), &[]),
        (created(Some(far), None), &[]),
        (created(None, Some(-far)), &[]),
        (created(Some(-far), Some(far)), &[3, 2, 1, 0]),
        (expires(20), &[1]),
        (expires(21), &[2, 1]),
        (
            OrgCriteria {
                created_by: Some(key.id),
                ..plan("free")
            },
            &[3, 0],
        ),
    ];
    for (criteria, expect) in rows {
        let expect: Vec<_> = expect.iter().filter_map(|&n| ids.get(n).copied()).collect();
        for visibility in [OrgVisibility::All, OrgVisibility::Partner(partner.id)] {
            let filter = OrgFilter {
                criteria: criteria.clone(),
                ..visible(visibility)
            };
            assert_eq!(listed(&fixture, filter).await, expect, "{criteria:?}");
        }
    }
}

/// Two labels mean both, and no letter of a value is a pattern.
pub async fn orgs_are_filtered_by_all_of_the_labels<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut ids = Vec::new();
    for pairs in [
        &[("env", "ci"), ("team", "a")][..],
        &[("env", "ci"), ("team", "b")],
        &[("env", "CI"), ("x", "ci")],
        &[("env", "%"), ("team", "\"a\", \"b\"")],
        &[("env", ""), ("a.b", "_")],
        &[],
    ] {
        let org = Org {
            labels: labels(pairs),
            ..fixture.build.org(&key)
        };
        fixture.add_org(&org).await;
        ids.push(org.id);
    }
    let check = async |pairs: &[(&str, &str)], expect: &[usize]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let filter = OrgFilter {
            labels: pairs.iter().map(owned).collect(),
            ..visible(OrgVisibility::All)
        };
        let actual = listed(&fixture, filter).await;
        let expect: Vec<_> = expect.iter().filter_map(|&n| ids.get(n).copied()).collect();
        assert_eq!(actual, expect, "{pairs:?}");
    };
    check(&[], &[5, 4, 3, 2, 1, 0]).await;
    check(&[("env", "ci")], &[1, 0]).await;
    check(&[("env", "ci"), ("team", "a")], &[0]).await;
    check(&[("team", "a"), ("env", "ci")], &[0]).await;
    check(&[("env", "ci"), ("env", "ci")], &[1, 0]).await;
    check(&[("env", "ci"), ("env", "CI")], &[]).await;
    check(&[("env", "CI")], &[2]).await;
    check(&[("env", "%")], &[3]).await;
    check(&[("env", "_i")], &[]).await;
    check(&[("team", "\"a\", \"b\"")], &[3]).await;
    check(&[("env", "")], &[4]).await;
    check(&[("a.b", "_")], &[4]).await;
    check(&[("team", "ci")], &[]).await;
    check(&[("none", "")], &[]).await;
}

/// What differs in one member alone is not listed.
pub async fn filters_of_orgs_hold_together<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let (key, other_key) = (fixture.key(&partner).await, fixture.key(&other).await);
    let wanted = Org {
        status: OrgStatus::Ready,
        external_id: Some(name("tenant")),
        labels: labels(&[("env", "ci"), ("team", "a")]),
        ..fixture.build.org(&key)
    };
    let like = |key| {
        let fresh = fixture.build.org(key);
        Org {
            id: fresh.id,
            partner_id: fresh.partner_id,
            created_by_key_id: fresh.created_by_key_id,
            slug: fresh.slug,
            ..wanted.clone()
        }
    };
    let twin = like(&key);
    for org in [
        wanted.clone(),
        twin.clone(),
        like(&other_key),
        Org {
            status: OrgStatus::Failed,
            ..like(&key)
        },
        Org {
            external_id: None,
            ..like(&key)
        },
        Org {
            labels: labels(&[("env", "ci")]),
            ..like(&key)
        },
    ] {
        fixture.add_org(&org).await;
    }
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut filter = OrgFilter {
        status: wanted.status.into(),
        external_id: wanted.external_id.clone(),
        labels: vec![label("env", "ci"), label("team", "a")],
        ..visible(OrgVisibility::Partner(partner.id))
    };
    assert_eq!(listed(&fixture, filter.clone()).await, [twin.id, wanted.id]);
    filter.slug = Some(wanted.slug.clone());
    assert_eq!(listed(&fixture, filter).await, [wanted.id]);
}

/// A partner that guesses another's slug or names learns nothing.
pub async fn no_filter_of_orgs_reaches_beyond_the_visibility<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let (key, other_key) = (fixture.key(&partner).await, fixture.key(&other).await);
    let org = Org {
        external_id: Some(name("tenant")),
        labels: labels(&[("env", "ci")]),
        ..fixture.build.org(&other_key)
    };
    fixture.add_org(&org).await;
    for visibility in [
        OrgVisibility::Partner(partner.id),
        OrgVisibility::MadeBy(partner.id, key.id),
        OrgVisibility::MadeBy(partner.id, other_key.id),
        OrgVisibility::One(partner.id, org.id),
    ] {
        let by_status = OrgFilter {
            status: Some(org.status),
            ..visible(visibility)
        };
        let by_slug = OrgFilter {
            slug: Some(org.slug.clone()),
            ..visible(visibility)
        };
        let by_name = OrgFilter {
            external_id: org.external_id.clone(),
            ..visible(visibility)
        };
        let by_label = OrgFilter {
            labels: vec![("env".to_owned(), "ci".to_owned())],
            ..visible(visibility)
        };
        for filter in [by_status, by_slug, by_name, by_label] {
            assert_eq!(listed(&fixture, filter).await, [], "{visibility:?}");
        }
    }
}
