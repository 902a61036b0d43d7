//! Trust rules, the tokens that were exchanged, and the keys that they were exchanged for.

use ids::{KeyId, PartnerId, TrustRuleId};
use keys::{KeyFilter, LISTED_AFTER_END, Partner, PartnerKey};
use ratelimit::RateLimit;
use scopes::{Scope, ScopeSet};
use serde_json::json;
use stores::{Database, prelude::*};
use time::Duration;
use trust::{Claims, Issuer, Refusals, TokenDigest, TokenTtl, TrustRule};

use super::fixture::{ALL, Fixture, at, at_once, ids_of};
use crate::{
    build::{name, plan},
    clock::START,
};

fn full(rule: TrustRule) -> TrustRule {
    let claims = json!({"sub": "repo:o@1/r@2:x", "n": 7, "b": [true, "日\"'"]});
    let refuse = json!({"event_name": [], "x": ["y", 1]});
    TrustRule {
        name: name(&"日".repeat(200)),
        issuer: Issuer::stored("https://ci.example/x".to_owned()),
        audience: "é'\"".to_owned(),
        claims: Claims::read(claims.as_object().unwrap()).unwrap(),
        refuse: Refusals::read(refuse.as_object().unwrap()).unwrap(),
        scopes: ScopeSet::EMPTY.with(Scope::AuditRead),
        org_plans: Some(vec![plan("zeta"), plan("alpha")]),
        max_live_orgs: Some(5_000_000_000),
        max_ttl_seconds: Some(2_592_000),
        rate_limit: Some(RateLimit::literal(100_000_000, 86_400)),
        token_ttl: TokenTtl::from_seconds(3600).unwrap(),
        enabled: false,
        created_at: at(-7),
        ..rule
    }
}

impl<D: Database> Fixture<D> {
    async fn rule(&self, partner: &Partner) -> TrustRule {
        let rule = self.build.trust_rule(partner);
        self.add_rule(&rule).await;
        rule
    }

    async fn add_rule(&self, rule: &TrustRule) {
        let rule = rule.clone();
        self.write(move |tx| tx.trust_rule_insert(&rule)).await;
    }

    async fn stored_rule(&self, id: TrustRuleId) -> Option<TrustRule> {
        self.read(move |view| view.trust_rule(id)).await
    }

    /// A stored key of a rule that ends so long after the start.
    async fn key_of_rule(&self, partner: &Partner, rule: &TrustRule, end: Duration) -> PartnerKey {
        let key = PartnerKey {
            created_by: rule.id.into(),
            expires_at: Some(START + end),
            ..self.build.key(partner)
        };
        self.add_key(&key).await;
        key
    }
}

/// With every field set, and with every one left out that may be.
pub async fn a_trust_rule_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let bare = fixture.build.trust_rule(&partner);
    let full = full(fixture.build.trust_rule(&partner));
    for rule in [bare, full] {
        fixture.add_rule(&rule).await;
        let id = rule.id;
        assert_eq!(fixture.stored_rule(id).await.as_ref(), Some(&rule));
        let actual = fixture.write(move |tx| tx.trust_rule_for_update(id)).await;
        assert_eq!(actual.as_ref(), Some(&rule));
        let actual = fixture.write(move |tx| tx.trust_rule_for_use(id)).await;
        assert_eq!(actual, Some(rule));
    }
    let id = partner.id;
    let count = fixture.read(move |view| view.trust_rule_count(id)).await;
    assert_eq!(count, 2);
}

/// And it changes no other rule, and makes none.
pub async fn a_trust_rule_update_writes_what_may_change_and_nothing_else<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (before, bystander) = (fixture.rule(&partner).await, fixture.rule(&partner).await);
    let change = full(before.clone());
    let expect = TrustRule {
        created_at: before.created_at,
        ..change.clone()
    };
    fixture.write(move |tx| tx.trust_rule_update(&change)).await;
    assert_eq!(fixture.stored_rule(before.id).await, Some(expect));
    let change = before.clone();
    fixture.write(move |tx| tx.trust_rule_update(&change)).await;
    assert_eq!(fixture.stored_rule(before.id).await, Some(before));
    assert_eq!(
        fixture.stored_rule(bystander.id).await.as_ref(),
        Some(&bystander)
    );
    let unknown = fixture.build.trust_rule(&partner);
    let id = unknown.id;
    fixture
        .write(move |tx| tx.trust_rule_update(&unknown))
        .await;
    assert_eq!(fixture.stored_rule(id).await, None);
}

/// A worker finds one of which keys are to be revoked, deleted or not, until it says that none is left.
pub async fn a_deleted_trust_rule_is_gone_and_can_be_deleted_again<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (one, other) = (fixture.rule(&partner).await, fixture.rule(&partner).await);
    let (gone, hidden) = (one.id, other.id);
    let delete = |id: TrustRuleId| fixture.write(move |tx| tx.trust_rule_delete(id));
    fixture
        .write(move |tx| tx.trust_rule_set_keys_to_revoke(hidden, true))
        .await;
    assert!(!delete(fixture.build.id()).await);
    for id in [gone, hidden, gone] {
        assert!(delete(id).await);
    }
    for id in [gone, hidden] {
        assert_eq!(fixture.stored_rule(id).await, None);
    }
    let id = partner.id;
    let count = fixture.read(move |view| view.trust_rule_count(id)).await;
    assert_eq!(count, 0);
    let pending = || fixture.read(|view| view.trust_rule_with_keys_to_revoke());
    assert_eq!(pending().await, Some(hidden));
    fixture
        .write(move |tx| tx.trust_rule_set_keys_to_revoke(hidden, false))
        .await;
    assert_eq!(pending().await, None);
    let change = TrustRule {
        enabled: false,
        ..one
    };
    fixture.write(move |tx| tx.trust_rule_update(&change)).await;
    assert_eq!(fixture.stored_rule(gone).await, None);
}

/// All, or those of one partner.
pub async fn trust_rules_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partners = [fixture.partner().await, fixture.partner().await];
    let (mut all, mut of_first) = (Vec::new(), Vec::new());
    let mut last: Option<TrustRule> = None;
    for n in 0..6 {
        let partner = partners.get(n % 2).unwrap();
        let rule = fixture.rule(partner).await;
        all.insert(0, rule.id);
        if n % 2 == 0 {
            of_first.insert(0, rule.id);
        }
        last = Some(rule);
    }
    let id = |rule: &TrustRule| rule.id;
    fixture
        .check_pages(&all, id, |view, page| view.trust_rules(None, page))
        .await;
    let first: PartnerId = partners[0].id;
    fixture
        .check_pages(&of_first, id, move |view, page| {
            view.trust_rules(Some(first), page)
        })
        .await;
    let deleted = last.unwrap().id;
    fixture.write(move |tx| tx.trust_rule_delete(deleted)).await;
    all.remove(0);
    fixture
        .check_pages(&all, id, |view, page| view.trust_rules(None, page))
        .await;
}

/// A use of a transaction that failed is none.
pub async fn a_token_is_used_once_until_its_time<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (token, other) = (TokenDigest([1; 32]), TokenDigest([2; 32]));
    let use_of = |token: TokenDigest| fixture.write(move |tx| tx.token_use(&token, at(5)));
    let failed: Result<(), stores::StoreError> = fixture
        .db
        .write(move |tx| {
            tx.token_use(&token, at(5))?;
            Err(stores::StoreError::Overloaded)
        })
        .await;
    assert!(failed.is_err());
    assert!(use_of(token).await);
    assert!(!use_of(token).await);
    assert!(use_of(other).await);
    let prune = |now| fixture.write(move |tx| tx.token_uses_prune(at(now), 10));
    assert_eq!(prune(4).await, 0);
    assert!(!use_of(token).await);
    assert_eq!(prune(5).await, 2);
    assert!(use_of(token).await);
}

/// However many ask at the same time.
pub async fn of_many_uses_of_one_token_at_once_one_succeeds<D: Database>(db: D) {
    let used = at_once(32, |_| {
        let db = db.clone();
        async move {
            let token = TokenDigest([7; 32]);
            let used: Result<bool, stores::StoreError> =
                db.write(move |tx| tx.token_use(&token, at(5))).await;
            used.unwrap()
        }
    });
    assert_eq!(used.await.into_iter().filter(|used| *used).count(), 1);
}

/// The oldest first.
pub async fn outdated_uses_are_forgotten_up_to_the_limit<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    for n in 0..5_u8 {
        let token = TokenDigest([n; 32]);
        let until = at(n.into());
        assert!(fixture.write(move |tx| tx.token_use(&token, until)).await);
    }
    let prune = |limit| fixture.write(move |tx| tx.token_uses_prune(at(3), limit));
    assert_eq!(prune(3).await, 3);
    assert_eq!(prune(3).await, 1);
    assert_eq!(prune(3).await, 0);
}

/// Keys of others, and those that have ended, are left alone; each revocation is a change that caches learn of.
pub async fn the_live_keys_of_a_rule_are_revoked_up_to_the_limit<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (rule, other) = (fixture.rule(&partner).await, fixture.rule(&partner).await);
    let hour = Duration::HOUR;
    let mut live: Vec<KeyId> = Vec::new();
    for _ in 0..3 {
        live.push(fixture.key_of_rule(&partner, &rule, hour).await.id);
    }
    let ended = fixture
        .key_of_rule(&partner, &rule, Duration::ZERO)
        .await
        .id;
    let foreign = fixture.key_of_rule(&partner, &other, hour).await.id;
    let admins = fixture.key(&partner).await.id;
    let before = fixture.read(|view| view.key_changes(0)).await.revision;
    let id = rule.id;
    let revoke = || fixture.write(move |tx| tx.keys_of_rule_revoke(id, START, 2));
    let mut revoked = revoke().await;
    assert_eq!(revoked.len(), 2);
    revoked.extend(revoke().await);
    assert_eq!(revoke().await, []);
    revoked.sort_unstable();
    assert_eq!(revoked, live);
    for id in live {
        assert_eq!(fixture.stored_key(id).await.revoked_at, Some(START));
    }
    for id in [ended, foreign, admins] {
        assert_eq!(fixture.stored_key(id).await.revoked_at, None);
    }
    let after = fixture.read(|view| view.key_changes(0)).await.revision;
    assert_eq!(after - before, 3);
}

/// An admin's key stays, however long ago it has ended.
pub async fn keys_of_rules_are_deleted_a_day_after_their_end_but_those_of_orgs<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let rule = fixture.rule(&partner).await;
    let second = Duration::SECOND;
    let unused = fixture.key_of_rule(&partner, &rule, second).await;
    let later = fixture.key_of_rule(&partner, &rule, second * 2).await;
    let creator = fixture.key_of_rule(&partner, &rule, second).await;
    fixture.org(&creator).await;
    let admins = PartnerKey {
        expires_at: Some(START + second),
        ..fixture.build.key(&partner)
    };
    fixture.add_key(&admins).await;
    let prune = |at| fixture.write(move |tx| tx.keys_prune(at, 10));
    let end = START + second + LISTED_AFTER_END;
    assert_eq!(prune(end - Duration::MICROSECOND).await, 0);
    prune(end).await;
    let fixture = &fixture;
    let there = |key: &PartnerKey| {
        let id = key.id;
        async move { fixture.read(move |view| view.key(id)).await.is_some() }
    };
    assert!(!there(&unused).await);
    for key in [&later, &creator, &admins] {
        assert!(there(key).await);
    }
    // It is not looked at again.
    assert_eq!(prune(end).await, 0);
    assert_eq!(prune(end + second).await, 1);
    assert!(there(&creator).await);
}

/// To the very moment.
pub async fn keys_of_rules_leave_lists_a_day_after_their_end<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let rule = fixture.rule(&partner).await;
    let admins = fixture.key(&partner).await.id;
    let key = fixture
        .key_of_rule(&partner, &rule, Duration::ZERO)
        .await
        .id;
    let listed = |at| {
        let filter = KeyFilter {
            listed_at: Some(at),
            ..KeyFilter::default()
        };
        fixture.read(move |view| view.keys(&filter, ALL))
    };
    let end = START + LISTED_AFTER_END;
    let before = listed(end - Duration::MICROSECOND).await;
    assert_eq!(ids_of(&before.items, |key| key.id), [key, admins]);
    let after = listed(end).await;
    assert_eq!(ids_of(&after.items, |key| key.id), [admins]);
}
