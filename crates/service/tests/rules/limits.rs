//! Limits and what is recorded of those who pass them.

use audit::{Action, Event};
use futures_util::future::join_all;
use ids::EventId;
use keys::PlainKey;
use ratelimit::RateLimit;
use service::{ClientAddress, Credentials, Error, LimitName, operations};
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
        if let Err(refusal) = bench.authenticate(&key, operations::WHOAMI).await {
            assert!(matches!(
                refusal.error,
                Error::RateLimited { ref limits, .. } if *limits == [LimitName::Key]
            ));
            named.push(refusal.event.unwrap());
        }
    }
    assert_eq!(named.len(), 3);
    named.dedup();
    assert_eq!(named.len(), 1, "the answers name one event");
    bench.service.flush_rejections().await.unwrap();
    assert_eq!(folded(&bench).await, [3]);

    // More in the same second go into the same event; those of the next second do not.
    bench
        .authenticate(&key, operations::WHOAMI)
        .await
        .unwrap_err();
    bench.service.flush_rejections().await.unwrap();
    assert_eq!(folded(&bench).await, [4]);
    bench.clock.advance(Duration::seconds(1));
    bench
        .authenticate(&key, operations::WHOAMI)
        .await
        .unwrap_err();
    bench.service.flush_rejections().await.unwrap();
    assert_eq!(folded(&bench).await, [4, 1]);
}

#[tokio::test]
async fn refusals_that_storage_can_not_take_are_kept_for_later() {
    let bench = bench().await;
    let (_, key) = bench.key(Some(RateLimit::literal(1, 60))).await;
    bench.authenticate(&key, operations::WHOAMI).await.unwrap();
    bench
        .authenticate(&key, operations::WHOAMI)
        .await
        .unwrap_err();
    bench.db.fail_writes(true);
    bench.service.flush_rejections().await.unwrap_err();
    bench.clock.advance(Duration::seconds(30));
    bench.db.fail_writes(false);
    bench.service.flush_rejections().await.unwrap();
    assert_eq!(folded(&bench).await, [1]);
    bench.service.flush_rejections().await.unwrap();
    assert_eq!(folded(&bench).await, [1], "it is written once");
}

#[tokio::test]
async fn a_key_that_is_revoked_has_sixty_events_a_minute_and_asks_storage_nothing() {
    let bench = bench().await;
    let (id, key) = bench.key(None).await;
    bench.revoke(id).await;
    bench.service.poll_key_changes().await.unwrap();
    let refused = async || {
        let refusal = bench
            .authenticate(&key, operations::WHOAMI)
            .await
            .unwrap_err();
        assert!(matches!(refusal.error, Error::KeyRevoked));
        refusal.event.unwrap()
    };
    let mut events = vec![refused().await];
    let reads = bench.db.reads();
    for _ in 1..60 {
        events.push(refused().await);
    }
    events.dedup();
    assert_eq!(events.len(), 60, "the first ones have events of their own");
    let mut more = Vec::new();
    for _ in 0..500 {
        more.push(refused().await);
    }
    more.dedup();
    assert_eq!(more.len(), 1, "further ones share one");
    assert_eq!(bench.db.reads(), reads, "storage was asked");
    bench.service.flush_rejections().await.unwrap();
    assert_eq!(folded(&bench).await, [500]);
    let all = bench.events().await;
    let shared = all.iter().find(|event| event.id == more[0]).unwrap();
    assert_eq!(shared.details["code"], "key-revoked");
    let counts = bench.service.folded_rejections();
    assert_eq!((counts.folded, counts.lost), (500, 0));
}

#[tokio::test]
async fn refusals_stay_few_and_counted_while_storage_takes_nothing() {
    let bench = bench().await;
    let (_, key) = bench.key(Some(RateLimit::literal(1, 86_400))).await;
    bench.authenticate(&key, operations::WHOAMI).await.unwrap();
    bench.db.fail_writes(true);
    let mut named = Vec::new();
    for _ in 0..600 {
        let refusal = bench
            .authenticate(&key, operations::WHOAMI)
            .await
            .unwrap_err();
        named.push(refusal.event.unwrap());
        bench.service.flush_rejections().await.unwrap_err();
        bench.clock.advance(Duration::seconds(1));
        // What is remembered of keys is outdated by then.
        bench.service.poll_key_changes().await.unwrap();
    }
    bench.db.fail_writes(false);
    bench.service.flush_rejections().await.unwrap();
    let counts = folded(&bench).await;
    assert_eq!(counts.iter().sum::<u64>(), 600, "{counts:?}");
    assert_eq!(counts.len(), 8, "{counts:?}");
    named.dedup();
    // Who follows the log has passed their times, so they are under ids of their own.
    let events = bench.events().await;
    let is_there = |id: &EventId| {
        let named = id.to_string();
        let actual =
            |event: &Event| event.details.get("answered_as") == Some(&named.clone().into());
        events.iter().any(|event| event.id == *id || actual(event))
    };
    assert!(named.iter().all(is_there));
}

#[tokio::test]
async fn a_known_key_behind_a_flood_of_unknown_tokens_gets_in() {
    let bench = bench().await;
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.push(bench.key(None).await.1);
    }
    // Each instance, and so each cache, begins without them.
    bench.service.poll_key_changes().await.unwrap();
    let guess = |n: usize| PlainKey::parse(&format!("somebody's guess {n}")).unwrap();
    for n in 0..2 {
        bench
            .authenticate(&guess(n), operations::WHOAMI)
            .await
            .unwrap_err();
    }
    let reads = bench.db.reads();
    let guesses: Vec<_> = (10..3010).map(guess).collect();
    let flood = join_all(
        guesses
            .iter()
            .map(|key| bench.authenticate(key, operations::WHOAMI)),
    );
    let known = join_all(
        keys.iter()
            .map(|key| bench.authenticate(key, operations::WHOAMI)),
    );
    let (flood, known) = tokio::join!(flood, known);
    for admitted in known {
        admitted.unwrap();
    }
    for refused in flood {
        assert!(matches!(
            refused.unwrap_err().error,
            Error::RateLimited { ref limits, .. } if *limits == [LimitName::Address]
        ));
    }
    let reads = bench.db.reads() - reads;
    assert!(reads < 20, "{reads} questions for 3020 tokens");
    assert_eq!(bench.service.throttled_lookups(), 3020);
    // An address that is not over its limit is not held up, nor is a client beside an unknown one.
    let mut call = bench.call(operations::WHOAMI);
    call.client = ClientAddress {
        ip: None,
        peer: "198.51.100.7".parse().unwrap(),
    };
    let presented = Credentials {
        key: guess(5000),
        revokes: None,
    };
    let refusal = bench
        .service
        .authenticate(call, presented)
        .await
        .unwrap_err();
    assert!(matches!(refusal.error, Error::InvalidKey));
    assert_eq!(bench.service.throttled_lookups(), 3020);
}
