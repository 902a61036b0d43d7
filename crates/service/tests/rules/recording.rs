//! No answer without its event, no change without its event.

use std::{
    future::Future as _,
    task::{self, Waker},
};

use audit::{Action, Outcome};
use ids::PageRequest;
use keys::RevocationReason;
use orgs::OrgListRequest;
use service::{Error, operations};
use stores::{Database as _, prelude::*};

use crate::kit::bench;

#[tokio::test]
async fn a_call_that_can_not_be_recorded_is_refused_and_changes_nothing() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    bench.authenticate(&key, operations::WHOAMI).await.unwrap();
    let before = bench.events().await.len();
    let context = bench.authenticate(&key, operations::WHOAMI).await.unwrap();
    bench.db.fail_writes(true);
    let refusal = bench.service.whoami(&context).await.unwrap_err();
    assert!(matches!(refusal.error, Error::Store(_)));
    assert_eq!(refusal.event, None);
    let refusal = bench.create_org(&key, "acme-corp").await.unwrap_err();
    assert!(matches!(refusal.error, Error::Store(_)));
    bench.db.fail_writes(false);
    assert_eq!(bench.events().await.len(), before);
    bench.create_org(&key, "acme-corp").await.unwrap();
}

#[tokio::test]
async fn a_change_whose_commit_is_in_doubt_has_one_event() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let before = bench.events().await.len();
    bench.db.lose_commits(true);
    let refusal = bench.create_org(&key, "acme-corp").await.unwrap_err();
    bench.db.lose_commits(false);
    assert!(matches!(refusal.error, Error::Store(_)));
    assert_eq!(refusal.event, None);
    let events = bench.events().await;
    assert_eq!(events.len(), before + 1);
    let event = events.last().unwrap();
    assert_eq!(event.outcome, Outcome::Success);
    let refusal = bench.create_org(&key, "acme-corp").await.unwrap_err();
    assert!(matches!(refusal.error, Error::SlugTaken), "it was made");
}

#[tokio::test]
async fn a_revocation_between_admission_and_change_is_seen() {
    let bench = bench().await;
    let (id, key) = bench.key(None).await;
    let admitted = bench
        .authenticate(&key, operations::ORG_DELETE)
        .await
        .unwrap();
    let admin = bench
        .authenticate(&bench.admin, operations::KEY_REVOKE)
        .await
        .unwrap();
    let org = bench.create_org(&key, "acme-corp").await.unwrap();
    bench
        .service
        .key_revoke(&admin, id, RevocationReason::Unspecified)
        .await
        .unwrap();
    let refusal = bench.service.org_delete(&admitted, org).await.unwrap_err();
    assert!(matches!(refusal.error, Error::KeyRevoked));
    assert!(
        bench.org(org).await.status.is_pending(),
        "it was not deleted"
    );
}

#[tokio::test]
async fn the_first_use_of_a_key_in_a_minute_is_noted_by_the_time_of_its_answer() {
    let bench = bench().await;
    let (_, other) = bench.key(None).await;
    bench.create_org(&other, "taken").await.unwrap();
    for case in ["read", "refused read", "change", "refused change"] {
        let (id, key) = bench.key(None).await;
        let used = || async {
            let found = bench.db.read(move |view| view.key(id)).await.unwrap();
            found.unwrap().key.last_used_at
        };
        let operation = match case {
            "change" | "refused change" => operations::ORG_CREATE,
            _ => operations::WHOAMI,
        };
        let at = bench.clock.now();
        match case {
            "read" => {
                let context = bench.authenticate(&key, operation).await.unwrap();
                assert_eq!(used().await, None, "it is noted together with its event");
                bench.service.whoami(&context).await.unwrap();
            }
            "refused read" => {
                let context = bench.authenticate(&key, operation).await.unwrap();
                bench.service.reject(&context, Error::NotFound).await;
            }
            "change" => {
                bench.create_org(&key, "free").await.unwrap();
            }
            _ => {
                bench.create_org(&key, "taken").await.unwrap_err();
            }
        }
        let noted = used().await.unwrap_or_else(|| panic!("{case}: nothing"));
        assert_eq!(
            noted.unix_timestamp() / 60,
            at.unix_timestamp() / 60,
            "{case}"
        );
        // Within the minute nothing is noted again.
        bench.authenticate(&key, operations::WHOAMI).await.unwrap();
        assert_eq!(used().await, Some(noted), "{case}");
    }
}

/// As when its client hangs up: the future of the call is dropped.
#[tokio::test]
async fn an_abandoned_request_has_one_event() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let context = bench
        .authenticate(&key, operations::ORG_LIST)
        .await
        .unwrap();
    let before = bench.events().await.len();
    let request = OrgListRequest::default();
    let page = PageRequest::new(1, None);
    let list = || bench.service.org_list(&context, request.clone(), page);
    // The store answers at the second poll.
    let mut dropped = Box::pin(list());
    let polled = dropped
        .as_mut()
        .poll(&mut task::Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(dropped);
    while bench.events().await.len() == before {
        tokio::task::yield_now().await;
    }
    let event = bench.events().await.pop().unwrap();
    assert_eq!(event.action, Action::OrgList);
    assert_eq!(event.outcome, Outcome::Denied);
    assert_eq!(event.request.map(|request| request.status_code), Some(499));
    let code = event.details.get("code").and_then(|code| code.as_str());
    assert_eq!(code, Some("client-closed"));
    list().await.unwrap();
    assert_eq!(bench.events().await.len(), before + 2);
}
