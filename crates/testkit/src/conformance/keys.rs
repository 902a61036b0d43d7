//! Partner keys.

use ids::{AdminKeyId, KeyId, OrgId, TypedId, Ulid};
use keys::{
    KeyFilter, KeyStatus, KeyWithPartner, Networks, OnLeak, OnRevoke, PartnerKey, RevocationReason,
};
use ratelimit::RateLimit;
use scopes::{Scope, ScopeSet};
use stores::{Database, StoreError, Transaction as _, prelude::*};
use time::OffsetDateTime;

use super::fixture::{ALL, Fixture, at, at_once, ids_of};
use crate::build::{labels, name, plan};

/// Both a key with every field set and one with every field left out come back as they went in.
pub async fn a_key_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let org = fixture.any_org().await;
    let partner = fixture.read(move |view| view.partner(org.partner_id)).await;
    let partner = partner.unwrap();
    let bare = PartnerKey {
        scopes: ScopeSet::EMPTY,
        ..fixture.build.key(&partner)
    };
    let no_plans = PartnerKey {
        org_plans: Some(Vec::new()),
        ..fixture.build.key(&partner)
    };
    let full = full_key(fixture.build.key(&partner), org.id);
    for key in [bare, no_plans, full] {
        let digest = fixture.add_key(&key).await;
        let id = key.id;
        let by_id = fixture.read(move |view| view.key(id)).await.unwrap();
        assert_eq!((&by_id.key, &by_id.partner), (&key, &partner));
        let by_digest = fixture
            .read(move |view| view.key_by_digest(&[digest]))
            .await;
        assert_eq!(by_digest.map(|found| found.held), Some(by_id.clone()));
        let for_update = fixture.write(move |tx| tx.key_for_update(id)).await;
        assert_eq!(for_update, Some(by_id));
        let filter = KeyFilter {
            id: Some(id),
            ..KeyFilter::default()
        };
        let listed = fixture.read(move |view| view.keys(&filter, ALL)).await;
        assert_eq!(listed.items, [key]);
    }
}

fn full_key(key: PartnerKey, org: OrgId) -> PartnerKey {
    PartnerKey {
        name: name(&"日é".repeat(100)),
        scopes: ScopeSet::EMPTY.with(Scope::OrgsList).with(Scope::AuditRead),
        org_id: Some(org),
        org_plans: Some(vec![plan("zeta"), plan("alpha")]),
        allowed_cidrs: Some(Networks::parse(["2001:db8::/32", "192.0.2.7", "0.0.0.0/0"]).unwrap()),
        rate_limit: Some(RateLimit::literal(100_000_000, 86_400)),
        expires_at: Some(at(1)),
        max_live_orgs: Some(5_000_000_000),
        max_ttl_seconds: Some(2_592_000),
        on_revoke: OnRevoke::Delete,
        on_leak: OnLeak::Notify,
        disabled: true,
        labels: labels(&[("team", "Zürich \"1\""), ("empty", "")]),
        key_prefix: "mol_pk_'%_\"x".to_owned(),
        created_at: at(-876_544),
        created_by: AdminKeyId::from_ulid(Ulid::from(u128::MAX)).into(),
        last_used_at: Some(at(2)),
        revoked_at: Some(at(999_999)),
        revocation_reason: Some(RevocationReason::Churned),
        ..key
    }
}

/// A partner's plan and limit decide on the next call of its keys.
pub async fn a_key_is_held_with_its_partner_as_it_is_now<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut partner = fixture.partner().await;
    let key = fixture.build.key(&partner);
    let digest = fixture.add_key(&key).await;
    partner.plan = keys::PartnerPlan::Free;
    partner.rate_limit = Some(RateLimit::literal(5, 60));
    let changed = partner.clone();
    fixture.write(move |tx| tx.partner_update(&changed)).await;
    let held = fixture
        .read(move |view| view.key_by_digest(&[digest]))
        .await;
    assert_eq!(held.unwrap().held.partner, partner);
}

/// Whoever makes orgs reads its keys so, again and again; a store that remembers them must not miss a
/// change, nor believe in one that was undone.
pub async fn keys_for_use_are_as_nobody_has_changed_them<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut partner = fixture.partner().await;
    let (first, second) = (fixture.key(&partner).await, fixture.key(&partner).await);
    let (a, b, unknown) = (first.id, second.id, fixture.build.id::<KeyId>());
    let in_use = || async {
        let held = fixture
            .write(move |tx| tx.keys_for_use(&[unknown, b, a]))
            .await;
        let mut held: Vec<_> = held
            .iter()
            .map(|held| KeyWithPartner::clone(held))
            .collect();
        held.sort_by_key(|held| held.key.id);
        held
    };
    let as_stored =
        || fixture.read(move |view| Ok([view.key(a)?, view.key(b)?].into_iter().flatten()));
    let check = || async { assert_eq!(in_use().await, Vec::from_iter(as_stored().await)) };
    check().await;
    check().await;
    fixture
        .write(move |tx| tx.key_revoke(a, at(1), RevocationReason::Unspecified, OnRevoke::Keep))
        .await;
    check().await;
    partner.max_orgs = Some(3);
    let changed = partner.clone();
    fixture.write(move |tx| tx.partner_update(&changed)).await;
    check().await;

    // What a transaction has changed it sees; once it is undone, nobody sees it, whatever else is
    // changed then.
    let disabled = PartnerKey {
        disabled: true,
        ..second.clone()
    };
    let undone = fixture.db.write(move |tx| {
        tx.key_update(&disabled)?;
        let held = tx.keys_for_use(&[b])?;
        assert!(held.iter().all(|held| held.key.disabled));
        Err::<(), _>(StoreError::Overloaded)
    });
    undone.await.unwrap_err();
    partner.max_orgs = Some(4);
    let changed = partner.clone();
    fixture.write(move |tx| tx.partner_update(&changed)).await;
    check().await;
    let disabled = PartnerKey {
        disabled: true,
        ..second
    };
    partner.max_orgs = Some(5);
    let changed = partner.clone();
    let within = fixture.write(move |tx| {
        let part = tx.savepoint(|tx| {
            tx.key_update(&disabled)?;
            tx.keys_for_use(&[b])?;
            Err::<(), _>(StoreError::Overloaded)
        });
        assert!(part.is_err());
        tx.partner_update(&changed)?;
        tx.keys_for_use(&[b])
    });
    assert!(within.await.iter().all(|held| !held.key.disabled));
    check().await;
}

/// What an admin may change is in the doc of `key_update`.
pub async fn a_key_update_writes_what_an_admin_may_change_and_nothing_else<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let org = fixture.any_org().await;
    let partner = fixture.partner().await;
    let before = PartnerKey {
        last_used_at: Some(at(5)),
        ..fixture.build.key(&partner)
    };
    let digest = fixture.add_key(&before).await;
    let bystander = fixture.key(&partner).await;
    let change = PartnerKey {
        partner_id: org.partner_id,
        last_used_at: Some(at(9)),
        revoked_at: Some(at(9)),
        revocation_reason: Some(RevocationReason::Churned),
        ..full_key(before.clone(), org.id)
    };
    let expect = PartnerKey {
        name: change.name.clone(),
        scopes: change.scopes,
        org_plans: change.org_plans.clone(),
        allowed_cidrs: change.allowed_cidrs.clone(),
        rate_limit: change.rate_limit,
        expires_at: change.expires_at,
        max_live_orgs: change.max_live_orgs,
        max_ttl_seconds: change.max_ttl_seconds,
        on_revoke: change.on_revoke,
        on_leak: change.on_leak,
        labels: change.labels.clone(),
        disabled: true,
        ..before.clone()
    };
    fixture.write(move |tx| tx.key_update(&change)).await;
    let found = fixture
        .read(move |view| view.key_by_digest(&[digest]))
        .await;
    assert_eq!(found.unwrap().held.key, expect);
    assert_eq!(fixture.stored_key(bystander.id).await, bystander);

    // What was set can be taken back.
    let cleared = before.clone();
    fixture.write(move |tx| tx.key_update(&cleared)).await;
    assert_eq!(fixture.stored_key(before.id).await, before);
}

/// A PATCH that read the key before it was revoked must not bring it back.
pub async fn a_stale_key_update_does_not_undo_a_revocation<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let stale = fixture.key(&partner).await;
    let id = stale.id;
    fixture
        .write(move |tx| tx.key_revoke(id, at(1), RevocationReason::Unspecified, OnRevoke::Keep))
        .await;
    fixture.write(move |tx| tx.key_update(&stale)).await;
    assert_eq!(fixture.stored_key(id).await.revoked_at, Some(at(1)));
}

/// The second revocation says that it was not the first.
pub async fn a_key_is_revoked_once_and_its_time_and_reason_stay<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (id, other) = (
        fixture.key(&partner).await.id,
        fixture.key(&partner).await.id,
    );
    assert!(
        fixture
            .write(move |tx| tx.key_revoke(id, at(1), RevocationReason::Superseded, OnRevoke::Keep))
            .await
    );
    assert!(
        !fixture
            .write(move |tx| tx.key_revoke(id, at(2), RevocationReason::Leaked, OnRevoke::Keep))
            .await
    );
    let revoked = fixture.stored_key(id).await;
    assert_eq!(revoked.revoked_at, Some(at(1)));
    assert_eq!(
        revoked.revocation_reason,
        Some(RevocationReason::Superseded)
    );
    assert_eq!(fixture.stored_key(other).await.revoked_at, None);
    let unknown: KeyId = fixture.build.id();
    assert!(
        !fixture
            .write(move |tx| tx.key_revoke(
                unknown,
                at(1),
                RevocationReason::Unspecified,
                OnRevoke::Keep
            ))
            .await
    );
}

/// One event of a revocation, not many.
pub async fn of_many_revocations_at_once_one_is_the_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let id = fixture.key(&partner).await.id;
    let firsts = at_once(16, |_| {
        let db = fixture.db.clone();
        async move {
            let revoked = db.write(move |tx| {
                tx.key_revoke(id, at(1), RevocationReason::Unspecified, OnRevoke::Keep)
            });
            Result::<bool, StoreError>::unwrap(revoked.await)
        }
    });
    let firsts = firsts.await.into_iter().filter(|&first| first).count();
    assert_eq!(firsts, 1);
}

async fn listed<D: Database>(fixture: &Fixture<D>, filter: KeyFilter) -> Vec<KeyId> {
    let page = fixture.read(move |view| view.keys(&filter, ALL)).await;
    ids_of(&page.items, |key| key.id)
}

/// A partner's list has its own keys alone, and one key is found only with its own partner.
pub async fn keys_are_filtered_by_partner_and_id<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let (a, b) = (fixture.key(&partner).await.id, fixture.key(&other).await.id);
    let list = |partner_id, id| {
        let filter = KeyFilter {
            partner_id,
            id,
            ..KeyFilter::default()
        };
        listed(&fixture, filter)
    };
    assert_eq!(list(None, None).await, [b, a]);
    assert_eq!(list(Some(partner.id), None).await, [a]);
    assert_eq!(list(None, Some(b)).await, [b]);
    assert_eq!(list(Some(other.id), Some(b)).await, [b]);
    assert_eq!(list(Some(partner.id), Some(b)).await, []);
}

async fn with_status<D: Database>(
    fixture: &Fixture<D>,
    status: KeyStatus,
    now: OffsetDateTime,
) -> Vec<KeyId> {
    let filter = KeyFilter {
        status: Some((status, now)),
        ..KeyFilter::default()
    };
    listed(fixture, filter).await
}

/// Every key has exactly one status, the one that [`PartnerKey::status`] tells.
pub async fn keys_are_filtered_by_status<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let mut keys = Vec::new();
    for bits in 0..8_u8 {
        let key = PartnerKey {
            disabled: bits & 1 != 0,
            expires_at: (bits & 2 != 0).then_some(at(-1)),
            revoked_at: (bits & 4 != 0).then_some(at(-5)),
            ..fixture.build.key(&partner)
        };
        fixture.add_key(&key).await;
        keys.push(key);
    }
    let unexpired = PartnerKey {
        expires_at: Some(at(1)),
        ..fixture.build.key(&partner)
    };
    fixture.add_key(&unexpired).await;
    keys.push(unexpired);
    for status in [
        KeyStatus::Active,
        KeyStatus::Disabled,
        KeyStatus::Expired,
        KeyStatus::Revoked,
    ] {
        let mut expect: Vec<KeyId> = keys
            .iter()
            .filter(|key| key.status(at(0)) == status)
            .map(|key| key.id)
            .collect();
        expect.reverse();
        assert!(!expect.is_empty());
        let actual = with_status(&fixture, status, at(0)).await;
        assert_eq!(actual, expect, "{status}");
    }
}

/// The list agrees with the decision on a call, to the microsecond, whole seconds too.
pub async fn a_key_is_listed_as_expired_from_the_very_moment<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let whole_second = at(0).replace_microsecond(0).unwrap();
    for end in [at(0), whole_second] {
        let key = PartnerKey {
            expires_at: Some(end),
            ..fixture.build.key(&partner)
        };
        fixture.add_key(&key).await;
        let one = time::Duration::MICROSECOND;
        for (now, status) in [
            (end - one, KeyStatus::Active),
            (end, KeyStatus::Expired),
            (end + one, KeyStatus::Expired),
        ] {
            let actual = with_status(&fixture, status, now).await;
            assert!(actual.contains(&key.id), "{status} at {now}");
        }
        let active = with_status(&fixture, KeyStatus::Active, end).await;
        assert!(!active.contains(&key.id));
    }
}

/// No key is listed twice or lost between pages.
pub async fn keys_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (partner, other) = (fixture.partner().await, fixture.partner().await);
    let mut expect = Vec::new();
    for _ in 0..6 {
        expect.insert(0, fixture.key(&partner).await.id);
        fixture.key(&other).await;
    }
    let filter = KeyFilter {
        partner_id: Some(partner.id),
        ..KeyFilter::default()
    };
    fixture
        .check_pages(
            &expect,
            |key: &PartnerKey| key.id,
            move |view, page| view.keys(&filter, page),
        )
        .await;
}
