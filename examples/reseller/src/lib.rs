//! A marketplace that sells orgs in tiers.
//!
//! Each tier has a key of its own, which creates, changes and deletes orgs of that plan alone (`org_plans`): a fault in
//! what sells the cheap tier can't touch the orgs of the dear one, and either key is revoked without the other.

use std::{collections::BTreeMap, time::Duration};

use futures_util::TryStreamExt as _;
use molecule_client::{Client, Error, NewOrg, Org, OrgFilters, OrgId, OrgState, OrgStatus};

/// How long a buyer waits for an org.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Why nothing was sold, or nothing ended.
#[derive(Debug, thiserror::Error)]
pub enum ResellerError {
    /// The control plane refused, or can't be reached.
    #[error(transparent)]
    Call(#[from] Error),
    /// The marketplace has no such tier.
    #[error("there is no tier {0}")]
    NoSuchTier(String),
    /// The org could not be made.
    #[error("the org {} is {}", .0.id, .0.status)]
    Failed(Box<OrgState>),
}

/// The marketplace: a client for each tier.
#[derive(Clone, Debug, Default)]
pub struct Marketplace {
    tiers: BTreeMap<String, Client>,
}

impl Marketplace {
    /// Adds a tier, named as its plan, with a client that has its key.
    #[must_use]
    pub fn with_tier(mut self, plan: &str, client: Client) -> Self {
        self.tiers.insert(plan.to_owned(), client);
        self
    }

    fn tier(&self, plan: &str) -> Result<&Client, ResellerError> {
        self.tiers
            .get(plan)
            .ok_or_else(|| ResellerError::NoSuchTier(plan.to_owned()))
    }

    /// Sells an org to a customer. An order that is placed twice, after a crash or a lost answer, is one org.
    ///
    /// # Errors
    /// When there is no such tier, or the org is not ready in the end.
    pub async fn sell(
        &self,
        plan: &str,
        order: &str,
        customer: &str,
        slug: &str,
    ) -> Result<OrgState, ResellerError> {
        let client = self.tier(plan)?;
        let org = client
            .with_idempotency_key(format!("order-{order}"))
            .create_org(&NewOrg {
                name: customer.to_owned(),
                slug: slug.to_owned(),
                plan: plan.to_owned(),
                external_id: Some(order.to_owned()),
                labels: Some([("channel".to_owned(), "marketplace".to_owned())].into()),
                ..NewOrg::default()
            })
            .await?;
        let state = client.wait_for_org(org.id, TIMEOUT).await?;
        if state.status == OrgStatus::Ready {
            Ok(state)
        } else {
            Err(ResellerError::Failed(Box::new(state)))
        }
    }

    /// The org of an order.
    ///
    /// # Errors
    /// When the control plane refuses, or can't be reached.
    pub async fn find(&self, plan: &str, order: &str) -> Result<Option<Org>, ResellerError> {
        let filters = OrgFilters {
            external_id: Some(order.to_owned()),
            ..OrgFilters::default()
        };
        Ok(self.tier(plan)?.orgs(&filters).try_next().await?)
    }

    /// Ends a subscription: the org is deleted. It may be called again.
    ///
    /// # Errors
    /// When the control plane refuses, or can't be reached.
    pub async fn cancel(&self, plan: &str, org: OrgId) -> Result<(), ResellerError> {
        self.tier(plan)?.delete_org(org).await?;
        Ok(())
    }
}
