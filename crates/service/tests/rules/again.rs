//! Calls that are sent again.

use std::sync::Arc;

use ids::TypedId as _;
use keys::{PartnerKey, PlainKey};
use orgs::LocalProvisioner;
use ratelimit::{Limiter as _, RateLimit, Subject};
use service::{Audited, Error, IdempotencyKey, LimitName, Rejection, Rendered, operations};
use time::Duration;

use crate::kit::{Bench, bench, org_body};

async fn create(
    bench: &Bench<LocalProvisioner>,
    key: &PlainKey,
    name: &str,
    slug: &str,
) -> Result<Audited<Rendered>, Rejection> {
    let mut context = bench.authenticate(key, operations::ORG_CREATE).await?;
    context.idempotency_key = Some(IdempotencyKey::new(
        "POST",
        "/cp/orgs",
        name,
        slug.as_bytes(),
    ));
    bench
        .service
        .org_create(&context, bench.org_draft(slug), org_body)
        .await
}

async fn count(bench: &Bench<LocalProvisioner>, action: &str) -> usize {
    bench
        .actions()
        .await
        .into_iter()
        .filter(|&actual| actual == action)
        .count()
}

#[tokio::test]
async fn the_same_call_gets_the_same_answer_and_an_event_of_its_own() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let first = create(&bench, &key, "a", "acme-corp").await.unwrap();
    let again = create(&bench, &key, "a", "acme-corp").await.unwrap();
    assert!(!first.value.replayed && again.value.replayed);
    assert_eq!(
        (first.status, &first.value.body),
        (again.status, &again.value.body)
    );
    assert_ne!(first.event, again.event);
    let events = bench.events().await;
    let of = |id| events.iter().find(|event| event.id == id).unwrap();
    assert_eq!(of(first.event).target, of(again.event).target);
    assert_eq!(of(first.event).org_id, of(again.event).org_id);
    assert!(of(again.event).details.contains_key("replayed"));
    let other = create(&bench, &key, "b", "acme-labs").await.unwrap();
    assert_ne!(first.value.body, other.value.body);
}

#[tokio::test]
async fn another_body_or_another_caller_is_not_the_same_call() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let (_, other) = bench.key(None).await;
    create(&bench, &key, "a", "acme-corp").await.unwrap();
    let refusal = create(&bench, &key, "a", "acme-labs").await.unwrap_err();
    assert!(matches!(refusal.error, Error::IdempotencyKeyReused));
    let answer = create(&bench, &other, "a", "acme-labs").await.unwrap();
    assert!(!answer.value.replayed);
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let (_, other) = bench.key(None).await;
    let taken = bench.create_org(&other, "acme-corp").await.unwrap();
    create(&bench, &key, "a", "acme-corp").await.unwrap_err();
    bench.service.reconcile_due().await.unwrap();
    bench.delete_org(&other, taken).await;
    bench.service.reconcile_due().await.unwrap();
    bench.clock.advance(Duration::days(31));
    let answer = create(&bench, &key, "a", "acme-corp").await.unwrap();
    assert!(!answer.value.replayed);
}

#[tokio::test]
async fn after_a_day_the_answer_is_gone() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    create(&bench, &key, "a", "acme-corp").await.unwrap();
    bench.clock.advance(Duration::hours(24));
    assert!(
        create(&bench, &key, "a", "acme-corp")
            .await
            .unwrap()
            .value
            .replayed
    );
    bench.clock.advance(Duration::MICROSECOND);
    let refusal = create(&bench, &key, "a", "acme-corp").await.unwrap_err();
    assert!(
        matches!(refusal.error, Error::SlugTaken),
        "it is carried out anew"
    );
    assert!(!bench.service.expire_idempotency_keys().await.unwrap());
}

#[tokio::test]
async fn sixty_four_duplicates_at_once_make_one_org() {
    let bench = Arc::new(bench().await);
    let (_, key) = bench.key(None).await;
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let (bench, key) = (Arc::clone(&bench), key.clone());
            tokio::spawn(async move { create(&bench, &key, "a", "acme-corp").await })
        })
        .collect();
    let mut bodies = Vec::new();
    for call in calls {
        match call.await.unwrap() {
            Ok(answer) => bodies.push(answer.value.body),
            Err(refusal) => assert!(matches!(refusal.error, Error::IdempotencyInProgress)),
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    let events = bench.events().await;
    let made = events.iter().filter(|event| {
        event.action.as_str() == "org.create" && event.details.contains_key("slug")
    });
    assert_eq!(made.count(), 1);
    assert_eq!(count(&bench, "org.create").await, 64);
}

#[tokio::test]
async fn a_keys_secret_is_shown_again_until_the_key_is_revoked() {
    let bench = bench().await;
    let render = |key: &PartnerKey, secret: &PlainKey| {
        Rendered::new(format!("{} {}", key.id, secret.expose()))
    };
    let issue = async || {
        let mut context = bench
            .authenticate(&bench.admin, operations::KEY_CREATE)
            .await?;
        context.idempotency_key = Some(IdempotencyKey::new(
            "POST",
            "/cp/admin/partner-keys",
            "a",
            b"body",
        ));
        let draft = bench.key_draft(None);
        bench.service.key_create(&context, draft, render).await
    };
    let first = issue().await.unwrap().value;
    let again = issue().await.unwrap().value;
    assert_eq!(
        (first.body.as_str(), again.replayed),
        (again.body.as_str(), true)
    );
    let (id, _) = first.body.split_once(' ').unwrap();
    let admin = bench
        .authenticate(&bench.admin, operations::KEY_REVOKE)
        .await
        .unwrap();
    bench
        .service
        .key_revoke(&admin, id.parse().unwrap())
        .await
        .unwrap();
    let refusal = issue().await.unwrap_err();
    assert!(matches!(refusal.error, Error::KeyState));
    assert_eq!(count(&bench, "key.create").await, 3);
}

#[tokio::test]
async fn answers_that_are_kept_are_bounded_for_each_credential() {
    let bench = bench().await;
    let ((id, key), (_, other)) = (bench.key(None).await, bench.key(None).await);
    create(&bench, &key, "first", "acme-corp").await.unwrap();
    // As many as a key may have kept for a day.
    let subject = Subject::IdempotencyKeys(id.ulid());
    let limit = RateLimit::literal(50_000, 86_400);
    let limiter = bench.service.limiter();
    while limiter.check(subject, limit).await.is_allowed() {}
    let created = count(&bench, "org.create").await;
    let refusal = create(&bench, &key, "second", "acme-labs")
        .await
        .unwrap_err();
    let Error::RateLimited {
        limits,
        retry_after,
    } = refusal.error
    else {
        panic!("{:?}", refusal.error)
    };
    assert_eq!(limits, [LimitName::Idempotency]);
    assert!(retry_after.as_secs() < 2, "{retry_after:?}");
    assert_eq!(
        count(&bench, "org.create").await,
        created + 1,
        "it is recorded"
    );
    // What was kept is still there, and nothing was changed or kept for the call that was refused.
    let again = create(&bench, &key, "first", "acme-corp").await.unwrap();
    assert!(again.value.replayed);
    create(&bench, &other, "second", "acme-labs").await.unwrap();
    // Without an idempotency key, calls go on.
    bench.create_org(&key, "acme-three").await.unwrap();
}

#[tokio::test]
async fn replays_and_refusals_use_up_nothing_of_what_may_be_kept() {
    let bench = bench().await;
    let (id, key) = bench.key(None).await;
    let subject = Subject::IdempotencyKeys(id.ulid());
    let limit = RateLimit::literal(50_000, 86_400);
    for name in ["a", "a", "a", "b"] {
        // The second name asks for a slug that is taken.
        let _ = create(&bench, &key, name, "acme-corp").await;
    }
    let left = bench.service.limiter().peek(subject, limit).await;
    assert_eq!(left.remaining, 49_999);
}

#[tokio::test]
async fn a_call_that_was_carried_out_is_replayed_beside_one_with_another_body() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    create(&bench, &key, "a", "acme-corp").await.unwrap();
    let other = async { create(&bench, &key, "a", "acme-labs").await };
    let same = async { create(&bench, &key, "a", "acme-corp").await };
    // The other one is under way when the copy comes.
    let (other, same) = tokio::join!(biased; other, same);
    assert!(matches!(
        other.unwrap_err().error,
        Error::IdempotencyKeyReused
    ));
    assert!(same.unwrap().value.replayed);
}
