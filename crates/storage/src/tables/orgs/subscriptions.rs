//! Subscriptions, which stand in the rows of their orgs.

use diesel::prelude::*;
use ids::OrgId;
use orgs::{Org, Subscription, SubscriptionQueries, SubscriptionStore};
use stores::StoreError;

use super::row::{SubscriptionRow, orgs as table};
use crate::{
    connection::prepared,
    session::{Session, Writing},
    tables::values,
};

impl<M> SubscriptionQueries for Session<M> {
    type Error = StoreError;

    fn subscription(&mut self, org: OrgId) -> Result<Option<Subscription>, StoreError> {
        let row: Option<SubscriptionRow> = self.run(|connection| {
            let found = table::table
                .find(org.to_string())
                .select(prepared::columns::<SubscriptionRow>());
            prepared::first_by_type(connection, found)
        })?;
        row.map_or(Ok(None), SubscriptionRow::subscription)
    }
}

impl SubscriptionStore for Session<Writing> {
    fn subscription_put(
        &mut self,
        org: &Org,
        subscription: &Subscription,
    ) -> Result<(), StoreError> {
        let row = SubscriptionRow::from(subscription);
        let rows = self.run(|connection| {
            let place = table::table.find(org.id.to_string());
            let changed = diesel::update(place).set((
                &row,
                table::plan.eq(org.plan.as_str()),
                table::updated_at.eq(values::micros(org.updated_at)),
            ));
            prepared::execute(connection, changed)
        })?;
        if rows == 0 {
            return Err(values::corrupt("the org of a subscription"));
        }
        Ok(())
    }
}
