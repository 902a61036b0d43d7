//! Calls that are sent again.

use ids::TypedId as _;
use keys::PlainKey;
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
