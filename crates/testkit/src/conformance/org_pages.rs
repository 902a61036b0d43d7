//! Pages of lists of orgs.

use orgs::{Org, OrgFilter, OrgVisibility};
use stores::{Database, prelude::*};

use super::{fixture::Fixture, org_lists::visible};
use crate::build::labels;

/// No org is listed twice or lost between pages.
pub async fn orgs_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let (key, other_key) = (fixture.key(&partner).await, fixture.key(&partner).await);
    let (mut all, mut made) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (one, other) = (fixture.org(&key).await.id, fixture.org(&other_key).await.id);
        made.insert(0, one);
        all.splice(0..0, [other, one]);
    }
    for (visibility, expect) in [
        (OrgVisibility::All, &all),
        (OrgVisibility::Partner(partner.id), &all),
        (OrgVisibility::MadeBy(partner.id, key.id), &made),
    ] {
        fixture
            .check_pages(
                expect,
                |org: &Org| org.id,
                move |view, page| view.orgs(&visible(visibility), page),
            )
            .await;
    }
}

/// A page is full of what fits, whatever lies between, and the last one says that it is the last.
pub async fn orgs_that_a_filter_drops_leave_no_gap_between_pages<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let partner = fixture.partner().await;
    let key = fixture.key(&partner).await;
    let mut expect = Vec::new();
    for n in 0..12 {
        let org = fixture.build.org(&key);
        if n % 3 == 1 {
            expect.insert(0, org.id);
            let labels = labels(&[("env", "ci")]);
            fixture.add_org(&Org { labels, ..org }).await;
        } else {
            fixture.add_org(&org).await;
        }
    }
    let filter = OrgFilter {
        labels: vec![("env".to_owned(), "ci".to_owned())],
        ..visible(OrgVisibility::Partner(partner.id))
    };
    fixture
        .check_pages(
            &expect,
            |org: &Org| org.id,
            move |view, page| view.orgs(&filter, page),
        )
        .await;
}
