//! The rows of deliveries.

use diesel::prelude::*;
use stores::StoreError;
use webhooks::{Delivery, DeliveryStatus, EventKind, LastAnswer};

use crate::tables::{values, webhook_endpoints::webhook_endpoints};

diesel::table! {
    webhook_deliveries (id) {
        id -> Text,
        endpoint_id -> Text,
        partner_id -> Text,
        kind -> Text,
        body -> Text,
        status -> Text,
        attempts -> BigInt,
        tries -> BigInt,
        answered_at -> Nullable<BigInt>,
        answer_status -> Nullable<BigInt>,
        answer_excerpt -> Nullable<Text>,
        answer_error -> Nullable<Text>,
        due_at -> Nullable<BigInt>,
        created_at -> BigInt,
        delivered_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::joinable!(webhook_deliveries -> webhook_endpoints (endpoint_id));
diesel::allow_tables_to_appear_in_same_query!(webhook_deliveries, webhook_endpoints);

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_deliveries)]
pub(super) struct DeliveryRow {
    pub(super) id: String,
    endpoint_id: String,
    partner_id: String,
    kind: String,
    body: String,
    created_at: i64,
    #[diesel(embed)]
    pub(super) state: StateRow,
}

/// What changes of a delivery.
#[derive(AsChangeset, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_deliveries)]
#[diesel(treat_none_as_null = true)]
pub(super) struct StateRow {
    status: String,
    attempts: i64,
    tries: i64,
    answered_at: Option<i64>,
    answer_status: Option<i64>,
    answer_excerpt: Option<String>,
    answer_error: Option<String>,
    due_at: Option<i64>,
    delivered_at: Option<i64>,
    ended_at: Option<i64>,
}

impl From<&Delivery> for DeliveryRow {
    fn from(delivery: &Delivery) -> Self {
        let answer = delivery.last_answer.as_ref();
        Self {
            id: delivery.id.to_string(),
            endpoint_id: delivery.endpoint_id.to_string(),
            partner_id: delivery.partner_id.to_string(),
            kind: delivery.kind.to_string(),
            body: delivery.body.clone(),
            created_at: values::micros(delivery.created_at),
            state: StateRow {
                status: delivery.status.as_str().to_owned(),
                attempts: delivery.attempts.into(),
                tries: delivery.tries.into(),
                answered_at: answer.map(|answer| values::micros(answer.at)),
                answer_status: answer.and_then(|answer| answer.status_code.map(i64::from)),
                answer_excerpt: answer.and_then(|answer| answer.excerpt.clone()),
                answer_error: answer.and_then(|answer| answer.error.clone()),
                due_at: delivery.due_at.map(values::micros),
                delivered_at: delivery.delivered_at.map(values::micros),
                ended_at: delivery.ended_at.map(values::micros),
            },
        }
    }
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let state = row.state;
        let answered_at = values::optional_time(state.answered_at, "the answer to a delivery")?;
        let status_code = state
            .answer_status
            .map(|code| values::number(code, "the answer to a delivery"))
            .transpose()?;
        Ok(Self {
            id: values::id(&row.id, "the id of a delivery")?,
            endpoint_id: values::id(&row.endpoint_id, "the endpoint of a delivery")?,
            partner_id: values::id(&row.partner_id, "the partner of a delivery")?,
            kind: EventKind::parse(&row.kind).ok_or(values::corrupt("the kind of a delivery"))?,
            body: row.body,
            status: DeliveryStatus::parse(&state.status)
                .ok_or(values::corrupt("the status of a delivery"))?,
            attempts: values::number(state.attempts, "the attempts at a delivery")?,
            tries: values::number(state.tries, "the tries of a delivery")?,
            last_answer: answered_at.map(|at| LastAnswer {
                at,
                status_code,
                excerpt: state.answer_excerpt,
                error: state.answer_error,
            }),
            due_at: values::optional_time(state.due_at, "the next attempt at a delivery")?,
            created_at: values::time(row.created_at, "the time of a delivery")?,
            delivered_at: values::optional_time(state.delivered_at, "the arrival of a delivery")?,
            ended_at: values::optional_time(state.ended_at, "the end of a delivery")?,
        })
    }
}
