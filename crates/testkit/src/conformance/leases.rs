//! Leases: how the reconciler's workers share the orgs that are due.

use std::collections::BTreeSet;

use ids::OrgId;
use orgs::{
    DueLimits, DueOrg, DueOrgs, Lease, LeaseToken, NewOrg, Org, OrgStatus, OrgWork, Step, StepName,
    Subscription,
};
use stores::{Database, StoreError, prelude::*};
use time::OffsetDateTime;

use super::fixture::{Fixture, at, at_once, ids_of};

/// As many as there are in these tests.
const LIMITS: DueLimits = DueLimits {
    partners: 100,
    orgs: 1000,
};

/// Leases orgs that are due at a time, with a token, until a time, up to a limit; all times in
/// microseconds after the start. They come the longest due first.
pub(super) async fn lease<D: Database>(
    fixture: &Fixture<D>,
    now: i64,
    token: LeaseToken,
    until: i64,
    limit: usize,
) -> Vec<OrgId> {
    let lease = Lease {
        token,
        until: at(until),
    };
    let taken = fixture.write(move |tx| {
        let mut due = tx.orgs_due(at(now), None, LIMITS)?.orgs;
        due.sort_by_key(|it| (it.due_at, it.id));
        let ids: Vec<OrgId> = due.into_iter().take(limit).map(|it| it.id).collect();
        tx.orgs_lease(&ids, at(now), lease, |_| {})
    });
    ids_of(&taken.await, |work| work.org.id)
}

pub(super) async fn set_due<D: Database>(fixture: &Fixture<D>, org: &Org, due: Option<i64>) {
    let org = org.clone();
    fixture
        .write(move |tx| tx.org_update(&org, due.map(at)))
        .await;
}

pub(super) async fn holds<D: Database>(fixture: &Fixture<D>, org: &Org, token: LeaseToken) -> bool {
    let id = org.id;
    let actual = fixture.write(move |tx| tx.org_leased(id, token)).await;
    actual.is_some()
}

pub(super) async fn next_due<D: Database>(
    fixture: &Fixture<D>,
    now: i64,
) -> Option<OffsetDateTime> {
    fixture.read(move |view| view.next_org_due(at(now))).await
}

/// At the time of its making, and the worker is given it as it is stored.
pub async fn a_new_org_is_due_at_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    assert_eq!(next_due(&fixture, 0).await, None);
    let org = fixture.any_org().await;
    assert!(next_due(&fixture, 0).await.unwrap() <= org.created_at);
    let hold = Lease {
        token: fixture.build.lease_token(),
        until: at(100),
    };
    let id = org.id;
    let taken = fixture
        .write(move |tx| tx.orgs_lease(&[id], at(0), hold, |_| {}))
        .await;
    let expect = OrgWork {
        org: org.clone(),
        steps: StepName::PROVISIONING_STEPS.map(Step::pending).to_vec(),
    };
    assert_eq!(taken, [expect]);
    let held = fixture.write(move |tx| tx.org_leased(id, hold.token)).await;
    assert_eq!(held, Some(org));
}

/// In the order in which they fell due, whole seconds among them.
pub async fn only_what_is_due_and_not_held_is_leased<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut orgs = Vec::new();
    // The start is at 123456 µs of its second, so the third falls due at a whole second.
    for due in [Some(30), Some(10), Some(-123_456), Some(31), None, Some(20)] {
        let org = fixture.any_org().await;
        set_due(&fixture, &org, due).await;
        orgs.push(org.id);
    }
    let [d30, d10, whole_second, d31, never, d20] = *orgs.as_slice() else {
        panic!("six orgs");
    };
    let (one, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    assert_eq!(lease(&fixture, 30, one, 90, 2).await, [whole_second, d10]);
    assert_eq!(lease(&fixture, 30, two, 90, 9).await, [d20, d30]);
    assert_eq!(lease(&fixture, 30, one, 90, 9).await, []);
    // Whoever asks for others gets what is due of them and free.
    let hold = Lease {
        token: one,
        until: at(200),
    };
    let all = [d31, never, d20, d10];
    let taken = fixture
        .write(move |tx| tx.orgs_lease(&all, at(89), hold, |_| {}))
        .await;
    assert_eq!(ids_of(&taken, |work| work.org.id), [d31]);
    let taken = fixture
        .write(move |tx| tx.orgs_lease(&all, at(90), hold, |_| {}))
        .await;
    assert_eq!(ids_of(&taken, |work| work.org.id), [d20, d10]);
}

/// Those of one partner and status the longest due first; those that are being made come before those
/// that are going. A partner with many due has no more than its part of what one search gives.
pub async fn due_orgs_are_found_by_partner<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (one, other) = (fixture.partner().await, fixture.partner().await);
    let (first, second) = (one.id.min(other.id), one.id.max(other.id));
    let mut expect = Vec::new();
    for (partner, status, dues) in [
        (first, OrgStatus::Provisioning, &[7, 5, 6, 4][..]),
        (second, OrgStatus::Provisioning, &[9, 8]),
        (second, OrgStatus::Updating, &[9]),
        (first, OrgStatus::Deprovisioning, &[3]),
    ] {
        let key = fixture
            .key(if partner == one.id { &one } else { &other })
            .await;
        let mut orgs = Vec::new();
        for &due in dues {
            let mut org = fixture.org(&key).await;
            org.status = status;
            set_due(&fixture, &org, Some(due)).await;
            orgs.push(DueOrg {
                id: org.id,
                partner_id: partner,
                status,
                due_at: at(due),
            });
        }
        orgs.sort_by_key(|it| it.due_at);
        expect.extend(orgs);
    }
    let [a4, a5, a6, _, b8, b9, changing, going] = *expect.as_slice() else {
        panic!("eight orgs");
    };
    let due = |now, after, partners, orgs| {
        let limits = DueLimits { partners, orgs };
        fixture.read(move |view| view.orgs_due(at(now), after, limits))
    };
    let all = due(9, None, 9, 100).await;
    assert_eq!(
        (all.orgs, all.after, all.more),
        (expect.clone(), None, false)
    );
    let some = due(9, None, 9, 4).await;
    assert_eq!(some.orgs, [a4, a5, b8, b9, changing, going]);
    assert!(some.more);
    let early = due(6, None, 9, 4).await;
    assert_eq!(early.orgs, [a4, a5, a6, going], "nobody else has any due");
    let of_first = due(9, None, 1, 1).await;
    assert_eq!(of_first.orgs, [a4, changing, going]);
    assert_eq!((of_first.after, of_first.more), (Some(first), true));
    let of_second = due(9, Some(first), 1, 2).await;
    assert_eq!(
        (of_second.orgs, of_second.after),
        (vec![b8, b9, changing], Some(second))
    );
    assert_eq!(due(9, Some(second), 1, 2).await, DueOrgs::default());
    assert_eq!(due(2, None, 9, 9).await, DueOrgs::default());
}

/// Twenty orgs and eight workers that want all of them: each org has one worker, and none is left over.
pub async fn workers_at_once_never_get_the_same_org<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut expect = BTreeSet::new();
    for _ in 0..20 {
        expect.insert(fixture.any_org().await.id);
    }
    let mut taken = Vec::new();
    while taken.len() < expect.len() {
        let before = taken.len();
        let ids: Vec<OrgId> = expect.iter().copied().collect();
        let tokens: Vec<_> = (0..8).map(|_| fixture.build.lease_token()).collect();
        let actual = at_once(tokens.len(), |n| {
            let (db, mut ids) = (fixture.db.clone(), ids.clone());
            ids.rotate_left(n);
            let hold = Lease {
                token: *tokens.get(n).unwrap(),
                until: at(100),
            };
            async move {
                let orgs = db.write(move |tx| tx.orgs_lease(&ids, at(0), hold, |_| {}));
                Result::<Vec<OrgWork>, StoreError>::unwrap(orgs.await)
            }
        });
        taken.extend(actual.await.into_iter().flatten().map(|work| work.org.id));
        assert!(taken.len() > before, "nobody got what is due");
    }
    assert_eq!(taken.len(), expect.len(), "an org has two workers");
    assert_eq!(BTreeSet::from_iter(taken), expect);
}

/// At `until` another worker can take the org.
pub async fn a_lease_ends_at_its_time_and_not_before<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let org = fixture.any_org().await;
    let (one, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    assert_eq!(lease(&fixture, 0, one, 50, 1).await, [org.id]);
    assert!(holds(&fixture, &org, one).await);
    assert_eq!(lease(&fixture, 49, two, 99, 1).await, []);
    assert_eq!(lease(&fixture, 50, two, 99, 1).await, [org.id]);
    assert!(holds(&fixture, &org, two).await);
}

/// The one org, and no other that the token holds.
pub async fn a_renewed_lease_lasts_longer<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (a, b) = (fixture.any_org().await, fixture.any_org().await);
    let id = a.id;
    let other = fixture.any_org().await;
    set_due(&fixture, &other, Some(1)).await;
    let (one, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    assert_eq!(lease(&fixture, 0, one, 50, 9).await, [a.id, b.id]);
    assert_eq!(lease(&fixture, 1, two, 50, 9).await, [other.id]);
    let renewed = Lease {
        token: one,
        until: at(80),
    };
    fixture.write(move |tx| tx.lease_renew(id, renewed)).await;
    let three = fixture.build.lease_token();
    assert_eq!(lease(&fixture, 49, three, 200, 9).await, []);
    assert_eq!(lease(&fixture, 79, three, 200, 9).await, [b.id, other.id]);
    assert!(holds(&fixture, &a, one).await);
    assert_eq!(lease(&fixture, 80, three, 200, 9).await, [a.id]);
}

/// A worker that slept too long finds that another has its org.
pub async fn a_lost_token_can_neither_work_nor_renew_nor_release<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let org = fixture.any_org().await;
    let (lost, new) = (fixture.build.lease_token(), fixture.build.lease_token());
    let stranger = fixture.build.lease_token();
    assert!(!holds(&fixture, &org, lost).await);
    assert_eq!(lease(&fixture, 0, lost, 10, 1).await, [org.id]);
    assert!(!holds(&fixture, &org, stranger).await);
    assert_eq!(lease(&fixture, 10, new, 20, 1).await, [org.id]);
    assert!(!holds(&fixture, &org, lost).await);

    let renewed = Lease {
        token: lost,
        until: at(999),
    };
    let id = org.id;
    fixture.write(move |tx| tx.lease_renew(id, renewed)).await;
    fixture.write(move |tx| tx.lease_release(id, lost)).await;
    assert!(holds(&fixture, &org, new).await);
    assert!(!holds(&fixture, &org, lost).await);
    assert_eq!(lease(&fixture, 19, stranger, 99, 1).await, []);
    assert_eq!(lease(&fixture, 20, stranger, 99, 1).await, [org.id]);
}

/// And it stays due; what else the worker holds stays held.
pub async fn a_released_org_is_free_at_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (org, kept) = (fixture.any_org().await, fixture.any_org().await);
    let (one, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    assert_eq!(lease(&fixture, 0, one, 50, 9).await, [org.id, kept.id]);
    let id = org.id;
    fixture.write(move |tx| tx.lease_release(id, one)).await;
    assert!(!holds(&fixture, &org, one).await);
    assert!(holds(&fixture, &kept, one).await);
    assert_eq!(lease(&fixture, 0, two, 50, 9).await, [org.id]);
}

/// A partner's deletion while a worker is at it changes when the org is due, not who holds it.
pub async fn an_org_update_leaves_the_lease<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut org = fixture.any_org().await;
    let (one, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    assert_eq!(lease(&fixture, 0, one, 50, 1).await, [org.id]);
    org.status = OrgStatus::Deprovisioning;
    set_due(&fixture, &org, Some(5)).await;
    assert!(holds(&fixture, &org, one).await);
    assert_eq!(lease(&fixture, 49, two, 99, 1).await, []);
    assert_eq!(lease(&fixture, 50, two, 99, 1).await, [org.id]);
    set_due(&fixture, &org, None).await;
    assert!(holds(&fixture, &org, two).await);
    assert_eq!(lease(&fixture, 500, one, 999, 1).await, []);
}

/// It may be in the past or yet to come; what is held counts again when its hold ends.
pub async fn the_next_due_org_is_the_earliest_that_nobody_holds<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (soon, later) = (fixture.any_org().await, fixture.any_org().await);
    let never = fixture.any_org().await;
    set_due(&fixture, &soon, Some(10)).await;
    set_due(&fixture, &later, Some(70)).await;
    set_due(&fixture, &never, None).await;
    assert_eq!(next_due(&fixture, 0).await, Some(at(10)));
    assert_eq!(next_due(&fixture, 30).await, Some(at(10)));
    let token = fixture.build.lease_token();
    assert_eq!(lease(&fixture, 30, token, 40, 9).await, [soon.id]);
    assert_eq!(next_due(&fixture, 39).await, Some(at(70)));
    assert_eq!(next_due(&fixture, 40).await, Some(at(10)));
    set_due(&fixture, &soon, None).await;
    set_due(&fixture, &later, None).await;
    assert_eq!(next_due(&fixture, 99).await, None);
}

/// What is not due yet, or worked on, does not wait for anybody.
pub async fn the_backlog_is_what_is_due_and_held_by_nobody<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let backlog = async |now| {
        let actual = fixture.read(move |view| view.org_backlog(at(now), 9)).await;
        (actual.due, actual.oldest)
    };
    assert_eq!(backlog(0).await, (0, None));
    for due in [Some(20), Some(10), Some(50), None] {
        let org = fixture.any_org().await;
        set_due(&fixture, &org, due).await;
    }
    assert_eq!(backlog(9).await, (0, None));
    assert_eq!(backlog(10).await, (1, Some(at(10))));
    assert_eq!(backlog(49).await, (2, Some(at(10))));
    let token = fixture.build.lease_token();
    assert_eq!(lease(&fixture, 49, token, 60, 1).await.len(), 1);
    assert_eq!(backlog(49).await, (1, Some(at(20))));
    assert_eq!(backlog(59).await, (2, Some(at(20))));
    assert_eq!(backlog(60).await, (3, Some(at(10))));
    let counted = fixture.read(|view| view.org_backlog(at(60), 2)).await;
    assert_eq!(counted.due, 2, "up to the limit");
}

/// It is held from its first moment, and free for others when the hold ends.
pub async fn an_org_can_be_taken_on_record_by_the_worker_that_makes_it<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let (mine, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    let mut step = Step::pending(StepName::Provision);
    step.begin(at(0));
    let new = |lease| NewOrg {
        org: fixture.build.org(&key),
        steps: vec![step, Step::pending(StepName::Workspace)],
        subscription: Some(Subscription::starting(at(0))),
        lease,
    };
    let lease_until = |until| Lease {
        token: mine,
        until: at(until),
    };
    let orgs = vec![
        new(Some(lease_until(50))),
        new(None),
        new(Some(lease_until(60))),
    ];
    let ids = ids_of(&orgs, |new| new.org.id);
    let added = orgs.clone();
    fixture
        .write(move |tx| {
            for new in &added {
                let org = &new.org;
                assert!(tx.slug_acquire(&org.slug, org.id, org.partner_id, at(0))?);
            }
            tx.orgs_insert(&added)
        })
        .await;
    for new in &orgs {
        let id = new.org.id;
        let actual = fixture.read(move |view| Ok((view.org_steps(id)?, view.subscription(id)?)));
        assert_eq!(actual.await, (new.steps.clone(), new.subscription));
        assert_eq!(fixture.stored_org(id).await, new.org);
    }
    let [a, b, c] = *ids.as_slice() else {
        panic!("three orgs");
    };
    assert_eq!(lease(&fixture, 49, two, 99, 9).await, [b]);
    let question = [(c, mine), (b, mine), (a, two), (a, mine)];
    let held = fixture.write(move |tx| tx.orgs_leased(&question)).await;
    let held: Vec<_> = held
        .into_iter()
        .map(|work| work.map(|work| work.org.id))
        .collect();
    assert_eq!(held, [Some(c), None, None, Some(a)]);
    assert_eq!(lease(&fixture, 50, two, 99, 9).await, [a]);
    assert_eq!(lease(&fixture, 60, two, 99, 9).await, [c]);
}
