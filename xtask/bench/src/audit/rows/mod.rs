//! Design B: a row for each event, with a composite index for each way to look for it.

mod insert;

use anyhow::{Context as _, Result};
use audit::{
    Actor, ActorId, AuditVisibility, Details, Event, EventFilter, Request, Target, TargetKind,
};
use audit_log::{id_bytes, id_from_bytes};
use diesel::{SqliteConnection, prelude::*};
use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId, TypedId};
use storage::PgConnection;
use time::OffsetDateTime;

pub(super) use self::insert::Rows;

/// How many events a page may look at, as in the design in use.
pub(crate) const PAGE_BUDGET: i64 = 16_384;

diesel::table! {
    audit_rows (id) {
        id -> Binary,
        occurred_at -> BigInt,
        actor_kind -> BigInt,
        actor_id -> Nullable<Binary>,
        partner_id -> Nullable<Binary>,
        org_id -> Nullable<Binary>,
        action -> Text,
        target_kind -> Text,
        target_id -> Nullable<Text>,
        outcome -> Text,
        status_code -> Nullable<BigInt>,
        method -> Nullable<Text>,
        route -> Nullable<Text>,
        request_id -> Nullable<Text>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        details -> Text,
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_rows)]
struct Row {
    id: Vec<u8>,
    occurred_at: i64,
    actor_kind: i64,
    actor_id: Option<Vec<u8>>,
    partner_id: Option<Vec<u8>>,
    org_id: Option<Vec<u8>>,
    action: String,
    target_kind: String,
    target_id: Option<String>,
    outcome: String,
    status_code: Option<i64>,
    method: Option<String>,
    route: Option<String>,
    request_id: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
    details: String,
}

fn bytes(id: impl TypedId) -> [u8; 16] {
    id_bytes(id.ulid())
}

fn id<I: TypedId>(bytes: &[u8]) -> Result<I> {
    Ok(I::from_ulid(id_from_bytes(bytes.try_into()?)))
}

impl Row {
    fn event(self) -> Result<Event> {
        let partner_id = self
            .partner_id
            .as_deref()
            .map(id::<PartnerId>)
            .transpose()?;
        let actor_id = self.actor_id.as_deref();
        let actor = match (self.actor_kind, actor_id, partner_id) {
            (0, Some(key), Some(partner_id)) => Actor::PartnerKey {
                id: id::<KeyId>(key)?,
                partner_id,
            },
            (1, Some(key), _) => Actor::Admin {
                id: id::<AdminKeyId>(key)?,
            },
            _ => Actor::System { partner_id },
        };
        let request = match (self.request_id, self.method, self.route, self.status_code) {
            (Some(id), Some(method), Some(route), Some(status_code)) => Some(Request {
                id: id.into(),
                method: method.into(),
                route: route.into(),
                ip: self.ip.map(|ip| ip.parse()).transpose()?,
                user_agent: self.user_agent.map(Into::into),
                status_code: status_code.try_into()?,
                key_prefix: None,
            }),
            _ => None,
        };
        Ok(Event {
            id: id::<EventId>(&self.id)?,
            occurred_at: OffsetDateTime::from_unix_timestamp_nanos(
                i128::from(self.occurred_at) * 1000,
            )?,
            actor,
            action: self.action.parse()?,
            target: Target {
                kind: TargetKind::parse(&self.target_kind).context("a kind of target")?,
                id: self.target_id.map(Into::into),
            },
            org_id: self.org_id.as_deref().map(id::<OrgId>).transpose()?,
            outcome: self.outcome.parse()?,
            request,
            details: serde_json::from_str::<Details>(&self.details)?,
        })
    }
}

/// A page of a list: the newest events that the filter lists.
macro_rules! page {
    ($connection:expr, $filter:expr, $limit:expr) => {{
        use audit_rows as t;
        let (filter, limit): (&EventFilter, i64) = ($filter, $limit);
        let order = t::id.desc();
        let rows: Vec<Row> = match (
            filter.actor,
            filter.org_id,
            filter.visibility,
            filter.action,
        ) {
            (Some(ActorId::Key(key)), ..) => t::table
                .filter(t::actor_id.eq(bytes(key).to_vec()))
                .order(order)
                .limit(limit)
                .select(Row::as_select())
                .load($connection)?,
            (_, Some(org), ..) => t::table
                .filter(t::org_id.eq(bytes(org).to_vec()))
                .order(order)
                .limit(limit)
                .select(Row::as_select())
                .load($connection)?,
            (_, _, AuditVisibility::Partner(partner), _) => t::table
                .filter(t::partner_id.eq(bytes(partner).to_vec()))
                .order(order)
                .limit(limit)
                .select(Row::as_select())
                .load($connection)?,
            (_, _, _, None) => t::table
                .order(order)
                .limit(limit)
                .select(Row::as_select())
                .load($connection)?,
            (_, _, _, Some(action)) => {
                // The lowest id that the page may look at, and then what it wants of those above.
                let lowest: Option<Vec<u8>> = t::table
                    .order(order)
                    .offset(PAGE_BUDGET)
                    .limit(1)
                    .select(t::id)
                    .first($connection)
                    .optional()?;
                t::table
                    .filter(t::id.ge(lowest.unwrap_or_default()))
                    .filter(t::action.eq(action.as_str()))
                    .order(order)
                    .limit(limit)
                    .select(Row::as_select())
                    .load($connection)?
            }
        };
        rows
    }};
}

/// A reader of design B.
pub(crate) enum Reader {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

impl Reader {
    pub(crate) fn page(&mut self, filter: &EventFilter, limit: usize) -> Result<Vec<Event>> {
        let limit = i64::try_from(limit)?.saturating_add(1);
        let rows = match self {
            Self::Sqlite(sqlite) => page!(sqlite, filter, limit),
            Self::Postgres(postgres) => {
                let postgres = postgres.as_mut();
                page!(postgres, filter, limit)
            }
        };
        rows.into_iter()
            .map(Row::event)
            .filter(|event| event.as_ref().map_or(true, |event| filter.includes(event)))
            .collect()
    }
}
