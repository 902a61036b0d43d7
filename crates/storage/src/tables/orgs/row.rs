//! The rows of orgs. Each column is named here, and otherwise where it is looked for.

use ::orgs::{Failure, Lease, NewOrg, Org, OrgProgress, Slug, Subscription};
use diesel::{expression::SqlLiteral, prelude::*, sql_types::Bool};
use stores::StoreError;

use super::{change, steps};
use crate::{
    connection::bulk::{BulkInsert, bulk_row},
    tables::{values, webhook_announcements::webhook_announcements},
};

diesel::table! {
    orgs (id) {
        id -> Text,
        partner_id -> Text,
        created_by_key_id -> Text,
        name -> Text,
        slug -> Text,
        plan -> Text,
        options -> Text,
        pending_change -> Nullable<Text>,
        status -> Text,
        external_id -> Nullable<Text>,
        labels -> Text,
        delete_protection -> Bool,
        created_at -> BigInt,
        updated_at -> BigInt,
        ready_at -> Nullable<BigInt>,
        deleted_at -> Nullable<BigInt>,
        failure_code -> Nullable<Text>,
        failure_message -> Nullable<Text>,
        attempts -> BigInt,
        due_at -> Nullable<BigInt>,
        lease_token -> Nullable<Text>,
        lease_until -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        steps -> Text,
        subscription_status -> Nullable<Text>,
        subscription_start -> Nullable<BigInt>,
        subscription_end -> Nullable<BigInt>,
        subscription_cancel_at -> Nullable<BigInt>,
        end_to_announce -> Nullable<BigInt>,
        outputs -> Nullable<Text>,
        secret_names -> Nullable<Text>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(orgs, webhook_announcements);

/// An org.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = orgs)]
pub(super) struct OrgRow {
    pub(super) id: String,
    pub(super) partner_id: String,
    created_by_key_id: String,
    slug: String,
    pub(super) external_id: Option<String>,
    pub(super) labels: String,
    pub(super) delete_protection: bool,
    created_at: i64,
    expires_at: Option<i64>,
    #[diesel(embed)]
    pub(super) state: StateRow,
}

/// What changes of an org while it is worked on.
#[derive(AsChangeset, Clone, Queryable, Selectable)]
#[diesel(table_name = orgs)]
#[diesel(treat_none_as_null = true)]
pub(super) struct StateRow {
    name: String,
    plan: String,
    options: String,
    pending_change: Option<String>,
    status: String,
    updated_at: i64,
    ready_at: Option<i64>,
    deleted_at: Option<i64>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    attempts: i64,
    outputs: Option<String>,
    secret_names: Option<String>,
}

/// The subscription in an org's row; nothing when there is none.
#[derive(Default, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = orgs)]
#[diesel(treat_none_as_null = true)]
pub(super) struct SubscriptionRow {
    pub(super) subscription_status: Option<String>,
    pub(super) subscription_start: Option<i64>,
    pub(super) subscription_end: Option<i64>,
    pub(super) subscription_cancel_at: Option<i64>,
}

/// An org that is to be added, with what else stands in its row.
pub(super) struct NewRow {
    pub(super) org: OrgRow,
    steps: String,
    lease_token: Option<String>,
    lease_until: Option<i64>,
    subscription: SubscriptionRow,
}

bulk_row!(NewRow {
    id: Text = org.id,
    partner_id: Text = org.partner_id,
    created_by_key_id: Text = org.created_by_key_id,
    name: Text = org.state.name,
    slug: Text = org.slug,
    plan: Text = org.state.plan,
    options: Text = org.state.options,
    pending_change: OptionalText = org.state.pending_change,
    status: Text = org.state.status,
    external_id: OptionalText = org.external_id,
    labels: Text = org.labels,
    delete_protection: Flag = org.delete_protection,
    created_at: Number = org.created_at,
    updated_at: Number = org.state.updated_at,
    ready_at: OptionalNumber = org.state.ready_at,
    deleted_at: OptionalNumber = org.state.deleted_at,
    failure_code: OptionalText = org.state.failure_code,
    failure_message: OptionalText = org.state.failure_message,
    attempts: Number = org.state.attempts,
    // It is due at once.
    due_at: Number = org.created_at,
    lease_token: OptionalText = lease_token,
    lease_until: OptionalNumber = lease_until,
    expires_at: OptionalNumber = org.expires_at,
    steps: Text = steps,
    subscription_status: OptionalText = subscription.subscription_status,
    subscription_start: OptionalNumber = subscription.subscription_start,
    subscription_end: OptionalNumber = subscription.subscription_end,
    subscription_cancel_at: OptionalNumber = subscription.subscription_cancel_at,
    end_to_announce: OptionalNumber = org.expires_at,
    outputs: OptionalText = org.state.outputs,
    secret_names: OptionalText = org.state.secret_names,
});

impl BulkInsert for NewRow {
    const TABLE: &'static str = "orgs";
}

/// The progress of a worker on an org, as it is written.
pub(super) struct ProgressRow {
    pub(super) org: OrgRow,
    steps: String,
    due_at: Option<i64>,
    /// Whether the lease stays as it is; otherwise it becomes the one below, or none.
    pub(super) keep: bool,
    pub(super) lease_token: Option<String>,
    pub(super) lease_until: Option<i64>,
    pub(super) cancel: bool,
}

bulk_row!(ProgressRow {
    id: Text = org.id,
    keep: Flag = keep,
    lease_token: OptionalText = lease_token,
    lease_until: OptionalNumber = lease_until,
    cancel: Flag = cancel,
} set {
    name: Text = org.state.name,
    plan: Text = org.state.plan,
    options: Text = org.state.options,
    pending_change: OptionalText = org.state.pending_change,
    status: Text = org.state.status,
    updated_at: Number = org.state.updated_at,
    ready_at: OptionalNumber = org.state.ready_at,
    deleted_at: OptionalNumber = org.state.deleted_at,
    failure_code: OptionalText = org.state.failure_code,
    failure_message: OptionalText = org.state.failure_message,
    attempts: Number = org.state.attempts,
    outputs: OptionalText = org.state.outputs,
    secret_names: OptionalText = org.state.secret_names,
    due_at: OptionalNumber = due_at,
    steps: Text = steps,
});

impl From<&Org> for OrgRow {
    fn from(org: &Org) -> Self {
        Self {
            id: org.id.to_string(),
            partner_id: org.partner_id.to_string(),
            created_by_key_id: org.created_by_key_id.to_string(),
            slug: org.slug.to_string(),
            external_id: org.external_id.as_ref().map(ToString::to_string),
            labels: values::labels_text(&org.labels),
            delete_protection: org.delete_protection,
            created_at: values::micros(org.created_at),
            expires_at: org.expires_at.map(values::micros),
            state: StateRow::from(org),
        }
    }
}

impl From<&Org> for StateRow {
    fn from(org: &Org) -> Self {
        let failure = org.failure.as_ref();
        Self {
            name: org.name.to_string(),
            plan: org.plan.to_string(),
            options: org.options.to_string(),
            pending_change: org.change.as_ref().map(change::text),
            status: org.status.to_string(),
            updated_at: values::micros(org.updated_at),
            ready_at: org.ready_at.map(values::micros),
            deleted_at: org.deleted_at.map(values::micros),
            failure_code: failure.map(|failure| failure.code.clone()),
            failure_message: failure.map(|failure| failure.message.clone()),
            attempts: org.attempts.into(),
            outputs: values::outputs_text(&org.outputs),
            // Names have no spaces.
            secret_names: (!org.secret_names.is_empty()).then(|| org.secret_names.join(" ")),
        }
    }
}

impl TryFrom<OrgRow> for Org {
    type Error = StoreError;

    fn try_from(row: OrgRow) -> Result<Self, StoreError> {
        let state = row.state;
        Ok(Self {
            id: values::id(&row.id, "the id of an org")?,
            partner_id: values::id(&row.partner_id, "the partner of an org")?,
            created_by_key_id: values::id(&row.created_by_key_id, "the creator of an org")?,
            name: values::name(state.name, "the name of an org")?,
            slug: Slug::new(row.slug).map_err(|_| values::corrupt("the slug of an org"))?,
            plan: values::plan(state.plan, "the plan of an org")?,
            options: change::options(&state.options)?,
            change: state
                .pending_change
                .as_deref()
                .map(change::parse)
                .transpose()?,
            status: state
                .status
                .parse()
                .map_err(|_| values::corrupt("the status of an org"))?,
            external_id: row
                .external_id
                .map(|text| values::name(text, "the external id of an org"))
                .transpose()?,
            labels: values::labels(&row.labels, "the labels of an org")?,
            delete_protection: row.delete_protection,
            created_at: values::time(row.created_at, "the time of an org")?,
            updated_at: values::time(state.updated_at, "the last change of an org")?,
            ready_at: values::optional_time(state.ready_at, "the readiness of an org")?,
            expires_at: values::optional_time(row.expires_at, "the end of an org's lease")?,
            deleted_at: values::optional_time(state.deleted_at, "the deletion of an org")?,
            failure: state
                .failure_code
                .zip(state.failure_message)
                .map(|(code, message)| Failure { code, message }),
            outputs: values::outputs(state.outputs.as_deref(), "the outputs of an org")?,
            secret_names: state
                .secret_names
                .map(|names| names.split(' ').map(str::to_owned).collect())
                .unwrap_or_default(),
            attempts: values::number(state.attempts, "the attempts at an org")?,
        })
    }
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
    pub(super) fn subscription(self) -> Result<Option<Subscription>, StoreError> {
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

impl From<&NewOrg> for NewRow {
    fn from(new: &NewOrg) -> Self {
        Self {
            org: OrgRow::from(&new.org),
            steps: steps::text(&new.steps),
            lease_token: new.lease.map(|lease| lease.token.0.to_string()),
            lease_until: new.lease.map(|lease| values::micros(lease.until)),
            subscription: new
                .subscription
                .as_ref()
                .map(SubscriptionRow::from)
                .unwrap_or_default(),
        }
    }
}

impl ProgressRow {
    /// A row that is written with a new lease, or whose lease goes on or ends as the progress says.
    pub(super) fn new(one: &OrgProgress, lease: Option<Lease>) -> Self {
        Self {
            org: OrgRow::from(&one.work.org),
            steps: steps::text(&one.work.steps),
            due_at: one.due_at.map(values::micros),
            keep: lease.is_none() && !one.release,
            lease_token: lease.map(|lease| lease.token.0.to_string()),
            lease_until: lease.map(|lease| values::micros(lease.until)),
            cancel: one.cancel,
        }
    }
}

/// The condition of the indexes of live orgs, word for word: an engine does not see it in a value that is
/// bound.
pub(super) fn is_live() -> SqlLiteral<Bool> {
    diesel::dsl::sql("orgs.status <> 'deleted'")
}

/// The condition of the indexes of orgs that are not going or gone.
pub(in crate::tables) fn is_staying() -> SqlLiteral<Bool> {
    diesel::dsl::sql("orgs.status <> 'deprovisioning' AND orgs.status <> 'deleted'")
}

/// The condition of the indexes of deleted orgs.
pub(super) fn is_deleted() -> SqlLiteral<Bool> {
    diesel::dsl::sql("orgs.status = 'deleted'")
}
