//! Orgs that end by themselves: at the end of their lease, and with the key that made them.

use audit::{Actor, Event};
use ids::{KeyId, OrgId};
use keys::{KeyDraft, OnRevoke, PlainKey};
use orgs::{
    DeletionSelector, LeaseConflict, LocalProvisioner, OrgDraft, OrgStatus, OrgsDeletion, Ttl,
};
use ratelimit::RateLimit;
use service::{Error, OrgConflict, Rejection, operations};
use stores::{Database as _, StoreError, prelude::*};
use time::Duration;

use crate::kit::{Bench, bench, org_body};

type LocalBench = Bench<LocalProvisioner>;

fn ttl(seconds: u64) -> Ttl {
    Ttl::from_seconds(seconds).unwrap()
}

async fn leased(bench: &LocalBench, key: &PlainKey, slug: &str, seconds: u64) -> OrgId {
    let draft = OrgDraft {
        ttl: Some(ttl(seconds)),
        ..bench.org_draft(slug)
    };
    bench.create_org_by(key, draft).await.unwrap()
}

async fn renew(
    bench: &LocalBench,
    key: &PlainKey,
    id: OrgId,
    seconds: u64,
) -> Result<(), Rejection> {
    let context = bench.authenticate(key, operations::ORG_RENEW).await?;
    let renewed = bench
        .service
        .org_renew(&context, id, ttl(seconds), org_body);
    renewed.await.map(|_| ())
}

/// Everything that is due is done.
async fn settle(bench: &LocalBench) {
    while bench.service.expire_orgs_due().await.unwrap() > 0 {}
    while bench.service.reconcile_due().await.unwrap() > 0 {}
}

async fn status(bench: &LocalBench, id: OrgId) -> OrgStatus {
    bench.org(id).await.status
}

/// What the system did to orgs.
async fn of_the_system(bench: &LocalBench) -> Vec<Event> {
    let mut events = bench.events().await;
    events.retain(|event| matches!(event.actor, Actor::System { .. }) && event.org_id.is_some());
    events
}

fn actions(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

#[tokio::test]
async fn a_lease_ends_an_org_at_its_time_and_not_before() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let id = leased(&bench, &key, "acme-run-1", 60).await;
    let stays = bench.create_org(&key, "acme-corp").await.unwrap();
    let end = bench.org(id).await.expires_at.unwrap();
    assert_eq!(end, bench.clock.now() + Duration::seconds(60));
    settle(&bench).await;
    bench
        .clock
        .advance(Duration::seconds(60) - Duration::MICROSECOND);
    settle(&bench).await;
    assert_eq!(status(&bench, id).await, OrgStatus::Ready);
    bench.clock.advance(Duration::MICROSECOND);
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 1);
    assert_eq!(status(&bench, id).await, OrgStatus::Deprovisioning);
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 0);
    settle(&bench).await;
    assert_eq!(status(&bench, id).await, OrgStatus::Deleted);
    assert_eq!(status(&bench, stays).await, OrgStatus::Ready);
    assert_eq!(
        bench.org(id).await.expires_at,
        Some(end),
        "its record stays"
    );

    let events = of_the_system(&bench).await;
    let actual = actions(&events);
    assert_eq!(actual.get(2..), Some(&["org.expired", "org.deleted"][..]));
    let expired = events.get(2).unwrap();
    assert_eq!(expired.org_id, Some(id));
    assert_eq!(
        expired.actor.partner_id(),
        Some(bench.org(id).await.partner_id)
    );
}

#[tokio::test]
async fn an_org_that_is_still_provisioning_ends_with_its_lease_too() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let id = leased(&bench, &key, "acme-run-1", 60).await;
    bench.clock.advance(Duration::seconds(60));
    settle(&bench).await;
    assert_eq!(status(&bench, id).await, OrgStatus::Deleted);
    let actual = of_the_system(&bench).await;
    assert_eq!(actions(&actual), ["org.expired", "org.deleted"]);
}

#[tokio::test]
async fn a_renewed_lease_lasts_from_the_renewal_on() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let id = leased(&bench, &key, "acme-run-1", 60).await;
    settle(&bench).await;
    bench.clock.advance(Duration::seconds(59));
    renew(&bench, &key, id, 100).await.unwrap();
    let end = bench.clock.now() + Duration::seconds(100);
    assert_eq!(bench.org(id).await.expires_at, Some(end));
    bench.clock.advance(Duration::seconds(99));
    settle(&bench).await;
    assert_eq!(status(&bench, id).await, OrgStatus::Ready);
    // A renewal may also bring the end nearer.
    renew(&bench, &key, id, 3600).await.unwrap();
    renew(&bench, &key, id, 60).await.unwrap();
    bench.clock.advance(Duration::seconds(60));
    settle(&bench).await;
    assert_eq!(status(&bench, id).await, OrgStatus::Deleted);
}

#[tokio::test]
async fn a_lease_is_not_renewed_where_there_is_none_or_no_more() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let unleased = bench.create_org(&key, "acme-corp").await.unwrap();
    let id = leased(&bench, &key, "acme-run-1", 60).await;
    let refused = async |id| {
        let error = renew(&bench, &key, id, 60).await.unwrap_err().error;
        let Error::Org(OrgConflict::Lease(why)) = error else {
            panic!("{error:?}");
        };
        why
    };
    assert_eq!(refused(unleased).await, LeaseConflict::None);
    bench.clock.advance(Duration::seconds(60));
    assert_eq!(refused(id).await, LeaseConflict::Expired);
    bench.service.expire_orgs_due().await.unwrap();
    let going = LeaseConflict::Deleting(OrgStatus::Deprovisioning);
    assert_eq!(refused(id).await, going);
    settle(&bench).await;
    assert_eq!(
        refused(id).await,
        LeaseConflict::Deleting(OrgStatus::Deleted)
    );
    let (_, stranger) = bench.key(None).await;
    let error = renew(&bench, &stranger, unleased, 60).await.unwrap_err();
    assert!(matches!(error.error, Error::NotFound), "{error:?}");
}

/// One partner's many expired orgs don't keep the one of another waiting, wherever it comes in the order.
#[tokio::test]
async fn expired_orgs_end_by_turns_of_partners() {
    let bench = bench().await;
    let (_, crowd) = bench.key(None).await;
    let mut alone = Vec::new();
    for n in 0..300 {
        leased(&bench, &crowd, &format!("crowd-{n}"), 60).await;
    }
    for n in 0..3 {
        let (_, key) = bench.key(None).await;
        // Theirs run out later than all of the crowd's.
        alone.push(leased(&bench, &key, &format!("alone-{n}"), 61).await);
    }
    bench.clock.advance(Duration::seconds(61));
    let sent = bench.service.expire_orgs_due().await.unwrap();
    assert!((4..=200).contains(&sent), "{sent}");
    for id in alone {
        assert_eq!(status(&bench, id).await, OrgStatus::Deprovisioning);
    }
    let mut all = sent;
    loop {
        match bench.service.expire_orgs_due().await.unwrap() {
            0 => break,
            more => all += more,
        }
    }
    assert_eq!(all, 303);
}

/// More partners than one search sees: each look goes on behind the partners of the one before.
#[tokio::test]
async fn the_turns_of_expired_orgs_go_round_all_partners() {
    let bench = bench().await;
    for n in 0..70 {
        let (_, key) = bench.key(None).await;
        for m in 0..4 {
            leased(&bench, &key, &format!("acme-{n}-{m}"), 60).await;
        }
    }
    bench.clock.advance(Duration::seconds(60));
    let first = bench.service.expire_orgs_due().await.unwrap();
    let second = bench.service.expire_orgs_due().await.unwrap();
    assert_eq!((first, second), (64 * 3, 6 * 4));
    settle(&bench).await;
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 0);
}

async fn passing_key(bench: &LocalBench) -> (KeyId, PlainKey) {
    let draft = KeyDraft {
        on_revoke: OnRevoke::Delete,
        ..bench.key_draft(None)
    };
    bench.key_by(draft).await
}

#[tokio::test]
async fn whoever_takes_over_after_a_crash_ends_what_is_left_of_a_revoked_key() {
    let bench = bench().await;
    let (id, key) = passing_key(&bench).await;
    for n in 0..450 {
        bench.create_org(&key, &format!("acme-{n}")).await.unwrap();
    }
    bench.revoke(id).await;
    let left = async || {
        let doomed = bench
            .db
            .read(move |view| view.orgs_to_delete(&DeletionSelector::MadeBy(id), 1000));
        doomed
            .await
            .map_err(|error: StoreError| error)
            .unwrap()
            .len()
    };
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 200);
    assert_eq!(left().await, 250);
    bench.db.fail_writes(true);
    bench.service.expire_orgs_due().await.unwrap_err();
    bench.db.fail_writes(false);
    assert_eq!(left().await, 250);
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 200);
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 50);
    assert_eq!(bench.service.expire_orgs_due().await.unwrap(), 0);
    assert_eq!(left().await, 0);
}

#[tokio::test]
async fn one_call_deletes_a_thousand_orgs_at_the_most_and_the_next_the_others() {
    let bench = bench().await;
    let (_, key) = bench.key(Some(RateLimit::literal(10_000, 60))).await;
    for n in 0..1001 {
        let draft = OrgDraft {
            labels: testkit::build::labels(&[("run", "7")]),
            ..bench.org_draft(&format!("acme-{n}"))
        };
        bench.create_org_by(&key, draft).await.unwrap();
    }
    let delete = async |dry_run| {
        let context = bench
            .authenticate(&key, operations::ORGS_DELETE)
            .await
            .unwrap();
        let labels = vec![("run".to_owned(), "7".to_owned())];
        let asked = OrgsDeletion { labels, dry_run };
        let answer = bench.service.orgs_delete(&context, asked).await.unwrap();
        answer.value.len()
    };
    assert_eq!(delete(true).await, 1000);
    assert_eq!(delete(false).await, 1000);
    assert_eq!(delete(true).await, 1);
    assert_eq!(delete(false).await, 1);
    assert_eq!(delete(false).await, 0);
}
