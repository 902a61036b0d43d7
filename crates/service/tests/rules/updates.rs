//! Orgs that their provisioner changes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use audit::Outcome;
use ids::OrgId;
use orgs::{
    ChangeKind, Failure, OrgConfig, OrgDraft, OrgStatus, ProvisionError, ProvisionOutput,
    ProvisionRequest, Provisioner, StepName, StepStatus, StopReason, Ttl, Verb,
};
use serde_json::json;
use testkit::build;
use time::Duration;

use crate::kit::{Bench, bench_with};

/// Provisions what it is asked for, and notes it; what else it is asked for ends as it was told.
#[derive(Clone, Default)]
struct Scripted {
    asked: Arc<Mutex<Vec<ProvisionRequest>>>,
    ends: Arc<Mutex<VecDeque<ProvisionError>>>,
}

impl Provisioner for Scripted {
    async fn run(
        &self,
        request: &ProvisionRequest,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        self.asked.lock().unwrap().push(request.clone());
        if request.verb == Verb::Provision {
            return Ok(ProvisionOutput::default());
        }
        self.ends
            .lock()
            .unwrap()
            .pop_front()
            .map_or_else(|| Ok(ProvisionOutput::default()), Err)
    }
}

fn failure() -> Failure {
    Failure {
        code: "no-room".to_owned(),
        message: "there is no room".to_owned(),
    }
}

fn to_free() -> ChangeKind {
    ChangeKind::Update(OrgConfig {
        plan: build::plan("free"),
        options: build::options(json!({"size": 3})),
    })
}

/// A ready org on plan `standard` that is to be on `free`.
async fn updating(
    ends: impl IntoIterator<Item = ProvisionError>,
) -> (Bench<Scripted>, Scripted, OrgId) {
    let script = Scripted::default();
    script.ends.lock().unwrap().extend(ends);
    let bench = bench_with(script.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    bench.change(id, to_free()).await;
    (bench, script, id)
}

async fn step(bench: &Bench<Scripted>, id: OrgId, name: StepName) -> (StepStatus, u32) {
    let steps = bench.steps(id).await;
    let step = steps.iter().find(|step| step.name == name).unwrap();
    (step.status, step.attempts)
}

#[tokio::test]
async fn an_update_ends_with_the_new_plan_and_options() {
    let (bench, script, id) = updating([]).await;
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.plan.as_str()),
        (OrgStatus::Updating, "standard")
    );
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    let org = bench.org(id).await;
    assert_eq!((org.status, org.change), (OrgStatus::Ready, None));
    assert_eq!(
        (org.plan, org.options),
        (build::plan("free"), build::options(json!({"size": 3})))
    );
    let asked = script.asked.lock().unwrap().clone();
    let [_, update] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(update.verb, Verb::Update);
    assert_eq!(update.org.plan.as_str(), "free");
    let previous = OrgConfig {
        plan: build::plan("standard"),
        options: build::options(json!({})),
    };
    assert_eq!(update.previous, Some(previous));
    let succeeded = (StepStatus::Succeeded, 1);
    assert_eq!(step(&bench, id, StepName::Update).await, succeeded);
    let events = bench.events().await;
    let event = events.last().unwrap();
    assert_eq!(
        (event.action.as_str(), event.outcome),
        ("org.updated", Outcome::Success)
    );
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 0);
}

#[tokio::test]
async fn an_update_that_is_given_up_leaves_the_org_ready_as_it_was() {
    let (bench, _, id) = updating([ProvisionError::Failed(failure())]).await;
    bench.service.reconcile_due().await.unwrap();
    let org = bench.org(id).await;
    assert_eq!((org.status, org.change), (OrgStatus::Ready, None));
    assert_eq!(org.plan.as_str(), "standard");
    let failure = org.failure.unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("update-failed", "there is no room")
    );
    let events = bench.events().await;
    let event = events.last().unwrap();
    assert_eq!(
        (event.action.as_str(), event.outcome),
        ("org.updated", Outcome::Failed)
    );

    // The next update takes the failure back.
    bench.change(id, to_free()).await;
    bench.service.reconcile_due().await.unwrap();
    let org = bench.org(id).await;
    assert_eq!((org.plan.as_str(), org.failure), ("free", None));
}

#[tokio::test]
async fn an_update_is_retried_as_often_as_a_creation() {
    let (bench, _, id) = updating(vec![ProvisionError::TryAgain(failure()); 12]).await;
    for attempt in 1..12 {
        bench.service.reconcile_due().await.unwrap();
        let org = bench.org(id).await;
        assert_eq!((org.status, org.attempts), (OrgStatus::Updating, attempt));
        assert_eq!(org.failure, Some(failure()));
        bench.clock.advance(Duration::seconds(10));
    }
    bench.service.reconcile_due().await.unwrap();
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.plan.as_str()),
        (OrgStatus::Ready, "standard")
    );
    assert_eq!(org.failure.unwrap().code, "update-failed");
    assert_eq!(
        step(&bench, id, StepName::Update).await,
        (StepStatus::Failed, 12)
    );
}

#[tokio::test]
async fn a_rotation_changes_neither_plan_nor_options() {
    let (bench, script, id) = updating([]).await;
    bench.service.reconcile_due().await.unwrap();
    bench.change(id, ChangeKind::Rotate).await;
    bench.service.reconcile_due().await.unwrap();
    let org = bench.org(id).await;
    assert_eq!((org.status, org.plan.as_str()), (OrgStatus::Ready, "free"));
    let asked = script.asked.lock().unwrap().clone();
    let last = asked.last().unwrap();
    assert_eq!((last.verb, last.previous.as_ref()), (Verb::Rotate, None));
    let succeeded = (StepStatus::Succeeded, 1);
    assert_eq!(step(&bench, id, StepName::Rotate).await, succeeded);
}

#[tokio::test]
async fn a_lease_that_runs_out_ends_an_org_that_is_updating() {
    let bench = bench_with(Scripted::default()).await;
    let (_, key) = bench.key(None).await;
    let draft = OrgDraft {
        ttl: Some(Ttl::from_seconds(60).unwrap()),
        ..bench.org_draft("acme-corp")
    };
    let id = bench.create_org_by(&key, draft).await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    bench.change(id, to_free()).await;
    bench.clock.advance(Duration::seconds(60));
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 1);
    let org = bench.org(id).await;
    assert_eq!((org.status, org.change), (OrgStatus::Deprovisioning, None));
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(bench.org(id).await.status, OrgStatus::Deleted);
}
