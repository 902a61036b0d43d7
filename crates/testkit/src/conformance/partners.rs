//! Partners.

use ids::PartnerId;
use keys::{Partner, PartnerPlan};
use ratelimit::RateLimit;
use stores::{Database, prelude::*};

use super::fixture::{Fixture, at};
use crate::build::{labels, name};

fn full(partner: Partner) -> Partner {
    // The largest labels there can be: 16 of 63 and 255 characters.
    let long_key = |n: u8| format!("{n:02}{}", "k".repeat(61));
    let pairs: Vec<(String, String)> = (0..16).map(|n| (long_key(n), "é".repeat(255))).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (&**k, &**v)).collect();
    Partner {
        name: name(&"日".repeat(200)),
        rate_limit: Some(RateLimit::literal(1, 1)),
        // More than 32 bits.
        max_orgs: Some(5_000_000_000),
        labels: labels(&pairs),
        created_at: at(-123_455),
        ..partner
    }
}

/// Every plan, with every field set and with every field left out.
pub async fn a_partner_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    for plan in [
        PartnerPlan::Free,
        PartnerPlan::Standard,
        PartnerPlan::Partner,
        PartnerPlan::Enterprise,
    ] {
        let bare = Partner {
            plan,
            ..fixture.build.partner()
        };
        let none = Partner {
            max_orgs: Some(0),
            ..fixture.build.partner()
        };
        let full = Partner {
            plan,
            ..full(fixture.build.partner())
        };
        for partner in [bare, none, full] {
            fixture.add_partner(&partner).await;
            let id = partner.id;
            let actual = fixture.read(move |view| view.partner(id)).await;
            assert_eq!(actual.as_ref(), Some(&partner));
            let actual = fixture.write(move |tx| tx.partner_for_update(id)).await;
            assert_eq!(actual, Some(partner));
        }
    }
}

/// And it changes no other partner.
pub async fn a_partner_update_writes_everything_but_the_id_and_the_time_of_making<D: Database>(
    db: D,
) {
    let fixture = Fixture::new(db);
    let (before, bystander) = (fixture.partner().await, fixture.partner().await);
    let id = before.id;
    let mut expect = full(before.clone());
    expect.plan = PartnerPlan::Enterprise;
    let change = expect.clone();
    expect.created_at = before.created_at;
    fixture.write(move |tx| tx.partner_update(&change)).await;
    let actual = fixture.read(move |view| view.partner(id)).await;
    assert_eq!(actual, Some(expect));

    // What was set can be taken back.
    let change = before.clone();
    fixture.write(move |tx| tx.partner_update(&change)).await;
    assert_eq!(
        fixture.read(move |view| view.partner(id)).await,
        Some(before)
    );
    let other = fixture.read(move |view| view.partner(bystander.id)).await;
    assert_eq!(other, Some(bystander));
}

/// There is no partner until it is inserted.
pub async fn an_unknown_partner_is_not_found_and_not_made_by_an_update<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.build.partner();
    let id: PartnerId = partner.id;
    fixture.write(move |tx| tx.partner_update(&partner)).await;
    assert_eq!(fixture.read(move |view| view.partner(id)).await, None);
    let actual = fixture.write(move |tx| tx.partner_for_update(id)).await;
    assert_eq!(actual, None);
}

/// No partner is listed twice or lost between pages.
pub async fn partners_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut expect: Vec<PartnerId> = Vec::new();
    let id = |partner: &Partner| partner.id;
    fixture
        .check_pages(&expect, id, |view, page| view.partners(page))
        .await;
    for _ in 0..6 {
        expect.insert(0, fixture.partner().await.id);
    }
    fixture
        .check_pages(&expect, id, |view, page| view.partners(page))
        .await;
}
