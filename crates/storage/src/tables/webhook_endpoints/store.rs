//! What is asked and changed about endpoints.

use std::collections::{BTreeSet, HashMap};

use diesel::{QueryResult, prelude::*};
use ids::{EndpointId, Page, PageRequest, PartnerId, TypedId as _, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{Endpoint, EndpointQueries, EndpointStore, EventKind, Lease, SealedSecrets};

use super::row::{EndpointRow, FailuresRow, SecretColumns, listens, webhook_endpoints as table};
use crate::{
    connection::{
        AnyBackend, AnyConnection,
        prepared::{self, Prepared, PreparedByType},
    },
    session::{Session, Writing},
    tables::{
        locks::{load_unlocked, lock},
        values,
    },
};

/// The endpoints of a partner that are not deleted.
fn of_partner<'a>(partner: PartnerId) -> table::BoxedQuery<'a, AnyBackend> {
    table::table
        .filter(table::partner_id.eq(partner.to_string()))
        .filter(table::deleted_at.is_null())
        .into_boxed::<AnyBackend>()
}

fn row<M>(
    session: &mut Session<M>,
    partner: PartnerId,
    id: EndpointId,
) -> Result<Option<EndpointRow>, StoreError> {
    session.run(|connection| {
        of_partner(partner)
            .filter(table::id.eq(id.to_string()))
            .select(EndpointRow::as_select())
            .first(connection)
            .optional()
    })
}

/// The endpoints of partners that take messages, and the events that they listen to, sorted by id.
fn listening(
    connection: &mut AnyConnection,
    partners: &[String],
) -> QueryResult<Vec<(String, String, String)>> {
    let columns = (table::partner_id, table::id, table::events);
    let live = table::table
        .filter(table::deleted_at.is_null())
        .filter(table::disabled_at.is_null())
        .order(table::id)
        .select(columns);
    match connection {
        AnyConnection::Postgres(postgres) => {
            Prepared(live.filter(table::partner_id.eq_any(partners))).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => {
            let mut all = Vec::new();
            for partner in partners {
                let its = PreparedByType(live.filter(table::partner_id.eq(partner)));
                all.append(&mut its.load(sqlite)?);
            }
            Ok(all)
        }
    }
}

impl<M> EndpointQueries for Session<M> {
    type Error = StoreError;

    fn endpoint(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        row(self, partner, id)?.map(Endpoint::try_from).transpose()
    }

    fn endpoints(
        &mut self,
        partner: PartnerId,
        page: PageRequest,
    ) -> Result<Page<Endpoint>, StoreError> {
        let mut query = of_partner(partner)
            .order(table::id.desc())
            .limit(values::rows_for(page))
            .select(EndpointRow::as_select());
        if let Some(after) = values::after::<EndpointId>(page) {
            query = query.filter(table::id.lt(after));
        }
        let rows: Vec<EndpointRow> = self.run(|connection| query.load(connection))?;
        let items: Vec<Endpoint> = rows
            .into_iter()
            .map(Endpoint::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(items, page.limit, None, |endpoint| {
            endpoint.id.ulid()
        }))
    }

    fn listeners(
        &mut self,
        partner: PartnerId,
        kind: EventKind,
    ) -> Result<Vec<EndpointId>, StoreError> {
        let told = self.listeners_of(&[(partner, kind)])?.pop();
        Ok(told.unwrap_or_default())
    }

    fn listeners_of(
        &mut self,
        questions: &[(PartnerId, EventKind)],
    ) -> Result<Vec<Vec<EndpointId>>, StoreError> {
        let partners: BTreeSet<String> = questions.iter().map(|(id, _)| id.to_string()).collect();
        let partners = Vec::from_iter(partners);
        let rows = self.run(|connection| listening(connection, &partners))?;
        let mut of_partners: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
        for (partner, id, events) in &rows {
            of_partners.entry(partner).or_default().push((id, events));
        }
        questions
            .iter()
            .map(|(partner, kind)| {
                let all = of_partners.get(partner.to_string().as_str());
                all.into_iter()
                    .flatten()
                    .filter(|(_, events)| listens(events, *kind))
                    .map(|(id, _)| values::id(id, "the id of a webhook endpoint"))
                    .collect()
            })
            .collect()
    }

    fn sealed_secrets(
        &mut self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<(EndpointId, SealedSecrets)>, StoreError> {
        let mut query = table::table
            .filter(table::deleted_at.is_null())
            .order(table::id)
            .limit(values::row_count(limit))
            .select(EndpointRow::as_select())
            .into_boxed::<AnyBackend>();
        if let Some(after) = after {
            query = query.filter(table::id.gt(after.to_string()));
        }
        let rows = self.run(|connection| query.load(connection))?;
        rows.into_iter()
            .map(|row| {
                let (endpoint, secrets) = row.with_secrets()?;
                Ok((endpoint.id, secrets))
            })
            .collect()
    }

    fn endpoint_leased(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        let row: Option<EndpointRow> = self.run(|connection| {
            let leased = table::table
                .find(id.to_string())
                .filter(table::hold_token.eq(token.to_string()))
                .filter(table::deleted_at.is_null())
                .select(prepared::columns::<EndpointRow>());
            prepared::first_by_type(connection, leased)
        })?;
        row.map(EndpointRow::with_secrets).transpose()
    }
}

impl EndpointStore for Session<Writing> {
    fn endpoint_insert(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), StoreError> {
        let row = EndpointRow::of(endpoint, secrets);
        self.run(|connection| {
            diesel::insert_into(table::table)
                .values(&row)
                .execute(connection)
        })?;
        Ok(())
    }

    fn endpoint_for_update(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        let place = table::table.find(id.to_string()).select(table::id);
        self.run(|connection| lock!(connection, place.for_no_key_update()))?;
        row(self, partner, id)?
            .map(EndpointRow::with_secrets)
            .transpose()
    }

    fn endpoint_update(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), StoreError> {
        let row = EndpointRow::of(endpoint, secrets);
        let place = table::table
            .find(&row.id)
            .filter(table::deleted_at.is_null());
        self.run(|connection| diesel::update(place).set(&row.state).execute(connection))?;
        Ok(())
    }

    fn endpoint_reseal(
        &mut self,
        id: EndpointId,
        expected: &SealedSecrets,
        new: &SealedSecrets,
    ) -> Result<bool, StoreError> {
        let unchanged = table::table
            .find(id.to_string())
            .filter(table::deleted_at.is_null())
            .filter(table::secret.eq(&expected.current));
        let resealed = diesel::update(unchanged).set(SecretColumns::from(new));
        let rows = self.run(|connection| resealed.execute(connection))?;
        Ok(rows > 0)
    }

    fn endpoint_failures(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let place = table::table
            .find(endpoint.id.to_string())
            .filter(table::deleted_at.is_null());
        let noted = diesel::update(place).set(FailuresRow::from(endpoint.failures));
        self.run(|connection| prepared::execute(connection, noted))?;
        Ok(())
    }

    fn endpoint_delete(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
        at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let place = table::table
            .find(id.to_string())
            .filter(table::partner_id.eq(partner.to_string()))
            .filter(table::deleted_at.is_null());
        let rows = self.run(|connection| {
            diesel::update(place)
                .set((
                    table::deleted_at.eq(values::micros(at)),
                    table::forget_after.eq(0),
                    table::secret.eq(None::<Vec<u8>>),
                    table::old_secret.eq(None::<Vec<u8>>),
                    table::older_secrets.eq(None::<String>),
                ))
                .execute(connection)
        })?;
        Ok(rows > 0)
    }

    /// Leases one endpoint after the other in the order of their ids, so that two workers who want the same
    /// ones wait for each other and never both.
    fn endpoints_lease(
        &mut self,
        ids: &[EndpointId],
        now: OffsetDateTime,
        lease: Lease,
    ) -> Result<Vec<EndpointId>, StoreError> {
        let now = values::micros(now);
        let wanted: BTreeSet<EndpointId> = ids.iter().copied().collect();
        let mut leased = BTreeSet::new();
        for id in wanted {
            let free = table::table
                .find(id.to_string())
                .filter(table::deleted_at.is_null())
                .filter(table::hold_until.is_null().or(table::hold_until.le(now)));
            let taken = diesel::update(free).set((
                table::hold_token.eq(lease.token.to_string()),
                table::hold_until.eq(values::micros(lease.until)),
            ));
            if self.run(|connection| prepared::execute(connection, taken))? > 0 {
                leased.insert(id);
            }
        }
        let in_order = ids.iter().copied().filter(|id| leased.contains(id));
        Ok(in_order.collect())
    }

    fn endpoint_lease_renew(&mut self, id: EndpointId, lease: Lease) -> Result<(), StoreError> {
        let leased = table::table
            .find(id.to_string())
            .filter(table::hold_token.eq(lease.token.to_string()));
        let renewed = diesel::update(leased).set(table::hold_until.eq(values::micros(lease.until)));
        self.run(|connection| prepared::execute(connection, renewed))?;
        Ok(())
    }

    fn endpoint_leased_for_update(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        let place = table::table.find(id.to_string()).select(table::id);
        self.run(|connection| lock!(connection, place.for_no_key_update()))?;
        self.endpoint_leased(id, token)
    }

    fn endpoint_lease_release(&mut self, id: EndpointId, token: Ulid) -> Result<(), StoreError> {
        let leased = table::table
            .find(id.to_string())
            .filter(table::hold_token.eq(token.to_string()));
        let released = diesel::update(leased).set((
            table::hold_token.eq(None::<String>),
            table::hold_until.eq(None::<i64>),
        ));
        self.run(|connection| prepared::execute(connection, released))?;
        Ok(())
    }

    fn endpoint_leases_shorten(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let (later_than, limit) = (values::micros(later_than), values::row_count(limit));
        let late = table::table
            .filter(table::hold_token.is_not_null())
            .filter(table::hold_until.gt(later_than))
            .limit(limit)
            .select(table::id);
        let late: Vec<String> =
            self.run(|connection| load_unlocked!(connection, late, for_no_key_update))?;
        self.run(|connection| {
            diesel::update(table::table.filter(table::id.eq_any(late)))
                .set(table::hold_until.eq(values::micros(at)))
                .execute(connection)
        })
    }
}
