//! The marketplace sells on a started server.

use std::env;

use molecule_client::{
    Client, Error, ErrorCode, NewPartner, NewPartnerKey, OrgStatus, Scope, Secret,
};
use reseller::{Marketplace, ResellerError};
use testkit::server::{ADMIN_KEY, Setup};

#[tokio::test]
async fn each_tier_has_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let own = env::current_exe().unwrap();
    let program = own.parent().unwrap().with_file_name("molecule-cp");
    let server = Setup::new(program, folder.path()).start().unwrap();
    let client = |key: Secret| Client::builder(&server.url()).key(key).build().unwrap();

    // The operator: a partner, and a key for each of its tiers.
    let operator = client(Secret::new(ADMIN_KEY));
    let partner = NewPartner {
        name: "Marketplace".to_owned(),
        ..NewPartner::default()
    };
    let partner = operator.admin().create_partner(&partner).await.unwrap();
    let mut marketplace = Marketplace::default();
    for plan in ["standard", "enterprise"] {
        let key = NewPartnerKey {
            name: format!("marketplace-{plan}"),
            partner_id: Some(partner.id),
            scopes: vec![
                Scope::OrgsCreate.into(),
                Scope::OrgsList.into(),
                Scope::OrgsDelete.into(),
            ],
            org_plans: Some(vec![plan.to_owned()]),
            ..NewPartnerKey::default()
        };
        let issued = operator.admin().create_key(&key).await.unwrap();
        marketplace = marketplace.with_tier(plan, client(issued.key));
    }

    // The marketplace.
    let sold = marketplace
        .sell("standard", "4711", "Acme", "acme")
        .await
        .unwrap();
    assert_eq!(sold.status, OrgStatus::Ready);
    let again = marketplace
        .sell("standard", "4711", "Acme", "acme")
        .await
        .unwrap();
    assert_eq!(again.id, sold.id);
    let found = marketplace.find("standard", "4711").await.unwrap().unwrap();
    assert_eq!((found.id, &*found.plan), (sold.id, "standard"));
    assert!(matches!(
        marketplace.sell("free", "1", "A", "abc").await,
        Err(ResellerError::NoSuchTier(_))
    ));

    // The key of one tier does not delete what the other has sold.
    let refused = marketplace.cancel("enterprise", sold.id).await.unwrap_err();
    let ResellerError::Call(error @ Error::Refused(_)) = refused else {
        panic!("{refused}");
    };
    assert_eq!(error.code(), Some(ErrorCode::OrgPlanNotAllowed));
    marketplace.cancel("standard", sold.id).await.unwrap();
    marketplace.cancel("standard", sold.id).await.unwrap();
}
