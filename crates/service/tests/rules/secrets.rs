//! Outputs and secrets: stored with the outcome of their run, resealed, given up.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use ids::OrgId;
use keys::{Pepper, Peppers, PlainKey};
use orgs::{
    ChangeKind, Failure, OrgSecrets, OrgStatus, ProvisionError, ProvisionOutput, ProvisionRequest,
    Provisioner, StopReason, Verb,
};
use service::{Error, OrgConflict, OrphanPolicy, SetupError, operations, prepare};
use stores::{Database as _, StoreError, prelude::*};
use testkit::memory::MemoryDatabase;

use webhooks::EventKind;

use crate::{
    kit::{Bench, bench_with, env, peppers},
    webhooks::create,
};

type End = Result<ProvisionOutput, ProvisionError>;

/// Ends as it was told to.
#[derive(Clone, Default)]
struct Scripted {
    ends: Arc<Mutex<VecDeque<End>>>,
    asked: Arc<Mutex<Vec<ProvisionRequest>>>,
    /// What can't be written to once it has run.
    breaks: Arc<Mutex<Option<MemoryDatabase>>>,
}

impl Scripted {
    fn of(ends: impl IntoIterator<Item = End>) -> Self {
        let script = Self::default();
        script.ends.lock().unwrap().extend(ends);
        script
    }
}

impl Provisioner for Scripted {
    async fn run(
        &self,
        request: &ProvisionRequest,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> End {
        self.asked.lock().unwrap().push(request.clone());
        if let Some(db) = self.breaks.lock().unwrap().take() {
            db.fail_writes(true);
        }
        let end = self.ends.lock().unwrap().pop_front();
        end.unwrap_or_else(|| Ok(ProvisionOutput::default()))
    }
}

fn answer(text: &str) -> End {
    Ok(ProvisionOutput::parse(text.as_bytes()).unwrap())
}

/// What the n-th run hands back.
fn numbered(n: u32) -> End {
    answer(&format!(
        r#"{{"outputs": {{"run": "{n}"}}, "secrets": {{"password": "secret-{n}"}}}}"#
    ))
}

fn failed(message: &str) -> End {
    Err(ProvisionError::Failed(Failure {
        code: "no-room".to_owned(),
        message: message.to_owned(),
    }))
}

async fn ready(
    ends: impl IntoIterator<Item = End>,
) -> (Bench<Scripted>, Scripted, PlainKey, OrgId) {
    let script = Scripted::of(ends);
    let bench = bench_with(script.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    (bench, script, key, id)
}

/// The output of the org and its secret, where they are.
async fn handed_back(bench: &Bench<Scripted>, id: OrgId) -> (Option<String>, Option<String>) {
    let org = bench.org(id).await;
    let stored = bench.db.read(move |view| view.org_secrets(&[id])).await;
    let stored = stored.map_err(|error: StoreError| error).unwrap().pop();
    assert_eq!(org.secret_names.is_empty(), stored.is_none());
    let secret = stored.map(|sealed| {
        let bound = format!("secrets of {id}");
        let plain = peppers().open(&sealed.sealed, bound.as_bytes()).unwrap();
        let plain = OrgSecrets::from_bytes(&plain).unwrap();
        assert_eq!(plain.names(), org.secret_names);
        let (_, value) = plain.iter().next().unwrap();
        value.expose().to_owned()
    });
    (org.outputs.get("run").cloned(), secret)
}

fn run(output: &str, secret: &str) -> (Option<String>, Option<String>) {
    (Some(output.to_owned()), Some(secret.to_owned()))
}

#[tokio::test]
async fn a_run_replaces_what_it_names_and_leaves_the_rest() {
    let (bench, _, _, id) = ready([
        numbered(1),
        answer(""),
        answer(r#"{"secrets": {"password": "secret-2"}}"#),
        answer(r#"{"outputs": {"run": "3"}, "secrets": {}}"#),
    ])
    .await;
    let mut expect = vec![run("1", "secret-1"), run("1", "secret-2")];
    expect.insert(0, run("1", "secret-1"));
    expect.push((Some("3".to_owned()), None));
    assert_eq!(handed_back(&bench, id).await, expect.remove(0));
    for (n, expect) in expect.into_iter().enumerate() {
        bench.change(id, ChangeKind::Rotate).await;
        bench.service.reconcile_due().await.unwrap();
        let org = bench.org(id).await;
        assert_eq!(org.status, OrgStatus::Ready);
        // The first rotation hands back nothing, which is none.
        let code = org.failure.map(|failure| failure.code);
        assert_eq!(code.as_deref(), (n == 0).then_some("rotation-failed"));
        assert_eq!(handed_back(&bench, id).await, expect);
    }
}

#[tokio::test]
async fn what_a_failed_run_says_shows_no_secret_of_the_org() {
    let (bench, script, _, id) = ready([numbered(1), failed("secret-1 is in use")]).await;
    bench.change(id, ChangeKind::Rotate).await;
    bench.service.reconcile_due().await.unwrap();
    let failure = bench.org(id).await.failure.unwrap();
    assert_eq!(
        (&*failure.code, &*failure.message),
        ("rotation-failed", "[redacted] is in use")
    );
    assert_eq!(handed_back(&bench, id).await, run("1", "secret-1"));
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(
        asked.iter().map(|request| request.verb).collect::<Vec<_>>(),
        [Verb::Provision, Verb::Rotate]
    );
    assert_eq!(asked[1].known_secrets.apply("secret-1"), "[redacted]");
    let events = format!("{:?} {asked:?}", bench.events().await);
    assert!(!events.contains("secret-1"), "{events}");
}

#[tokio::test]
async fn what_is_handed_back_while_a_deletion_waits_is_dropped() {
    let (bench, _, _, id) = ready([numbered(1), numbered(2), answer("")]).await;
    bench.change(id, ChangeKind::Rotate).await;
    let now = bench.clock.now();
    let begun = bench
        .db
        .write(move |tx| tx.orgs_begin_deprovision(&[id], now));
    begun.await.map_err(|error: StoreError| error).unwrap();
    assert_eq!(handed_back(&bench, id).await, run("1", "secret-1"));
    bench.service.reconcile_due().await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(bench.org(id).await.status, OrgStatus::Deleted);
    let (_, secret) = handed_back(&bench, id).await;
    assert_eq!(secret, None);
}

#[tokio::test]
async fn outcome_and_secrets_are_stored_together_or_not_at_all() {
    let (bench, script, _, id) = ready([numbered(1), numbered(2), numbered(3)]).await;
    bench.change(id, ChangeKind::Rotate).await;
    // The run goes well, and can't be recorded.
    *script.breaks.lock().unwrap() = Some(bench.db.clone());
    bench.service.reconcile_due().await.unwrap();
    bench.db.fail_writes(false);
    assert_eq!(handed_back(&bench, id).await, run("1", "secret-1"));
    assert_eq!(bench.org(id).await.status, OrgStatus::Updating);
    bench.clock.advance(time::Duration::minutes(1));
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(handed_back(&bench, id).await, run("3", "secret-3"));
}

fn pepper(letter: &str) -> Pepper {
    Pepper::new(letter.repeat(32)).unwrap()
}

#[tokio::test]
async fn secrets_whose_pepper_is_missing_are_given_up_by_force_alone() {
    let (bench, _, key, _) = ready([numbered(1)]).await;
    create(&bench, &key, &[EventKind::OrgReady]).await.unwrap();
    let start = async |peppers: Peppers, orphans| {
        let env = env(&bench.clock, 7);
        prepare(&bench.db, &env, &peppers, None, orphans, None).await
    };
    let both = Peppers::new(pepper("q"), [pepper("p")]);
    start(both, OrphanPolicy::Refuse).await.unwrap();
    let alone = || Peppers::new(pepper("q"), []);
    let refused = start(alone(), OrphanPolicy::Refuse).await.unwrap_err();
    let SetupError::Orphans(orphans) = refused else {
        panic!("{refused}");
    };
    let text = orphans.to_string();
    for lost in ["the secrets of 1 orgs", "1 webhook secrets"] {
        assert!(text.contains(lost), "{text}");
    }
    start(alone(), OrphanPolicy::Abandon).await.unwrap();
    start(alone(), OrphanPolicy::Refuse).await.unwrap();
}

#[tokio::test]
async fn secrets_that_were_given_up_are_told_to_be_rotated() {
    let (bench, _, key, id) = ready([numbered(1)]).await;
    let sealed = bench.db.read(move |view| view.org_secrets(&[id])).await;
    let mut sealed = sealed.map_err(|error: StoreError| error).unwrap().remove(0);
    sealed.sealed.reverse();
    let put = bench.db.write(move |tx| tx.org_secrets_put(&sealed));
    put.await.map_err(|error: StoreError| error).unwrap();
    let context = bench.authenticate(&key, operations::ORG_SECRETS_READ).await;
    let context = context.unwrap();
    let refused = bench.service.org_secrets_read(&context, id).await;
    let error = refused.unwrap_err().error;
    assert!(
        matches!(error, Error::Org(OrgConflict::SecretsLost)),
        "{error}"
    );
}
