//! The instances that serve the database.

use ::instances::{Instance, InstanceQueries, InstanceStore};
use diesel::prelude::*;
use ids::{InstanceId, Page, PageRequest, TypedId as _};
use stores::StoreError;
use time::OffsetDateTime;

use super::{key_changes, values};
use crate::{
    connection::{AnyConnection, prepared},
    session::{Session, Writing},
};

diesel::table! {
    instances (id) {
        id -> Text,
        host -> Text,
        version -> Text,
        started_at -> BigInt,
        admin_key_id -> Nullable<Text>,
        last_seen_at -> BigInt,
        revision -> BigInt,
        lag_ms -> Nullable<BigInt>,
        clock_skew_ms -> BigInt,
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = instances)]
struct InstanceRow {
    id: String,
    host: String,
    version: String,
    started_at: i64,
    admin_key_id: Option<String>,
    last_seen_at: i64,
    revision: i64,
    lag_ms: Option<i64>,
    clock_skew_ms: i64,
}

impl From<&Instance> for InstanceRow {
    fn from(instance: &Instance) -> Self {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            id: instance.id.to_string(),
            host: instance.host.clone(),
            version: instance.version.clone(),
            started_at: values::micros(instance.started_at),
            admin_key_id: instance.admin_key_id.map(|id| id.to_string()),
            last_seen_at: values::micros(instance.last_seen_at),
            revision: number(instance.revision),
            lag_ms: instance.lag_ms.map(number),
            clock_skew_ms: instance.clock_skew_ms,
        }
    }
}

impl TryFrom<InstanceRow> for Instance {
    type Error = StoreError;

    fn try_from(row: InstanceRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of an instance")?,
            host: row.host,
            version: row.version,
            started_at: values::time(row.started_at, "the start of an instance")?,
            admin_key_id: values::optional_id(
                row.admin_key_id.as_deref(),
                "the admin key of an instance",
            )?,
            last_seen_at: values::time(row.last_seen_at, "the last report of an instance")?,
            revision: values::number(row.revision, "the revision of an instance")?,
            lag_ms: row
                .lag_ms
                .map(|lag| values::number(lag, "the lag of an instance"))
                .transpose()?,
            clock_skew_ms: row.clock_skew_ms,
        })
    }
}

impl<M> InstanceQueries for Session<M> {
    type Error = StoreError;

    fn server_time(&mut self) -> Result<Option<OffsetDateTime>, StoreError> {
        self.run(|connection| match connection {
            AnyConnection::Postgres(_) => connection.clock_micros().map(Some),
            AnyConnection::Sqlite(_) => Ok(None),
        })?
        .map(|micros| values::time(micros, "the server's clock"))
        .transpose()
    }

    fn instances(
        &mut self,
        since: OffsetDateTime,
        page: PageRequest,
    ) -> Result<Page<Instance>, StoreError> {
        let mut query = instances::table
            .filter(instances::last_seen_at.ge(values::micros(since)))
            .order(instances::id.desc())
            .limit(values::rows_for(page))
            .select(InstanceRow::as_select())
            .into_boxed();
        if let Some(after) = values::after::<InstanceId>(page) {
            query = query.filter(instances::id.lt(after));
        }
        let found = self.run(|connection| query.load(connection))?;
        let items: Vec<Instance> = found
            .into_iter()
            .map(Instance::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(items, page.limit, None, |instance: &Instance| {
            instance.id.ulid()
        }))
    }
}

impl InstanceStore for Session<Writing> {
    fn instances_lock(&mut self) -> Result<(), StoreError> {
        self.run(key_changes::lock)
    }

    fn instance_report(&mut self, instance: &Instance) -> Result<(), StoreError> {
        let row = InstanceRow::from(instance);
        // Nobody else writes this row, so there is no race between the two.
        let known = self.run(|connection| update(connection, &row))?;
        if known == 0 {
            let added = diesel::insert_into(instances::table).values(&row);
            self.run(|connection| prepared::execute(connection, added))?;
        }
        Ok(())
    }

    fn instance_remove(&mut self, id: InstanceId) -> Result<(), StoreError> {
        let removed = diesel::delete(instances::table.filter(instances::id.eq(id.to_string())));
        self.run(|connection| prepared::execute(connection, removed))?;
        Ok(())
    }

    fn instances_prune(&mut self, before: OffsetDateTime) -> Result<usize, StoreError> {
        let old = instances::table.filter(instances::last_seen_at.lt(values::micros(before)));
        self.run(|connection| prepared::execute(connection, diesel::delete(old)))
    }
}

/// Writes what a report may change; how many rows there are.
fn update(connection: &mut AnyConnection, row: &InstanceRow) -> QueryResult<usize> {
    let own = diesel::update(instances::table.filter(instances::id.eq(&row.id)));
    let reported = (
        instances::last_seen_at.eq(row.last_seen_at),
        instances::revision.eq(row.revision),
        instances::lag_ms.eq(row.lag_ms),
        instances::clock_skew_ms.eq(row.clock_skew_ms),
    );
    prepared::execute(connection, own.set(reported))
}
