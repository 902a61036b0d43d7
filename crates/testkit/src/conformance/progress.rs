//! What workers write of the orgs that they hold.

use orgs::{
    Lease, Org, OrgProgress, OrgWork, Step, StepName, StepStatus, Subscription, SubscriptionStatus,
};
use stores::{Database, prelude::*};

use super::{
    fixture::{Fixture, at},
    leases::{holds, lease, next_due, set_due},
};

/// What its worker changes as it begins, and when the org is due again should it vanish.
pub async fn what_a_worker_begins_with_is_written_with_its_lease<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let org = fixture.any_org().await;
    let (one, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    let hold = Lease {
        token: one,
        until: at(50),
    };
    let id = org.id;
    let taken = fixture.write(move |tx| {
        tx.orgs_lease(&[id], at(0), hold, |one| {
            one.work.org.updated_at = at(5);
            one.work.org.attempts = 2;
            one.work.steps.first_mut().unwrap().begin(at(5));
            one.due_at = Some(at(6));
        })
    });
    let mut begun = Step::pending(StepName::Provision);
    begun.begin(at(5));
    let expect = OrgWork {
        org: Org {
            updated_at: at(5),
            attempts: 2,
            ..org.clone()
        },
        steps: vec![begun, Step::pending(StepName::Workspace)],
    };
    assert_eq!(taken.await, std::slice::from_ref(&expect));
    assert_eq!(fixture.stored_org(org.id).await, expect.org);
    let steps = fixture.read(move |view| view.org_steps(org.id)).await;
    assert_eq!(steps, expect.steps);
    assert_eq!(next_due(&fixture, 50).await, Some(at(6)));
    assert_eq!(lease(&fixture, 49, two, 99, 9).await, []);
    assert_eq!(lease(&fixture, 50, two, 99, 9).await, [org.id]);
}

/// Status, steps, times and when each is due; one hold ends and the other goes on.
pub async fn the_progress_of_many_orgs_is_written_at_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (a, b, bystander) = (
        fixture.any_org().await,
        fixture.any_org().await,
        fixture.any_org().await,
    );
    set_due(&fixture, &bystander, Some(1)).await;
    let active = Subscription::starting(at(0));
    for org in [a.clone(), b.clone()] {
        let put = fixture.write(move |tx| tx.subscription_put(&org, &active));
        put.await;
    }
    let (one, two) = (fixture.build.lease_token(), fixture.build.lease_token());
    assert_eq!(lease(&fixture, 0, one, 50, 9).await, [a.id, b.id]);
    let question = [(b.id, one), (a.id, one)];
    let held = fixture.write(move |tx| tx.orgs_leased(&question)).await;
    let mut held = held.into_iter().map(Option::unwrap);
    let (mut last, mut first) = (held.next().unwrap(), held.next().unwrap());
    assert_eq!((&last.org, &first.org), (&b, &a));
    first
        .org
        .apply(orgs::Transition::Provisioned, at(7))
        .unwrap();
    for step in &mut first.steps {
        step.begin(at(6));
        step.end(true, at(7));
    }
    last.org.attempts = 3;
    last.org.updated_at = at(8);
    last.org.failure = Some(orgs::Failure {
        code: "no-room".to_owned(),
        message: "later".to_owned(),
    });
    last.steps.remove(0);
    last.steps.first_mut().unwrap().status = StepStatus::Failed;
    let progress = [
        OrgProgress {
            work: first.clone(),
            due_at: None,
            release: true,
            cancel: true,
        },
        OrgProgress {
            work: last.clone(),
            due_at: Some(at(9)),
            release: false,
            cancel: false,
        },
    ];
    fixture.write(move |tx| tx.orgs_progress(&progress)).await;
    let canceled = Subscription {
        status: SubscriptionStatus::Canceled,
        ..active
    };
    for (work, expect) in [(&first, canceled), (&last, active)] {
        let id = work.org.id;
        let actual = fixture.read(move |view| view.subscription(id)).await;
        assert_eq!(actual, Some(expect));
        assert_eq!(fixture.stored_org(id).await, work.org);
        let steps = fixture.read(move |view| view.org_steps(id)).await;
        assert_eq!(steps, work.steps);
    }
    assert_eq!(fixture.stored_org(bystander.id).await, bystander);
    assert!(!holds(&fixture, &a, one).await);
    assert!(holds(&fixture, &b, one).await);
    assert_eq!(lease(&fixture, 49, two, 99, 9).await, [bystander.id]);
    assert_eq!(lease(&fixture, 50, two, 99, 9).await, [b.id]);
    fixture.write(|tx| tx.orgs_progress(&[])).await;
}

/// Those that are due later than a time, and leases that end later, up to a limit of each.
pub async fn orgs_and_leases_that_are_far_ahead_are_hastened<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut orgs = Vec::new();
    for due in [Some(5), Some(900), Some(800), None] {
        let org = fixture.any_org().await;
        set_due(&fixture, &org, due).await;
        orgs.push(org);
    }
    let token = fixture.build.lease_token();
    let first = orgs.first().unwrap();
    assert_eq!(lease(&fixture, 6, token, 990, 9).await, [first.id]);
    let hasten = |later, limit| fixture.write(move |tx| tx.orgs_make_due(at(later), at(7), limit));
    assert_eq!(hasten(990, 9).await, 0);
    assert_eq!(hasten(100, 1).await, 2, "an org and a lease");
    assert_eq!(hasten(100, 9).await, 1);
    assert_eq!(hasten(100, 9).await, 0);
    assert!(
        holds(&fixture, first, token).await,
        "until another takes it"
    );
    let other = fixture.build.lease_token();
    assert_eq!(lease(&fixture, 7, other, 99, 9).await.len(), 3);
    assert_eq!(next_due(&fixture, 7).await, None);
}
