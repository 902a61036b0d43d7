//! Rows of subscriptions.

use diesel::prelude::*;
use ids::OrgId;
use orgs::Subscription;
use stores::StoreError;

use crate::{
    dialect::{self, same},
    schema::subscriptions,
    session::{Session, Writing},
    values,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = subscriptions)]
#[diesel(primary_key(org_id))]
#[diesel(treat_none_as_null = true)]
pub(crate) struct SubscriptionRow {
    pub(crate) org_id: String,
    pub(crate) status: String,
    pub(crate) current_period_start: i64,
    pub(crate) current_period_end: i64,
    pub(crate) cancel_at: Option<i64>,
}

impl SubscriptionRow {
    pub(crate) fn of(org: OrgId, subscription: &Subscription) -> Self {
        Self {
            org_id: org.to_string(),
            status: subscription.status.to_string(),
            current_period_start: values::micros(subscription.current_period_start),
            current_period_end: values::micros(subscription.current_period_end),
            cancel_at: subscription.cancel_at.map(values::micros),
        }
    }
}

impl TryFrom<SubscriptionRow> for Subscription {
    type Error = StoreError;

    fn try_from(row: SubscriptionRow) -> Result<Self, StoreError> {
        const START: &str = "the start of a subscription's period";
        const END: &str = "the end of a subscription's period";
        Ok(Self {
            status: row
                .status
                .parse()
                .map_err(|_| values::corrupt("the status of a subscription"))?,
            current_period_start: values::time(row.current_period_start, START)?,
            current_period_end: values::time(row.current_period_end, END)?,
            cancel_at: values::optional_time(row.cancel_at, "the end of a subscription")?,
        })
    }
}

pub(crate) fn by_org<M>(
    session: &mut Session<M>,
    org: OrgId,
) -> Result<Option<Subscription>, StoreError> {
    session
        .run(|connection| {
            let found = subscriptions::table
                .find(org.to_string())
                .select(same::columns::<SubscriptionRow>());
            same::ask_one::<_, SubscriptionRow>(connection, found)
        })?
        .map(Subscription::try_from)
        .transpose()
}

pub(crate) fn put(
    session: &mut Session<Writing>,
    org: OrgId,
    subscription: &Subscription,
) -> Result<(), StoreError> {
    let row = SubscriptionRow::of(org, subscription);
    session.run(|connection| dialect::subscription_put(connection, &row))
}
