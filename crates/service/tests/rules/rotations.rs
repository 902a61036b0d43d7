//! A rotation ends early once its older secret is idle, and never while that is in use.

use ids::KeyId;
use keys::{PartnerKey, PlainKey, RotationDraft};
use service::{Rendered, operations};
use time::Duration;

use crate::kit::{Bench, bench};

/// Rotates a key; the older secret is to end once it was unused for a second.
async fn rotate<P: orgs::Provisioner>(bench: &Bench<P>, id: KeyId) -> PlainKey {
    let context = bench
        .authenticate(&bench.admin, operations::KEY_ROTATE)
        .await
        .unwrap();
    let draft = RotationDraft {
        overlap_seconds: 86_400,
        finish_when_idle: Some(1),
    };
    let render = |_: &PartnerKey, secret: &PlainKey| Rendered::new(secret.expose().to_owned());
    let answer = bench.service.key_rotate(&context, id, draft, render).await;
    PlainKey::parse(&answer.unwrap().value.body).unwrap()
}

#[tokio::test]
async fn a_use_whose_recording_failed_keeps_the_older_secret() {
    let bench = bench().await;
    let (id, older) = bench.key(None).await;
    let newer = rotate(&bench, id).await;
    let call = async |key: &PlainKey| {
        let context = bench.authenticate(key, operations::WHOAMI).await.unwrap();
        bench.service.whoami(&context).await.is_ok()
    };
    assert!(call(&newer).await && call(&older).await);
    bench.clock.advance(Duration::seconds(61));
    // So that the key stays cached, with what is known of its uses.
    bench.service.poll_key_changes().await.unwrap();
    bench.db.fail_writes(true);
    assert!(!call(&older).await, "it can't be recorded");
    bench.service.end_rotations().await.unwrap_err();
    bench.db.fail_writes(false);
    assert!(call(&older).await);
    bench.clock.advance(Duration::seconds(39));
    bench.service.end_rotations().await.unwrap();
    assert!(call(&older).await, "it was used in this minute");
    // The minute of its use, the second of idleness, and the grace.
    bench.clock.advance(Duration::seconds(27));
    bench.service.end_rotations().await.unwrap();
    let ended = bench.authenticate(&older, operations::WHOAMI).await;
    ended.unwrap_err();
    assert!(call(&newer).await);
}
