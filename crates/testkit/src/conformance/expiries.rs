//! Orgs whose lease has run out, found partner by partner.

use ids::OrgId;
use orgs::{DeletionSelector, DueLimits, ExpiredOrgs, OrgStatus};
use stores::{Database, prelude::*};

use super::{
    endings::{doomed, org},
    fixture::{Fixture, at},
};

/// Shared among the partners that have any, in the order of their ids, and no more than a partner's share.
pub async fn expired_orgs_are_found_partner_by_partner<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut partners = Vec::new();
    for _ in 0..3 {
        partners.push(fixture.partner().await);
    }
    partners.sort_by_key(|partner| partner.id);
    let [one, two, three] = [0, 1, 2].map(|n| partners.get(n).unwrap().clone());
    let mut orgs = Vec::new();
    for (partner, end, status) in [
        (&one, 30, OrgStatus::Ready),
        (&one, 10, OrgStatus::Ready),
        (&one, 20, OrgStatus::Suspended),
        (&two, 99, OrgStatus::Ready),
        (&three, 5, OrgStatus::Deprovisioning),
        (&three, 5, OrgStatus::Deleted),
        (&three, 30, OrgStatus::Provisioning),
    ] {
        let key = fixture.key(partner).await;
        let id = org(&fixture, &key, |org| {
            org.expires_at = Some(at(end));
            org.status = status;
        });
        orgs.push(id.await);
    }
    let [a30, a10, a20, _, _, _, c30] = *orgs.as_slice() else {
        panic!("seven orgs");
    };
    let found = |now, after, partners, orgs| {
        let limits = DueLimits { partners, orgs };
        fixture.read(move |view| view.expired_orgs(at(now), after, limits))
    };
    let actual = |orgs: &[OrgId], after| ExpiredOrgs {
        orgs: orgs.to_vec(),
        after,
    };
    assert_eq!(found(9, None, 9, 9).await, actual(&[], None));
    assert_eq!(
        found(30, None, 9, 9).await,
        actual(&[a10, a20, a30, c30], None)
    );
    assert_eq!(found(30, None, 9, 4).await, actual(&[a10, a20, c30], None));
    assert_eq!(found(30, None, 9, 1).await, actual(&[a10, c30], None));
    assert_eq!(found(29, None, 9, 4).await, actual(&[a10, a20], None));
    let (after_one, after_two) = (Some(one.id), Some(two.id));
    assert_eq!(
        found(30, None, 1, 4).await,
        actual(&[a10, a20, a30], after_one)
    );
    assert_eq!(found(30, after_one, 1, 4).await, actual(&[], after_two));
    assert_eq!(found(30, after_two, 2, 4).await, actual(&[c30], None));

    let among = |ids: &[OrgId]| DeletionSelector::ExpiredAmong(at(20), ids.to_vec());
    let mut ended = doomed(&fixture, &among(&[a30, a20, a10, c30])).await;
    ended.sort_unstable();
    assert_eq!(ended, [a10, a20]);
    assert_eq!(doomed(&fixture, &among(&[a20])).await, [a20]);
    assert_eq!(doomed(&fixture, &among(&[])).await, []);
}
