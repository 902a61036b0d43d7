//! The store traits for subscriptions.

use ids::OrgId;

use crate::{Org, Subscription};

/// Queries of a store of subscriptions.
pub trait SubscriptionQueries {
    /// The store's error.
    type Error;

    /// The subscription of an org.
    fn subscription(&mut self, org: OrgId) -> Result<Option<Subscription>, Self::Error>;
}

/// Writes of a store of subscriptions; all within the caller's transaction.
pub trait SubscriptionStore: SubscriptionQueries {
    /// Sets the subscription of an org that is locked, and writes the org's plan and last change with it.
    fn subscription_put(
        &mut self,
        org: &Org,
        subscription: &Subscription,
    ) -> Result<(), Self::Error>;
}
