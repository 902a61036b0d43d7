//! Sealed secrets of orgs: replaced, erased, resealed.

use ids::OrgId;
use keys::PepperId;
use stores::{Database, SealedOrgSecrets, StoreError, prelude::*};

use super::fixture::{Fixture, at};

fn pepper(digit: char) -> PepperId {
    digit.to_string().repeat(16).parse().unwrap()
}

fn secrets(org: OrgId, bytes: &[u8], pepper: PepperId) -> SealedOrgSecrets {
    SealedOrgSecrets {
        org,
        sealed: bytes.to_vec(),
        pepper,
        updated_at: at(bytes.len().try_into().unwrap()),
    }
}

async fn put<D: Database>(fixture: &Fixture<D>, secrets: &[SealedOrgSecrets]) {
    let secrets = secrets.to_vec();
    fixture
        .write(move |tx| secrets.iter().try_for_each(|one| tx.org_secrets_put(one)))
        .await;
}

async fn stored<D: Database>(fixture: &Fixture<D>, org: OrgId) -> Option<SealedOrgSecrets> {
    let found = fixture.read(move |view| view.org_secrets(&[org])).await;
    assert!(found.len() < 2);
    found.into_iter().next()
}

/// Sealed bytes of any length, with their pepper and their time.
pub async fn the_secrets_of_an_org_are_replaced_as_a_whole<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (one, other) = (fixture.any_org().await.id, fixture.any_org().await.id);
    assert_eq!(stored(&fixture, one).await, None);
    let long: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let all = [
        secrets(other, &long, pepper('a')),
        secrets(one, b"\0\xff", pepper('b')),
    ];
    put(&fixture, &all).await;
    assert_eq!(stored(&fixture, other).await.as_ref(), Some(&all[0]));
    assert_eq!(stored(&fixture, one).await.as_ref(), Some(&all[1]));
    let without = fixture.any_org().await.id;
    let asked = [one, without, other];
    let mut found = fixture.read(move |view| view.org_secrets(&asked)).await;
    found.sort_unstable_by_key(|secrets| secrets.org != other);
    assert_eq!(found, all);
    assert_eq!(fixture.read(|view| view.org_secrets(&[])).await, []);
    let next = secrets(one, b"another", pepper('c'));
    put(&fixture, std::slice::from_ref(&next)).await;
    assert_eq!(stored(&fixture, one).await, Some(next));
    assert_eq!(stored(&fixture, other).await.as_ref(), Some(&all[0]));
}

/// Also when there are none.
pub async fn erased_secrets_are_gone_and_those_of_other_orgs_stay<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (one, other) = (fixture.any_org().await.id, fixture.any_org().await.id);
    let all = [one, other].map(|org| secrets(org, b"sealed", pepper('a')));
    put(&fixture, &all).await;
    for _ in 0..2 {
        fixture.write(move |tx| tx.org_secrets_erase(one)).await;
        assert_eq!(stored(&fixture, one).await, None);
        assert_eq!(stored(&fixture, other).await.as_ref(), Some(&all[1]));
    }
}

/// In the order of the ids of their orgs.
pub async fn secrets_are_found_by_their_pepper_page_by_page<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut expect = Vec::new();
    for n in 0..5 {
        let org = fixture.any_org().await.id;
        let digit = if n == 2 { 'b' } else { 'a' };
        let one = secrets(org, b"sealed", pepper(digit));
        put(&fixture, std::slice::from_ref(&one)).await;
        if n != 2 {
            expect.push(one);
        }
    }
    for limit in [1, 3, 4, 10] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = fixture
                .read(move |view| view.org_secrets_under(pepper('a'), after, limit))
                .await;
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit);
            after = Some(last.org);
            found.extend(page);
        }
        assert_eq!(found, expect);
    }
    let none = fixture.read(|view| view.org_secrets_under(pepper('c'), None, 10));
    assert_eq!(none.await, []);
}

/// So that no new secrets are undone. The time stays: it is that of the secrets.
pub async fn secrets_are_resealed_only_from_what_is_stored<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let org = fixture.any_org().await.id;
    let before = secrets(org, b"before", pepper('a'));
    put(&fixture, std::slice::from_ref(&before)).await;
    let after = SealedOrgSecrets {
        sealed: b"after".to_vec(),
        pepper: pepper('b'),
        ..before.clone()
    };
    let new = SealedOrgSecrets {
        updated_at: at(99),
        ..after.clone()
    };
    let reseal = |expected: &'static [u8], new: &SealedOrgSecrets| {
        let new = new.clone();
        fixture.write(move |tx| tx.org_secrets_reseal(expected, &new))
    };
    assert!(!reseal(b"befor", &new).await);
    assert_eq!(stored(&fixture, org).await, Some(before));
    assert!(reseal(b"before", &new).await);
    assert_eq!(stored(&fixture, org).await, Some(after.clone()));
    assert!(!reseal(b"before", &new).await);
    fixture.write(move |tx| tx.org_secrets_erase(org)).await;
    assert!(!reseal(b"after", &new).await, "what is erased stays so");
    assert_eq!(stored(&fixture, org).await, None);
}

/// Neither new ones nor the erasure of old ones.
pub async fn secrets_of_a_rolled_back_transaction_are_not_there<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (one, other) = (fixture.any_org().await.id, fixture.any_org().await.id);
    let kept = secrets(one, b"kept", pepper('a'));
    put(&fixture, std::slice::from_ref(&kept)).await;
    let new = [one, other].map(|org| secrets(org, b"new", pepper('b')));
    let failed: Result<(), StoreError> = fixture
        .db
        .write(move |tx| {
            tx.org_secrets_put(&new[0])?;
            tx.org_secrets_put(&new[1])?;
            tx.org_secrets_erase(one)?;
            Err(StoreError::Corrupt { what: "a test" })
        })
        .await;
    failed.unwrap_err();
    assert_eq!(stored(&fixture, one).await, Some(kept));
    assert_eq!(stored(&fixture, other).await, None);
}

/// Beside keys, whose pepper may be another.
pub async fn secrets_count_among_what_needs_a_pepper<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    for digit in ['b', 'b', 'a'] {
        let org = fixture.any_org().await.id;
        put(&fixture, &[secrets(org, b"sealed", pepper(digit))]).await;
    }
    let uses = fixture.read(|view| view.pepper_uses(at(0))).await;
    let counts = uses.iter().map(|used| (used.pepper, used.org_secrets));
    let expect = [
        // The keys of the orgs.
        (None, 0),
        (Some(pepper('a')), 1),
        (Some(pepper('b')), 2),
    ];
    assert!(counts.eq(expect), "{uses:?}");
}
