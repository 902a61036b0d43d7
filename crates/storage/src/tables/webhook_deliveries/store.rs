//! What is asked and changed about deliveries.

use diesel::{expression::SqlLiteral, prelude::*, sql_types::Bool};
use ids::{DeliveryId, EndpointId, Page, PageRequest, PartnerId, TypedId as _};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{
    Backlog, Delivery, DeliveryQueries, DeliveryStatus, DeliveryStore, EventKind, PendingDelivery,
    PendingEndpoint, PendingEndpoints,
};

use super::{
    pending,
    row::{DeliveryRow, webhook_deliveries as table},
};
use crate::{
    connection::{AnyBackend, prepared},
    session::{Session, Writing},
    tables::{locks::load_unlocked, values},
};

/// The condition of the index of failed deliveries, word for word: an engine does not see it in a value that is
/// bound.
fn is_failed() -> SqlLiteral<Bool> {
    diesel::dsl::sql("webhook_deliveries.status = 'failed'")
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

impl<M> DeliveryQueries for Session<M> {
    type Error = StoreError;

    fn delivery(
        &mut self,
        endpoint: (PartnerId, EndpointId),
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        self.run(|connection| {
            to_endpoint(endpoint)
                .filter(table::id.eq(id.to_string()))
                .select(DeliveryRow::as_select())
                .first(connection)
                .optional()
        })?
        .map(Delivery::try_from)
        .transpose()
    }

    fn deliveries(
        &mut self,
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
        let rows = self.run(|connection| query.load(connection))?;
        Ok(Page::cut(deliveries(rows)?, page.limit, None, |delivery| {
            delivery.id.ulid()
        }))
    }

    /// When the first of all pending deliveries is due.
    fn next_delivery_due(&mut self) -> Result<Option<OffsetDateTime>, StoreError> {
        let first: Option<Option<i64>> = self.run(|connection| {
            let pending = table::table.filter(table::due_at.is_not_null());
            let first = pending.order(table::due_at).select(table::due_at).limit(1);
            prepared::load(connection, first).map(|mut found| found.pop())
        })?;
        values::optional_time(first.flatten(), "the next attempt at a delivery")
    }

    fn endpoints_pending(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        partners: usize,
    ) -> Result<PendingEndpoints, StoreError> {
        let (now, after) = (values::micros(now), after.map(|id| id.to_string()));
        let found = self.run(|connection| {
            let after = after.as_deref().unwrap_or_default();
            pending::endpoints(connection, now, (after, values::row_count(partners)))
        })?;
        let endpoints = found.rows.into_iter().map(|(partner, id, due)| {
            Ok(PendingEndpoint {
                id: values::id(&id, "the id of a webhook endpoint")?,
                partner_id: values::id(&partner, "the partner of a webhook endpoint")?,
                due_at: values::time(due, "the next attempt at a delivery")?,
            })
        });
        Ok(PendingEndpoints {
            endpoints: endpoints.collect::<Result<_, StoreError>>()?,
            after: values::optional_id(found.after.as_deref(), "the partner of a delivery")?,
        })
    }

    fn deliveries_due(
        &mut self,
        endpoint: EndpointId,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows = self.run(|connection| {
            let due = table::table
                .filter(table::endpoint_id.eq(endpoint.to_string()))
                .filter(table::due_at.le(values::micros(now)))
                .order((table::due_at, table::id))
                .limit(values::row_count(limit))
                .select(prepared::columns::<DeliveryRow>());
            prepared::load(connection, due)
        })?;
        deliveries(rows)
    }

    /// How many deliveries to an endpoint are pending, counted up to a limit.
    fn pending_count(&mut self, endpoint: EndpointId, limit: usize) -> Result<usize, StoreError> {
        let count = self.run(|connection| {
            let limit = values::row_count(limit);
            pending::count_to(connection, &endpoint.to_string(), limit)
        })?;
        values::number(count, "the number of deliveries")
    }

    /// The pending deliveries behind one, by the time at which they are due.
    fn deliveries_due_after(
        &mut self,
        (due, id): (OffsetDateTime, DeliveryId),
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError> {
        let due = values::micros(due);
        let behind = table::due_at
            .gt(due)
            .or(table::due_at.eq(due).and(table::id.gt(id.to_string())));
        let rows: Vec<(String, i64, Option<i64>)> = self.run(|connection| {
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

    fn backlog(&mut self, now: OffsetDateTime, limit: usize) -> Result<Backlog, StoreError> {
        let pending =
            self.run(|connection| pending::count(connection, values::row_count(limit)))?;
        let due_since = self.next_delivery_due()?.filter(|&due| due <= now);
        Ok(Backlog {
            pending: values::number(pending, "the number of deliveries")?,
            due_since,
        })
    }
}

impl DeliveryStore for Session<Writing> {
    fn delivery_insert(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let row = DeliveryRow::from(delivery);
        self.run(|connection| {
            diesel::insert_into(table::table)
                .values(&row)
                .execute(connection)
        })?;
        Ok(())
    }

    fn delivery_update(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let row = DeliveryRow::from(delivery);
        let changed = diesel::update(table::table.find(&row.id)).set(&row.state);
        self.run(|connection| prepared::execute(connection, changed))?;
        Ok(())
    }

    fn deliveries_give_up(
        &mut self,
        endpoint: EndpointId,
        (at, reason): (OffsetDateTime, Option<&str>),
        limit: usize,
    ) -> Result<usize, StoreError> {
        let pending: Vec<String> = self.run(|connection| {
            let first = table::table
                .filter(table::endpoint_id.eq(endpoint.to_string()))
                .filter(table::due_at.is_not_null())
                .order(table::due_at)
                .limit(values::row_count(limit))
                .select(table::id);
            prepared::load(connection, first)
        })?;
        let at = values::micros(at);
        if let Some(reason) = reason {
            self.run(|connection| {
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
        self.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(&pending)))
                .set((
                    table::status.eq(DeliveryStatus::Failed.as_str()),
                    table::due_at.eq(None::<i64>),
                    table::ended_at.eq(at),
                ))
                .execute(connection)
        })
    }

    fn deliveries_redeliver(
        &mut self,
        endpoint: EndpointId,
        (since, until): (OffsetDateTime, Option<OffsetDateTime>),
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let until = until.map_or(i64::MAX, values::micros);
        let ids: Vec<String> = self.run(|connection| {
            table::table
                .filter(table::endpoint_id.eq(endpoint.to_string()))
                .filter(is_failed())
                .filter(table::created_at.ge(values::micros(since)))
                .filter(table::created_at.lt(until))
                .filter(table::kind.ne(EventKind::Test.as_str()))
                .order(table::created_at)
                .limit(values::row_count(limit))
                .select(table::id)
                .load(connection)
        })?;
        self.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(&ids)))
                .set((
                    table::status.eq(DeliveryStatus::Pending.as_str()),
                    table::tries.eq(0),
                    table::due_at.eq(values::micros(at)),
                    table::ended_at.eq(None::<i64>),
                ))
                .execute(connection)
        })
    }

    fn deliveries_make_due(
        &mut self,
        ids: &[DeliveryId],
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let pending = table::table
            .filter(table::id.eq_any(&ids))
            .filter(table::due_at.is_not_null())
            .select(table::id);
        let ids: Vec<String> =
            self.run(|connection| load_unlocked!(connection, pending, for_no_key_update))?;
        self.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(ids)))
                .set(table::due_at.eq(values::micros(at)))
                .execute(connection)
        })?;
        Ok(())
    }
}

fn deliveries(rows: Vec<DeliveryRow>) -> Result<Vec<Delivery>, StoreError> {
    rows.into_iter().map(Delivery::try_from).collect()
}
