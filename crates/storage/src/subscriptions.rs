//! Subscriptions, which stand in the rows of their orgs.

use diesel::prelude::*;
use ids::OrgId;
use orgs::{Org, Subscription};
use stores::StoreError;

use crate::{
    dialect::same,
    schema::orgs as table,
    session::{Session, Writing},
    values,
};

/// The subscription in an org's row; nothing when there is none.
#[derive(Default, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = table)]
#[diesel(treat_none_as_null = true)]
pub(crate) struct SubscriptionRow {
    pub(crate) subscription_status: Option<String>,
    pub(crate) subscription_start: Option<i64>,
    pub(crate) subscription_end: Option<i64>,
    pub(crate) subscription_cancel_at: Option<i64>,
}

impl From<&Subscription> for SubscriptionRow {
    fn from(subscription: &Subscription) -> Self {
        Self {
            subscription_status: Some(subscription.status.to_string()),
            subscription_start: Some(values::micros(subscription.current_period_start)),
            subscription_end: Some(values::micros(subscription.current_period_end)),
            subscription_cancel_at: subscription.cancel_at.map(values::micros),
        }
    }
}

impl SubscriptionRow {
    fn subscription(self) -> Result<Option<Subscription>, StoreError> {
        const STATUS: &str = "the status of a subscription";
        const START: &str = "the start of a subscription's period";
        const END: &str = "the end of a subscription's period";
        let Some(status) = self.subscription_status else {
            return Ok(None);
        };
        let time = |at: Option<i64>, what| values::time(at.ok_or(values::corrupt(what))?, what);
        Ok(Some(Subscription {
            status: status.parse().map_err(|_| values::corrupt(STATUS))?,
            current_period_start: time(self.subscription_start, START)?,
            current_period_end: time(self.subscription_end, END)?,
            cancel_at: values::optional_time(
                self.subscription_cancel_at,
                "the end of a subscription",
            )?,
        }))
    }
}

pub(crate) fn by_org<M>(
    session: &mut Session<M>,
    org: OrgId,
) -> Result<Option<Subscription>, StoreError> {
    let row: Option<SubscriptionRow> = session.run(|connection| {
        let found = table::table
            .find(org.to_string())
            .select(same::columns::<SubscriptionRow>());
        same::ask_one(connection, found)
    })?;
    row.map_or(Ok(None), SubscriptionRow::subscription)
}

pub(crate) fn put(
    session: &mut Session<Writing>,
    org: &Org,
    subscription: &Subscription,
) -> Result<(), StoreError> {
    let row = SubscriptionRow::from(subscription);
    let rows = session.run(|connection| {
        let place = table::table.find(org.id.to_string());
        let changed = diesel::update(place).set((
            &row,
            table::plan.eq(org.plan.as_str()),
            table::updated_at.eq(values::micros(org.updated_at)),
        ));
        same::change(connection, changed)
    })?;
    if rows == 0 {
        return Err(values::corrupt("the org of a subscription"));
    }
    Ok(())
}
