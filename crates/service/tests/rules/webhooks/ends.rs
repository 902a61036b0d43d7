//! Ends that are near are announced; what has ended long ago is forgotten.

use keys::PlainKey;
use service::{Rendered, operations};
use stores::{Database as _, StoreError, prelude::*};
use time::Duration;

use super::{Scene, kind};

#[tokio::test]
async fn a_key_that_ends_soon_is_announced_once_for_each_end() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let soon = |minutes| bench.clock.now() + Duration::minutes(minutes);
    let context = bench
        .authenticate(&bench.admin, operations::KEY_CREATE)
        .await
        .unwrap();
    let draft = keys::KeyDraft {
        partner_id: Some(scene.partner().await),
        expires_at: Some(soon(30)),
        ..bench.key_draft(None)
    };
    let render = |key: &keys::PartnerKey, _: &PlainKey| Rendered::new(key.id.to_string());
    let answer = bench.service.key_create(&context, draft, render).await;
    let id: ids::KeyId = answer.unwrap().value.body.parse().unwrap();

    bench.service.announce_expirations().await.unwrap();
    assert_eq!(scene.deliver().await, 0, "too early");
    bench.clock.advance(Duration::minutes(20));
    for _ in 0..3 {
        bench.service.announce_expirations().await.unwrap();
    }
    scene.deliver().await;
    let got = scene.receiver.taken();
    assert_eq!(got.iter().map(kind).collect::<Vec<_>>(), ["key.expiring"]);
    let body: serde_json::Value = serde_json::from_str(&got[0].body).unwrap();
    assert_eq!(body["data"]["id"], id.to_string());

    // The end is put off: the new one is news.
    let end = soon(60);
    let moved: Result<(), StoreError> = bench
        .db
        .write(move |tx| {
            let mut key = tx.key_for_update(id)?.unwrap().key;
            key.expires_at = Some(end);
            tx.key_update(&key)
        })
        .await;
    moved.unwrap();
    bench.service.announce_expirations().await.unwrap();
    assert_eq!(scene.deliver().await, 0);
    bench.clock.advance(Duration::minutes(55));
    bench.service.announce_expirations().await.unwrap();
    assert_eq!(scene.deliver().await, 1);
}

#[tokio::test]
async fn outdated_deliveries_are_forgotten_after_a_month() {
    let scene = Scene::new().await;
    scene.org("acme-corp").await;
    scene.deliver().await;
    scene.bench.clock.advance(Duration::days(30));
    scene.bench.service.prune_deliveries().await.unwrap();
    assert_eq!(scene.deliveries().await.len(), 1);
    scene.bench.clock.advance(Duration::SECOND);
    scene.bench.service.prune_deliveries().await.unwrap();
    assert_eq!(scene.deliveries().await, []);
}

/// Ten minutes ahead; and a lease that is renewed all the time is not told of all the time.
#[tokio::test]
async fn an_org_whose_lease_ends_soon_is_announced() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let id = scene.org("acme-corp").await;
    scene.deliver().await;
    scene.receiver.taken();
    let renew = |minutes| {
        let end = bench.clock.now() + Duration::minutes(minutes);
        bench.db.write(move |tx| tx.org_renew(id, end))
    };
    let announced = async || {
        bench.service.announce_expirations().await.unwrap();
        scene.deliver().await;
        scene.receiver.taken()
    };
    let renewed: Result<(), StoreError> = renew(11).await;
    renewed.unwrap();
    assert_eq!(announced().await.len(), 0);
    bench.clock.advance(Duration::minutes(1));
    let got = announced().await;
    assert_eq!(got.iter().map(kind).collect::<Vec<_>>(), ["org.expiring"]);
    let body: serde_json::Value = serde_json::from_str(&got[0].body).unwrap();
    assert_eq!(body["data"]["id"], id.to_string());
    assert_ne!(body["data"]["expires_at"], serde_json::Value::Null);
    let mut actual = 0;
    for _ in 0..30 {
        bench.clock.advance(Duration::minutes(1));
        let renewed: Result<(), StoreError> = renew(9).await;
        renewed.unwrap();
        actual += announced().await.len();
    }
    assert_eq!(
        actual, 3,
        "once for each end that passes, not once a minute"
    );
}
