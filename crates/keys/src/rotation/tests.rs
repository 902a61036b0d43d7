use ids::{AdminKeyId, KeyId, Labels, Name, PartnerId, TypedId, Ulid};
use scopes::ScopeSet;
use time::macros::datetime;

use super::*;
use crate::{OnLeak, OnRevoke};

const NOW: OffsetDateTime = datetime!(2026-04-23 08:00:30 UTC);

fn key() -> PartnerKey {
    PartnerKey {
        id: KeyId::from_ulid(Ulid::from(1)),
        partner_id: PartnerId::from_ulid(Ulid::from(2)),
        name: Name::new("acme").unwrap(),
        scopes: ScopeSet::EMPTY,
        org_id: None,
        org_plans: None,
        allowed_cidrs: None,
        rate_limit: None,
        expires_at: None,
        max_live_orgs: None,
        max_ttl_seconds: None,
        on_revoke: OnRevoke::Keep,
        on_leak: OnLeak::Revoke,
        disabled: false,
        labels: Labels::default(),
        key_prefix: "mol_pk_first".into(),
        created_at: NOW - Duration::DAY,
        created_by: AdminKeyId::from_ulid(Ulid::from(3)).into(),
        last_used_at: Some(NOW - Duration::HOUR),
        revoked_at: None,
        revocation_reason: None,
        rotation: None,
    }
}

fn new(prefix: &str, overlap: i64) -> NewSecret {
    NewSecret {
        key_prefix: prefix.to_owned(),
        at: NOW,
        overlap: Duration::seconds(overlap),
        finish_when_idle: None,
    }
}

fn prefixes(key: &PartnerKey, now: OffsetDateTime) -> Vec<String> {
    let live = key.live_secrets(now).into_iter();
    live.map(|secret| secret.key_prefix.to_owned()).collect()
}

#[test]
fn both_secrets_work_in_the_overlap_and_the_newest_after_it() {
    let mut key = key();
    let first = key.newest_secret();
    key.rotate(new("mol_pk_second", 60)).unwrap();
    let second = key.newest_secret();
    assert_eq!(prefixes(&key, NOW), ["mol_pk_second", "mol_pk_first"]);
    assert_eq!(key.rotate(new("x", 0)), Err(RotationConflict::Running));
    let end = NOW + Duration::MINUTE;
    assert!(!key.has_ended(&first, end - Duration::MICROSECOND));
    assert!(key.has_ended(&first, end));
    assert!(!key.has_ended(&second, end));
    assert_eq!(prefixes(&key, end), ["mol_pk_second"]);
    assert_eq!(key.deprecation(&first), Some((NOW, end)));
    assert_eq!(key.deprecation(&second), None);
    assert_eq!(key.last_use_of(&first), Some(NOW - Duration::HOUR));
    assert_eq!(key.last_use_of(&second), None);
    assert_eq!(key.finish_rotation(end), Err(RotationConflict::NotRunning));
    key.expires_at = Some(NOW + Duration::SECOND);
    assert_eq!(key.deprecation(&first), Some((NOW, NOW + Duration::SECOND)));
}

#[test]
fn a_rotation_is_finished_or_cancelled() {
    let mut finished = key();
    let first = finished.newest_secret();
    finished.rotate(new("mol_pk_second", 60)).unwrap();
    let second = finished.newest_secret();
    let mut cancelled = finished.clone();
    finished.finish_rotation(NOW).unwrap();
    assert!(finished.has_ended(&first, NOW) && !finished.has_ended(&second, NOW));
    cancelled.cancel_rotation(NOW).unwrap();
    assert!(cancelled.has_ended(&second, NOW) && !cancelled.has_ended(&first, NOW));
    assert_eq!(cancelled.key_prefix, "mol_pk_first");
    assert_eq!(prefixes(&cancelled, NOW), ["mol_pk_first"]);
    assert_eq!(
        cancelled.last_use_of(&first),
        Some(NOW - Duration::HOUR),
        "what was known of it stays known"
    );
    assert_eq!(
        cancelled.cancel_rotation(NOW),
        Err(RotationConflict::NotRunning)
    );
    // In the same microsecond, and yet no two secrets have one time.
    cancelled.rotate(new("mol_pk_third", 60)).unwrap();
    assert!(cancelled.has_ended(&second, NOW) && !cancelled.has_ended(&first, NOW));
    assert_eq!(prefixes(&cancelled, NOW), ["mol_pk_third", "mol_pk_first"]);
}

#[test]
fn a_key_that_can_not_be_used_is_not_rotated() {
    let check = |change: fn(&mut PartnerKey), expect| {
        let mut key = key();
        change(&mut key);
        assert_eq!(key.rotate(new("x", 0)), Err(expect));
    };
    check(|key| key.revoked_at = Some(NOW), RotationConflict::Revoked);
    check(
        |key| key.disabled = true,
        RotationConflict::Unusable(KeyStatus::Disabled),
    );
    check(
        |key| key.expires_at = Some(NOW),
        RotationConflict::Unusable(KeyStatus::Expired),
    );
}

#[track_caller]
fn check_step(
    (new_used, old_used): (Option<i64>, Option<i64>),
    idle: Option<u32>,
    (at, expect): (i64, RotationStep),
) {
    let seconds = |seconds| NOW + Duration::seconds(seconds);
    let rotation = Rotation {
        created_at: NOW,
        last_used_at: new_used.map(seconds),
        older: OlderSecret {
            key_prefix: String::new(),
            created_at: NOW - Duration::DAY,
            expires_at: seconds(1000),
            last_used_at: old_used.map(seconds),
            finish_when_idle: idle,
        },
    };
    assert_eq!(rotation.step(seconds(at)), expect);
}

/// The rotation begins half a minute into a minute.
#[test]
fn an_overlap_ends_early_only_on_evidence() {
    let wait = |seconds| RotationStep::Wait(NOW + Duration::seconds(seconds));
    check_step((None, None), None, (0, wait(1000)));
    check_step((None, None), None, (1000, RotationStep::Over));
    // Quiet, but nobody has the new secret yet.
    check_step((None, None), Some(100), (600, wait(625)));
    check_step((None, None), Some(1), (600, wait(605)));
    check_step((None, None), Some(2_592_000), (0, wait(1000)));
    // The minute of the last use counts as used to its end.
    check_step((Some(1), None), Some(100), (134, wait(135)));
    check_step((Some(1), None), Some(100), (135, RotationStep::EndIdle));
    check_step(
        (Some(1), Some(-3600)),
        Some(100),
        (135, RotationStep::EndIdle),
    );
    check_step((Some(1), Some(31)), Some(100), (135, wait(195)));
    check_step((Some(1), Some(31)), Some(100), (195, RotationStep::EndIdle));
    check_step((Some(1), Some(950)), Some(100), (960, wait(1000)));
}
