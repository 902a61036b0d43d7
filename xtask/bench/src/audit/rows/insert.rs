//! Adding rows: all events of a batch by one statement, or by one that is prepared once.

use std::path::Path;

use anyhow::Result;
use audit::{Actor, Event};
use diesel::{
    Connection as _, SqliteConnection,
    connection::SimpleConnection as _,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Nullable, Text},
};
use storage::PgConnection;
use time::OffsetDateTime;

use super::{
    super::{batcher::Sink, sqlite},
    audit_rows, bytes,
};

const TABLE: &str = "CREATE TABLE audit_rows (
    id BYTEA NOT NULL PRIMARY KEY,
    occurred_at BIGINT NOT NULL,
    actor_kind BIGINT NOT NULL,
    actor_id BYTEA,
    partner_id BYTEA,
    org_id BYTEA,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT,
    outcome TEXT NOT NULL,
    status_code BIGINT,
    method TEXT,
    route TEXT,
    request_id TEXT,
    ip TEXT,
    user_agent TEXT,
    details TEXT NOT NULL
)";
const INDEXES: &str = "
    CREATE INDEX audit_rows_actor ON audit_rows (actor_id, id) WHERE actor_id IS NOT NULL;
    CREATE INDEX audit_rows_partner ON audit_rows (partner_id, id) WHERE partner_id IS NOT NULL;
    CREATE INDEX audit_rows_org ON audit_rows (org_id, id) WHERE org_id IS NOT NULL;";

fn actor_id(event: &Event) -> Option<[u8; 16]> {
    match event.actor {
        Actor::PartnerKey { id, .. } => Some(bytes(id)),
        Actor::Admin { id } => Some(bytes(id)),
        Actor::System { .. } => None,
    }
}

const fn actor_kind(event: &Event) -> i64 {
    match event.actor {
        Actor::PartnerKey { .. } => 0,
        Actor::Admin { .. } => 1,
        Actor::System { .. } => 2,
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

fn details(event: &Event) -> String {
    serde_json::Value::Object(event.details.clone()).to_string()
}

/// What differs between the engines.
pub(crate) enum Rows {
    Sqlite(SqliteConnection, sqlite::Checkpointer),
    Postgres(Box<PgConnection>),
}

impl Rows {
    pub(crate) fn create_sqlite(path: &Path) -> Result<Self> {
        let mut sqlite = sqlite::connect(path)?;
        sqlite.batch_execute(&format!(
            "{} WITHOUT ROWID; {INDEXES}",
            TABLE.replace("BYTEA", "BLOB")
        ))?;
        let checkpointer = sqlite::Checkpointer::start(path)?;
        Ok(Self::Sqlite(sqlite, checkpointer))
    }

    pub(crate) fn create_postgres(url: &str) -> Result<Self> {
        let mut postgres = PgConnection::establish(url)?;
        postgres.batch_execute(&format!("{TABLE}; {INDEXES}"))?;
        Ok(Self::Postgres(Box::new(postgres)))
    }
}

impl Sink for Rows {
    fn commit(&mut self, events: &[Event]) -> Result<()> {
        match self {
            Self::Postgres(postgres) => {
                Columns::of(events).execute(postgres.as_mut())?;
            }
            Self::Sqlite(sqlite, checkpointer) => {
                sqlite.immediate_transaction(|sqlite| {
                    events.iter().try_for_each(|event| insert(sqlite, event))
                })?;
                checkpointer.committed(sqlite)?;
            }
        }
        Ok(())
    }
}

/// One statement, prepared once.
fn insert(sqlite: &mut SqliteConnection, event: &Event) -> QueryResult<()> {
    use audit_rows as t;
    let request = event.request.as_ref();
    let ip = request.and_then(|r| r.ip).map(|ip| ip.to_string());
    diesel::insert_into(t::table)
        .values((
            t::id.eq(&bytes(event.id)[..]),
            t::occurred_at.eq(micros(event.occurred_at)),
            t::actor_kind.eq(actor_kind(event)),
            t::actor_id.eq(actor_id(event).map(Vec::from)),
            t::partner_id.eq(event.actor.partner_id().map(|id| bytes(id).to_vec())),
            t::org_id.eq(event.org_id.map(|id| bytes(id).to_vec())),
            t::action.eq(event.action.as_str()),
            t::target_kind.eq(event.target.kind.as_str()),
            t::target_id.eq(event.target.id.as_deref()),
            t::outcome.eq(event.outcome.as_str()),
            t::status_code.eq(request.map(|r| i64::from(r.status_code))),
            t::method.eq(request.map(|r| &*r.method)),
            t::route.eq(request.map(|r| &*r.route)),
            t::request_id.eq(request.map(|r| &*r.id)),
            t::ip.eq(ip),
            t::user_agent.eq(request.and_then(|r| r.user_agent.as_deref())),
            t::details.eq(details(event)),
        ))
        .execute(sqlite)
        .map(drop)
}

/// One statement for all of a batch: an array for each column.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<[u8; 16]>,
    occurred_at: Vec<i64>,
    actor_kind: Vec<i64>,
    actor_id: Vec<Option<Vec<u8>>>,
    partner_id: Vec<Option<Vec<u8>>>,
    org_id: Vec<Option<Vec<u8>>>,
    action: Vec<&'a str>,
    target_kind: Vec<&'a str>,
    target_id: Vec<Option<&'a str>>,
    outcome: Vec<&'a str>,
    status_code: Vec<Option<i64>>,
    method: Vec<Option<&'a str>>,
    route: Vec<Option<&'a str>>,
    request_id: Vec<Option<&'a str>>,
    ip: Vec<Option<String>>,
    user_agent: Vec<Option<&'a str>>,
    details: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(events: &'a [Event]) -> Self {
        let mut all = Self::default();
        for event in events {
            let request = event.request.as_ref();
            all.id.push(bytes(event.id));
            all.occurred_at.push(micros(event.occurred_at));
            all.actor_kind.push(actor_kind(event));
            all.actor_id.push(actor_id(event).map(Vec::from));
            all.partner_id
                .push(event.actor.partner_id().map(|id| bytes(id).to_vec()));
            all.org_id.push(event.org_id.map(|id| bytes(id).to_vec()));
            all.action.push(event.action.as_str());
            all.target_kind.push(event.target.kind.as_str());
            all.target_id.push(event.target.id.as_deref());
            all.outcome.push(event.outcome.as_str());
            all.status_code.push(request.map(|r| r.status_code.into()));
            all.method.push(request.map(|r| &*r.method));
            all.route.push(request.map(|r| &*r.route));
            all.request_id.push(request.map(|r| &*r.id));
            all.ip
                .push(request.and_then(|r| r.ip).map(|ip| ip.to_string()));
            all.user_agent
                .push(request.and_then(|r| r.user_agent.as_deref()));
            all.details.push(details(event));
        }
        all
    }
}

impl QueryFragment<Pg> for Columns<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO audit_rows SELECT * FROM unnest(");
        out.push_bind_param::<Array<Binary>, _>(&self.id)?;
        for numbers in [&self.occurred_at, &self.actor_kind] {
            out.push_sql(", ");
            out.push_bind_param::<Array<BigInt>, _>(numbers)?;
        }
        for ids in [&self.actor_id, &self.partner_id, &self.org_id] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Nullable<Binary>>, _>(ids)?;
        }
        for texts in [&self.action, &self.target_kind] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Text>, _>(texts)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.target_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.outcome)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.status_code)?;
        for texts in [&self.method, &self.route, &self.request_id] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Nullable<Text>>, _>(texts)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.ip)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.user_agent)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.details)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for Columns<'_> {
    type QueryId = Columns<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for Columns<'_> {}
