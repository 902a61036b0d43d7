//! Limits and what is recorded of those who pass them.

use audit::Action;
use ratelimit::RateLimit;
use service::{Error, LimitName, Presented, operations};
use time::Duration;

use crate::kit::{Bench, bench};

const TWO: RateLimit = RateLimit::literal(2, 60);

async fn folded(bench: &Bench<orgs::LocalProvisioner>) -> Vec<u64> {
    let events = bench.events().await;
    let folded = events.iter().filter(|event| event.action == Action::Whoami);
    folded
        .filter_map(|event| event.details.get("count")?.as_u64())
        .collect()
}

#[tokio::test]
async fn refusals_of_one_second_are_one_event_with_a_count() {
    let bench = bench().await;
    let (_, key) = bench.key(Some(TWO)).await;
    let mut named = Vec::new();
    for _ in 0..5 {
        if let Err(refusal) = bench.admit(&key, operations::WHOAMI).await {
            assert!(matches!(
                refusal.error,
                Error::RateLimited {
                    limit: LimitName::Key,
                    ..
                }
            ));
            named.push(refusal.event.unwrap());
        }
    }
    assert_eq!(named.len(), 3);
    named.dedup();
    assert_eq!(named.len(), 1, "the answers name one event");
    bench.service.record_refusals().await.unwrap();
    assert_eq!(folded(&bench).await, [3]);

    // More in the same second go into the same event; those of the next second do not.
    bench.admit(&key, operations::WHOAMI).await.unwrap_err();
    bench.service.record_refusals().await.unwrap();
    assert_eq!(folded(&bench).await, [4]);
    bench.clock.advance(Duration::seconds(1));
    bench.admit(&key, operations::WHOAMI).await.unwrap_err();
    bench.service.record_refusals().await.unwrap();
    assert_eq!(folded(&bench).await, [4, 1]);
}

#[tokio::test]
async fn refusals_that_storage_can_not_take_are_kept_for_later() {
    let bench = bench().await;
    let (_, key) = bench.key(Some(RateLimit::literal(1, 60))).await;
    bench.admit(&key, operations::WHOAMI).await.unwrap();
    bench.admit(&key, operations::WHOAMI).await.unwrap_err();
    bench.db.fail_writes(true);
    bench.service.record_refusals().await.unwrap_err();
    bench.clock.advance(Duration::seconds(30));
    bench.db.fail_writes(false);
    bench.service.record_refusals().await.unwrap();
    assert_eq!(folded(&bench).await, [1]);
    bench.service.record_refusals().await.unwrap();
    assert_eq!(folded(&bench).await, [1], "it is written once");
}

#[tokio::test]
async fn a_flood_does_not_stop_a_keys_own_revocation() {
    let bench = bench().await;
    let (id, key) = bench.key(Some(TWO)).await;
    while bench.admit(&key, operations::WHOAMI).await.is_ok() {}
    let presented = Presented {
        key: key.clone(),
        revokes: Some(id),
    };
    let mut call = bench.call(operations::KEY_REVOKE);
    call.subject = Some(id.to_string().into());
    let context = bench.service.admit(call, presented).await.unwrap();
    bench.service.key_revoke(&context, id).await.unwrap();
    let refusal = bench.admit(&key, operations::WHOAMI).await.unwrap_err();
    assert!(matches!(refusal.error, Error::KeyRevoked));
}

#[tokio::test]
async fn unknown_tokens_are_limited_and_a_known_key_beside_them_is_not() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let unknown = keys::PlainKey::parse("somebody's guess").unwrap();
    for _ in 0..2 {
        let refusal = bench.admit(&unknown, operations::WHOAMI).await.unwrap_err();
        assert!(matches!(refusal.error, Error::InvalidKey));
        assert_eq!(refusal.event, None);
    }
    let refusal = bench.admit(&unknown, operations::WHOAMI).await.unwrap_err();
    assert!(matches!(
        refusal.error,
        Error::RateLimited {
            limit: LimitName::Address,
            ..
        }
    ));
    bench.admit(&key, operations::WHOAMI).await.unwrap();
}
