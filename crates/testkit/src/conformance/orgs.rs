//! Orgs and what belongs to them: steps, workspaces, subscriptions.

use std::collections::BTreeMap;

use ids::{OrgId, PlanName};
use orgs::{
    ChangeKind, Failure, Org, OrgConfig, OrgCriteria, OrgFilter, OrgStatus, OrgVisibility,
    PendingChange, StatusSummary, Step, StepName, StepStatus, Subscription, SubscriptionStatus,
};
use serde_json::json;
use stores::{Database, prelude::*};

use super::fixture::{ALL, Fixture, at};
use crate::build::{labels, name, options, plan, slug};

/// All states of an org.
pub(super) const STATUSES: [OrgStatus; 7] = [
    OrgStatus::Provisioning,
    OrgStatus::Ready,
    OrgStatus::Updating,
    OrgStatus::Failed,
    OrgStatus::Suspended,
    OrgStatus::Deprovisioning,
    OrgStatus::Deleted,
];

/// An update to a plan, asked for at the start.
pub(super) fn update(name: &str, object: serde_json::Value) -> PendingChange {
    PendingChange {
        requested_at: at(5),
        kind: ChangeKind::Update(OrgConfig {
            plan: plan(name),
            options: options(object),
        }),
    }
}

fn full(org: Org) -> Org {
    Org {
        name: name(&"é".repeat(200)),
        plan: plan("tier_2-eu"),
        options: options(json!({"size": 3, "Ünïcode \u{0}": ["\"", {"deep": null}]})),
        change: Some(update("free", json!({"size": 1e-7}))),
        external_id: Some(name("Ünïcode 100% \"_'")),
        labels: labels(&[
            ("run_id", "123"),
            ("team.name", "Zürich \\ \"1\""),
            ("e", ""),
        ]),
        delete_protection: true,
        created_at: at(-123_456),
        updated_at: at(1),
        ready_at: Some(at(2)),
        expires_at: Some(at(4)),
        deleted_at: Some(at(3)),
        failure: Some(Failure {
            code: "quota".to_owned(),
            message: "No room — “later”\nperhaps.".to_owned(),
        }),
        outputs: BTreeMap::from(
            [("host", "db-1"), ("_2", "quote \" and \\, \0, Zürich\n")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
        secret_names: vec!["DATABASE_URL".to_owned(), "token_2".to_owned()],
        attempts: 70_000,
        ..org
    }
}

/// Every status, with every field set and with every field left out.
pub async fn an_org_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    for status in STATUSES {
        let bare = Org {
            status,
            ..fixture.build.org(&key)
        };
        let full = Org {
            status,
            ..full(fixture.build.org(&key))
        };
        for org in [bare, full] {
            fixture.add_org(&org).await;
            let id = org.id;
            assert_eq!(fixture.stored_org(id).await, org);
            let actual = fixture.write(move |tx| tx.org_for_update(OrgVisibility::All, id));
            assert_eq!(actual.await.as_ref(), Some(&org));
            let filter = OrgFilter {
                visibility: OrgVisibility::One(partner.id, id),
                status: Some(status),
                slug: None,
                external_id: None,
                labels: Vec::new(),
                criteria: OrgCriteria::NONE,
            };
            let listed = fixture.read(move |view| view.orgs(&filter, ALL)).await;
            assert_eq!(listed.items, [org]);
        }
    }
}

/// Whose it is, its slug, the partner's name for it, the labels and the lease stay as they were.
pub async fn an_org_update_writes_its_state_and_nothing_else<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (before, bystander) = (fixture.any_org().await, fixture.any_org().await);
    let change = Org {
        partner_id: bystander.partner_id,
        created_by_key_id: bystander.created_by_key_id,
        slug: slug("another-slug"),
        status: OrgStatus::Deleted,
        created_at: before.created_at,
        ..full(before.clone())
    };
    let expect = Org {
        partner_id: before.partner_id,
        created_by_key_id: before.created_by_key_id,
        slug: before.slug.clone(),
        external_id: None,
        labels: before.labels.clone(),
        delete_protection: false,
        expires_at: None,
        ..change.clone()
    };
    fixture.write(move |tx| tx.org_update(&change, None)).await;
    assert_eq!(fixture.stored_org(before.id).await, expect);
    assert_eq!(fixture.stored_org(bystander.id).await, bystander);

    // What was set can be taken back.
    let change = before.clone();
    fixture.write(move |tx| tx.org_update(&change, None)).await;
    assert_eq!(fixture.stored_org(before.id).await, before);
}

/// The org is found by its new labels and name, and no longer by those that it had.
pub async fn an_edit_writes_labels_and_external_id_too_and_work_only_where_there_is_some<
    D: Database,
>(
    db: D,
) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let before = Org {
        labels: labels(&[("a", "1"), ("b", "1")]),
        external_id: Some(name("before")),
        ..fixture.build.org(&key)
    };
    fixture.add_org(&before).await;
    let (id, bystander) = (before.id, fixture.any_org().await);
    let change = Org {
        name: name("Another"),
        slug: slug("another-slug"),
        labels: labels(&[("b", "2"), ("c", "1")]),
        external_id: None,
        delete_protection: true,
        updated_at: at(9),
        ..before.clone()
    };
    let edited = Org {
        slug: before.slug.clone(),
        ..change.clone()
    };
    let edit = change.clone();
    fixture.write(move |tx| tx.org_edit(&edit, None)).await;
    assert_eq!(fixture.stored_org(id).await, edited);
    assert_eq!(fixture.stored_org(bystander.id).await, bystander);
    let found = |pairs: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let filter = OrgFilter {
            visibility: OrgVisibility::Partner(partner.id),
            status: None,
            slug: None,
            external_id: None,
            labels: pairs.iter().map(owned).collect(),
            criteria: OrgCriteria::NONE,
        };
        let listed = fixture.read(move |view| view.orgs(&filter, ALL));
        async move { listed.await.items.len() }
    };
    assert_eq!(found(&[("b", "2"), ("c", "1")]).await, 1);
    assert_eq!(
        (found(&[("a", "1")]).await, found(&[("b", "1")]).await),
        (0, 0)
    );
    let next = |now| fixture.read(move |view| view.next_org_due(at(now)));
    assert_eq!(next(0).await, Some(before.created_at), "it is still due");
    assert_eq!(fixture.read(move |view| view.org_steps(id)).await.len(), 2);

    let (other, steps) = (bystander, vec![Step::pending(StepName::Update)]);
    fixture.write(move |tx| tx.org_update(&other, None)).await;
    let (edit, new) = (change, steps.clone());
    fixture
        .write(move |tx| tx.org_edit(&edit, Some((new.as_slice(), at(70)))))
        .await;
    assert_eq!(next(70).await, Some(at(70)));
    assert_eq!(fixture.read(move |view| view.org_steps(id)).await, steps);
    assert_eq!(fixture.stored_org(id).await, edited);
}

/// Failed and suspended ones count, those of others do not.
pub async fn the_orgs_of_a_partner_are_counted_until_they_are_deleted<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let (key, other_key) = (fixture.key(&partner).await, fixture.key(&other).await);
    for status in STATUSES {
        let org = fixture.build.org(&key);
        fixture.add_org(&Org { status, ..org }).await;
    }
    let last = fixture.org(&other_key).await;
    let count = |of| fixture.read(move |view| Ok(view.live_org_counts(&[of])?.remove(0)));
    assert_eq!((count(partner.id).await, count(other.id).await), (6, 1));
    fixture.delete_org(&last, at(1)).await;
    assert_eq!((count(partner.id).await, count(other.id).await), (6, 0));
    let question = [fixture.build.id(), other.id, partner.id];
    let actual = fixture.write(move |tx| tx.live_org_counts(&question)).await;
    assert_eq!(actual, [0, 0, 6]);
}

/// Those that are not there are left out.
pub async fn orgs_are_asked_for_where_they_stand_many_at_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut expect = Vec::new();
    for status in STATUSES {
        let org = Org {
            status,
            ..fixture.build.org(&key)
        };
        fixture.add_org(&org).await;
        expect.push(StatusSummary {
            id: org.id,
            status,
            updated_at: org.updated_at,
        });
    }
    fixture.org(&key).await;
    let mut ids: Vec<OrgId> = expect.iter().rev().map(|standing| standing.id).collect();
    ids.push(fixture.build.id());
    let mut actual = fixture
        .read(move |view| view.org_status_summaries(&ids))
        .await;
    actual.sort_unstable_by_key(|standing| standing.id);
    assert_eq!(actual, expect);
    assert_eq!(
        fixture.read(|view| view.org_status_summaries(&[])).await,
        []
    );
}

/// From the order to the first readiness, whatever became of the org afterwards.
pub async fn how_long_it_took_is_told_of_the_latest_of_a_plan<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    for (name, created, ready, status) in [
        ("standard", 0, Some(30), OrgStatus::Ready),
        ("standard", 20, Some(25), OrgStatus::Deleted),
        ("standard", 10, Some(50), OrgStatus::Suspended),
        ("standard", 10, None, OrgStatus::Provisioning),
        ("free", 0, Some(70), OrgStatus::Ready),
    ] {
        let org = Org {
            plan: plan(name),
            created_at: at(created),
            ready_at: ready.map(at),
            status,
            ..fixture.build.org(&key)
        };
        fixture.add_org(&org).await;
    }
    let times = |name: &str, limit| {
        let plan = plan(name);
        fixture.read(move |view| view.provisioning_times(&plan, limit))
    };
    let micros = |list: &[i64]| -> Vec<time::Duration> {
        list.iter()
            .map(|&took| time::Duration::microseconds(took))
            .collect()
    };
    assert_eq!(times("standard", 9).await, micros(&[40, 30, 5]));
    assert_eq!(times("standard", 2).await, micros(&[40, 30]));
    assert_eq!(times("free", 9).await, micros(&[70]));
    assert!(times("other", 9).await.is_empty());
}

/// They come back in the order in which they were given, not in that of their names or times.
pub async fn steps_keep_their_order_and_are_replaced_as_a_whole<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (org, bystander) = (fixture.any_org().await, fixture.any_org().await);
    let made = StepName::PROVISIONING_STEPS.map(Step::pending);
    let steps_of = |id: OrgId| fixture.read(move |view| view.org_steps(id));
    assert_eq!(steps_of(org.id).await, made);
    let all_fields = Step {
        name: StepName::Workspace,
        status: StepStatus::Failed,
        attempts: 70_000,
        started_at: Some(at(2)),
        finished_at: Some(at(3)),
    };
    let with = |name, status| Step {
        status,
        ..Step::pending(name)
    };
    let lists = [
        vec![
            all_fields,
            with(StepName::Provision, StepStatus::Running),
            with(StepName::Deprovision, StepStatus::Succeeded),
        ],
        vec![Step::pending(StepName::Deprovision), all_fields],
        vec![],
        made.to_vec(),
    ];
    for steps in lists {
        let (id, new) = (org.id, steps.clone());
        fixture.write(move |tx| tx.steps_replace(id, &new)).await;
        assert_eq!(steps_of(org.id).await, steps);
    }
    assert_eq!(steps_of(bystander.id).await, made);
    assert_eq!(steps_of(fixture.build.id()).await, []);
}

/// Every status, and every field; the plan and last change of its org with it, and nothing else.
pub async fn a_subscription_is_replaced_by_the_next<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (mut org, other) = (fixture.any_org().await, fixture.any_org().await);
    let of = |org: &Org| {
        let id = org.id;
        fixture.read(move |view| view.subscription(id))
    };
    let put = |org: &Org, next| {
        let org = org.clone();
        fixture.write(move |tx| tx.subscription_put(&org, &next))
    };
    assert_eq!(of(&org).await, None);
    let first = Subscription::starting(at(0));
    for org in [&org, &other] {
        put(org, first).await;
        assert_eq!(of(org).await, Some(first));
    }
    for status in [
        SubscriptionStatus::Trialing,
        SubscriptionStatus::PastDue,
        SubscriptionStatus::Canceled,
        SubscriptionStatus::Active,
    ] {
        for cancel_at in [Some(at(9)), None] {
            let next = Subscription {
                status,
                current_period_start: at(7),
                current_period_end: at(8),
                cancel_at,
            };
            put(&org, next).await;
            assert_eq!(of(&org).await, Some(next));
        }
    }
    org.plan = PlanName::new("enterprise").unwrap();
    org.updated_at = at(9);
    put(&org, first).await;
    assert_eq!(fixture.stored_org(org.id).await, org);
    assert_eq!(of(&other).await, Some(first));
    assert_eq!(fixture.stored_org(other.id).await, other);
}
