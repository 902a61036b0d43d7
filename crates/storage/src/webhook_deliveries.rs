//! Rows of deliveries.

use diesel::prelude::*;
use ids::{DeliveryId, EndpointId, Page, PageRequest, PartnerId, TypedId as _};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{Backlog, Delivery, DeliveryStatus, EventKind, LastAnswer, PendingDelivery};

use crate::{
    connection::AnyBackend,
    dialect::{self, same},
    schema::webhook_deliveries as table,
    session::{Session, Writing},
    values,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = table)]
struct DeliveryRow {
    id: String,
    endpoint_id: String,
    partner_id: String,
    kind: String,
    body: String,
    status: String,
    attempts: i64,
    tries: i64,
    answered_at: Option<i64>,
    answer_status: Option<i64>,
    answer_excerpt: Option<String>,
    answer_error: Option<String>,
    due_at: Option<i64>,
    created_at: i64,
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
            status: delivery.status.as_str().to_owned(),
            attempts: delivery.attempts.into(),
            tries: delivery.tries.into(),
            answered_at: answer.map(|answer| values::micros(answer.at)),
            answer_status: answer.and_then(|answer| answer.status_code.map(i64::from)),
            answer_excerpt: answer.and_then(|answer| answer.excerpt.clone()),
            answer_error: answer.and_then(|answer| answer.error.clone()),
            due_at: delivery.due_at.map(values::micros),
            created_at: values::micros(delivery.created_at),
            delivered_at: delivery.delivered_at.map(values::micros),
            ended_at: delivery.ended_at.map(values::micros),
        }
    }
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let answered_at = values::optional_time(row.answered_at, "the answer to a delivery")?;
        let status_code = row
            .answer_status
            .map(|code| values::number(code, "the answer to a delivery"))
            .transpose()?;
        Ok(Self {
            id: values::id(&row.id, "the id of a delivery")?,
            endpoint_id: values::id(&row.endpoint_id, "the endpoint of a delivery")?,
            partner_id: values::id(&row.partner_id, "the partner of a delivery")?,
            kind: EventKind::parse(&row.kind).ok_or(values::corrupt("the kind of a delivery"))?,
            body: row.body,
            status: DeliveryStatus::parse(&row.status)
                .ok_or(values::corrupt("the status of a delivery"))?,
            attempts: values::number(row.attempts, "the attempts at a delivery")?,
            tries: values::number(row.tries, "the tries of a delivery")?,
            last_answer: answered_at.map(|at| LastAnswer {
                at,
                status_code,
                excerpt: row.answer_excerpt,
                error: row.answer_error,
            }),
            due_at: values::optional_time(row.due_at, "the next attempt at a delivery")?,
            created_at: values::time(row.created_at, "the time of a delivery")?,
            delivered_at: values::optional_time(row.delivered_at, "the arrival of a delivery")?,
            ended_at: values::optional_time(row.ended_at, "the end of a delivery")?,
        })
    }
}

/// The deliveries to an endpoint of a partner.
fn to_endpoint<'a>(
    (partner, endpoint): (PartnerId, EndpointId),
) -> table::BoxedQuery<'a, AnyBackend> {
    table::table
        .filter(table::endpoint_id.eq(endpoint.to_string()))
        .filter(table::partner_id.eq(partner.to_string()))
        .into_boxed::<AnyBackend>()
}

pub(crate) fn by_id<M>(
    session: &mut Session<M>,
    endpoint: (PartnerId, EndpointId),
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    session
        .run(|connection| {
            to_endpoint(endpoint)
                .filter(table::id.eq(id.to_string()))
                .select(DeliveryRow::as_select())
                .first(connection)
                .optional()
        })?
        .map(Delivery::try_from)
        .transpose()
}

pub(crate) fn list<M>(
    session: &mut Session<M>,
    endpoint: (PartnerId, EndpointId),
    page: PageRequest,
) -> Result<Page<Delivery>, StoreError> {
    let mut query = to_endpoint(endpoint)
        .order(table::id.desc())
        .limit(values::rows_for(page))
        .select(DeliveryRow::as_select());
    if let Some(after) = values::after::<DeliveryId>(page) {
        query = query.filter(table::id.lt(after));
    }
    let rows = session.run(|connection| query.load(connection))?;
    Ok(Page::cut(deliveries(rows)?, page.limit, None, |delivery| {
        delivery.id.ulid()
    }))
}

fn deliveries(rows: Vec<DeliveryRow>) -> Result<Vec<Delivery>, StoreError> {
    rows.into_iter().map(Delivery::try_from).collect()
}

pub(crate) fn backlog<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
    limit: usize,
) -> Result<Backlog, StoreError> {
    let pending = session
        .run(|connection| dialect::due::pending_count(connection, values::row_count(limit)))?;
    let due_since = next_due(session)?.filter(|&due| due <= now);
    Ok(Backlog {
        pending: values::number(pending, "the number of deliveries")?,
        due_since,
    })
}

/// When the first of all pending deliveries is due.
pub(crate) fn next_due<M>(session: &mut Session<M>) -> Result<Option<OffsetDateTime>, StoreError> {
    let first: Option<Option<i64>> = session.run(|connection| {
        let pending = table::table.filter(table::due_at.is_not_null());
        let first = pending.order(table::due_at).select(table::due_at).limit(1);
        same::list(connection, first).map(|mut found| found.pop())
    })?;
    values::optional_time(first.flatten(), "the next attempt at a delivery")
}

pub(crate) fn insert(
    session: &mut Session<Writing>,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let row = DeliveryRow::from(delivery);
    session.run(|connection| {
        diesel::insert_into(table::table)
            .values(&row)
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn update(
    session: &mut Session<Writing>,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let row = DeliveryRow::from(delivery);
    let changed = diesel::update(table::table.find(&row.id)).set((
        table::status.eq(&row.status),
        table::attempts.eq(row.attempts),
        table::tries.eq(row.tries),
        table::answered_at.eq(row.answered_at),
        table::answer_status.eq(row.answer_status),
        table::answer_excerpt.eq(&row.answer_excerpt),
        table::answer_error.eq(&row.answer_error),
        table::due_at.eq(row.due_at),
        table::delivered_at.eq(row.delivered_at),
        table::ended_at.eq(row.ended_at),
    ));
    session.run(|connection| same::change(connection, changed))?;
    Ok(())
}

pub(crate) fn due<M>(
    session: &mut Session<M>,
    endpoint: EndpointId,
    now: OffsetDateTime,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let rows = session.run(|connection| {
        let due = table::table
            .filter(table::endpoint_id.eq(endpoint.to_string()))
            .filter(table::due_at.le(values::micros(now)))
            .order((table::due_at, table::id))
            .limit(values::row_count(limit))
            .select(same::columns::<DeliveryRow>());
        same::list(connection, due)
    })?;
    deliveries(rows)
}

pub(crate) fn give_up(
    session: &mut Session<Writing>,
    endpoint: EndpointId,
    (at, reason): (OffsetDateTime, Option<&str>),
    limit: usize,
) -> Result<usize, StoreError> {
    let pending: Vec<String> = session.run(|connection| {
        let first = table::table
            .filter(table::endpoint_id.eq(endpoint.to_string()))
            .filter(table::due_at.is_not_null())
            .order(table::due_at)
            .limit(values::row_count(limit))
            .select(table::id);
        same::list(connection, first)
    })?;
    let at = values::micros(at);
    if let Some(reason) = reason {
        session.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(&pending)))
                .set((
                    table::answered_at.eq(at),
                    table::answer_status.eq(None::<i64>),
                    table::answer_excerpt.eq(None::<String>),
                    table::answer_error.eq(reason),
                ))
                .execute(connection)
        })?;
    }
    session.run(|connection| {
        diesel::update(table::table.filter(table::id.eq_any(&pending)))
            .set((
                table::status.eq(DeliveryStatus::Failed.as_str()),
                table::due_at.eq(None::<i64>),
                table::ended_at.eq(at),
            ))
            .execute(connection)
    })
}

/// How many deliveries to an endpoint are pending, counted up to a limit.
pub(crate) fn pending_count<M>(
    session: &mut Session<M>,
    endpoint: EndpointId,
    limit: usize,
) -> Result<usize, StoreError> {
    let count = session.run(|connection| {
        let limit = values::row_count(limit);
        dialect::due::pending_to(connection, &endpoint.to_string(), limit)
    })?;
    values::number(count, "the number of deliveries")
}

/// The pending deliveries behind one, by the time at which they are due.
pub(crate) fn ahead<M>(
    session: &mut Session<M>,
    (due, id): (OffsetDateTime, DeliveryId),
    limit: usize,
) -> Result<Vec<PendingDelivery>, StoreError> {
    let due = values::micros(due);
    let behind = table::due_at
        .gt(due)
        .or(table::due_at.eq(due).and(table::id.gt(id.to_string())));
    let rows: Vec<(String, i64, Option<i64>)> = session.run(|connection| {
        table::table
            .filter(table::due_at.ge(due))
            .filter(behind.assume_not_null())
            .order((table::due_at, table::id))
            .limit(values::row_count(limit))
            .select((table::id, table::tries, table::due_at))
            .load(connection)
    })?;
    let what = "the next attempt at a delivery";
    rows.into_iter()
        .map(|(id, tries, due)| {
            Ok(PendingDelivery {
                id: values::id(&id, "the id of a delivery")?,
                tries: values::number(tries, "the tries of a delivery")?,
                due_at: values::time(due.ok_or(values::corrupt(what))?, what)?,
            })
        })
        .collect()
}

pub(crate) fn hasten(
    session: &mut Session<Writing>,
    ids: &[DeliveryId],
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let ids = session.run(|connection| dialect::hasten::deliveries_pending(connection, &ids))?;
    session.run(|connection| {
        diesel::update(table::table.filter(table::id.eq_any(ids)))
            .set(table::due_at.eq(values::micros(at)))
            .execute(connection)
    })?;
    Ok(())
}
