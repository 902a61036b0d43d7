//! Events that are rows of their own: folded refusals, and all that was written before there were segments.

mod selector;

use std::sync::Arc;

use audit::{Action, Actor, Event, Outcome, Request, Target, TargetKind};
use diesel::{QueryResult, prelude::*, upsert::excluded};
use ids::{EventId, TypedId as _, Ulid};
use stores::StoreError;
use time::OffsetDateTime;

pub(crate) use self::selector::Selector;
use super::values;
use crate::{
    connection::{AnyBackend, AnyConnection, on_both, prepared::Prepared},
    session::{Session, Writing},
};

diesel::table! {
    audit_events (id) {
        id -> Text,
        occurred_at -> BigInt,
        actor_type -> Text,
        actor_id -> Nullable<Text>,
        partner_id -> Nullable<Text>,
        action -> Text,
        target_type -> Text,
        target_id -> Nullable<Text>,
        org_id -> Nullable<Text>,
        outcome -> Text,
        status_code -> Nullable<BigInt>,
        method -> Nullable<Text>,
        route -> Nullable<Text>,
        request_id -> Nullable<Text>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        details -> Text,
        key_prefix -> Nullable<Text>,
    }
}

const PARTNER_KEY: &str = "partner_key";
const ADMIN: &str = "admin";
const SYSTEM: &str = "system";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_events)]
pub(crate) struct EventRow {
    id: String,
    occurred_at: i64,
    actor_type: String,
    actor_id: Option<String>,
    partner_id: Option<String>,
    action: String,
    target_type: String,
    target_id: Option<String>,
    org_id: Option<String>,
    outcome: String,
    status_code: Option<i64>,
    method: Option<String>,
    route: Option<String>,
    request_id: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
    details: String,
    key_prefix: Option<String>,
}

impl From<&Event> for EventRow {
    fn from(event: &Event) -> Self {
        let (actor_type, actor_id) = match event.actor {
            Actor::PartnerKey { id, .. } => (PARTNER_KEY, Some(id.to_string())),
            Actor::Admin { id } => (ADMIN, Some(id.to_string())),
            Actor::System { .. } => (SYSTEM, None),
        };
        let request = event.request.as_ref();
        Self {
            id: event.id.to_string(),
            occurred_at: values::micros(event.occurred_at),
            actor_type: actor_type.to_owned(),
            actor_id,
            partner_id: event.actor.partner_id().map(|id| id.to_string()),
            action: event.action.to_string(),
            target_type: event.target.kind.as_str().to_owned(),
            target_id: event.target.id.as_deref().map(str::to_owned),
            org_id: event.org_id.map(|id| id.to_string()),
            outcome: event.outcome.as_str().to_owned(),
            status_code: request.map(|request| request.status_code.into()),
            method: request.map(|request| request.method.to_string()),
            route: request.map(|request| request.route.to_string()),
            request_id: request.map(|request| request.id.to_string()),
            ip: request
                .and_then(|request| request.ip)
                .map(|ip| ip.to_string()),
            user_agent: request
                .and_then(|request| request.user_agent.as_deref())
                .map(str::to_owned),
            details: details_text(event),
            key_prefix: request
                .and_then(|request| request.key_prefix.as_deref())
                .map(str::to_owned),
        }
    }
}

fn details_text(event: &Event) -> String {
    serde_json::Value::Object(event.details.clone()).to_string()
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let actor = row.actor()?;
        let request = row.request()?;
        Ok(Self {
            id: values::id(&row.id, "the id of an event")?,
            occurred_at: values::time(row.occurred_at, "the time of an event")?,
            actor,
            action: row
                .action
                .parse::<Action>()
                .map_err(|_| values::corrupt("the action of an event"))?,
            target: Target {
                kind: TargetKind::parse(&row.target_type)
                    .ok_or(values::corrupt("the target of an event"))?,
                id: row.target_id.map(Arc::from),
            },
            org_id: values::optional_id(row.org_id.as_deref(), "the org of an event")?,
            outcome: row
                .outcome
                .parse::<Outcome>()
                .map_err(|_| values::corrupt("the outcome of an event"))?,
            request,
            details: serde_json::from_str(&row.details)
                .map_err(|_| values::corrupt("the details of an event"))?,
        })
    }
}

impl EventRow {
    fn actor(&self) -> Result<Actor, StoreError> {
        const WHAT: &str = "the actor of an event";
        let partner_id = values::optional_id(self.partner_id.as_deref(), WHAT)?;
        match (self.actor_type.as_str(), &self.actor_id, partner_id) {
            (PARTNER_KEY, Some(id), Some(partner_id)) => Ok(Actor::PartnerKey {
                id: values::id(id, WHAT)?,
                partner_id,
            }),
            (ADMIN, Some(id), None) => Ok(Actor::Admin {
                id: values::id(id, WHAT)?,
            }),
            (SYSTEM, None, partner_id) => Ok(Actor::System { partner_id }),
            _ => Err(values::corrupt(WHAT)),
        }
    }

    fn request(&self) -> Result<Option<Request>, StoreError> {
        const WHAT: &str = "the request of an event";
        match (
            &self.request_id,
            &self.method,
            &self.route,
            self.status_code,
        ) {
            (None, None, None, None) if self.ip.is_none() => Ok(None),
            (Some(id), Some(method), Some(route), Some(status_code)) => Ok(Some(Request {
                id: id.as_str().into(),
                method: method.clone().into(),
                route: route.clone().into(),
                ip: self
                    .ip
                    .as_deref()
                    .map(str::parse)
                    .transpose()
                    .map_err(|_| values::corrupt(WHAT))?,
                user_agent: self.user_agent.as_deref().map(Arc::from),
                status_code: values::number(status_code, WHAT)?,
                key_prefix: self.key_prefix.as_deref().map(Arc::from),
            })),
            _ => Err(values::corrupt(WHAT)),
        }
    }
}

/// The end of the list from which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Newest,
    Oldest,
}

/// Up to `limit` events of a selector from one end on, with ids from `from` on and below `below`.
pub(crate) fn next<M>(
    session: &mut Session<M>,
    selector: Option<Selector>,
    (from, below): (Option<Ulid>, Option<Ulid>),
    end: End,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let mut query = audit_events::table
        .limit(limit)
        .select(EventRow::as_select())
        .into_boxed::<AnyBackend>();
    query = match selector {
        Some(Selector::Key(id)) => query.filter(audit_events::actor_id.eq(id.to_string())),
        Some(Selector::Admin(id)) => query.filter(audit_events::actor_id.eq(id.to_string())),
        Some(Selector::Org(id)) => query.filter(audit_events::org_id.eq(id.to_string())),
        Some(Selector::Partner(id)) => query.filter(audit_events::partner_id.eq(id.to_string())),
        None => query,
    };
    if let Some(from) = from {
        query = query.filter(audit_events::id.ge(text(from)));
    }
    if let Some(below) = below {
        query = query.filter(audit_events::id.lt(text(below)));
    }
    query = match end {
        End::Newest => query.order(audit_events::id.desc()),
        End::Oldest => query.order(audit_events::id.asc()),
    };
    let rows: Vec<EventRow> = session.run(|connection| query.load(connection))?;
    rows.into_iter().map(Event::try_from).collect()
}

fn text(id: Ulid) -> String {
    EventId::from_ulid(id).to_string()
}

/// The event of this id.
pub(crate) fn one<M>(session: &mut Session<M>, id: EventId) -> Result<Option<Event>, StoreError> {
    let query = audit_events::table
        .filter(audit_events::id.eq(id.to_string()))
        .select(EventRow::as_select());
    let rows: Vec<EventRow> = session.run(|connection| query.load(connection))?;
    rows.into_iter().next().map(Event::try_from).transpose()
}

/// The ids of up to `limit` events below an id that happened before a time, the oldest first.
pub(crate) fn outdated(
    session: &mut Session<Writing>,
    before: OffsetDateTime,
    below: Ulid,
    limit: usize,
) -> Result<Vec<EventId>, StoreError> {
    let query = audit_events::table
        .filter(audit_events::occurred_at.lt(values::micros(before)))
        .filter(audit_events::id.lt(text(below)))
        .order(audit_events::id.asc())
        .limit(values::row_count(limit))
        .select(audit_events::id);
    let ids: Vec<String> = session.run(|connection| query.load(connection))?;
    ids.iter()
        .map(|id| values::id(id, "the id of an event"))
        .collect()
}

/// Deletes events.
pub(crate) fn delete(session: &mut Session<Writing>, ids: &[EventId]) -> Result<(), StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    session
        .run(|connection| {
            diesel::delete(audit_events::table.filter(audit_events::id.eq_any(ids)))
                .execute(connection)
        })
        .map(drop)
}

/// Adds an event, or replaces the details of the one of its id.
pub(crate) fn fold(connection: &mut AnyConnection, row: &EventRow) -> QueryResult<()> {
    on_both!(connection, |inner| Prepared(
        diesel::insert_into(audit_events::table)
            .values(row)
            .on_conflict(audit_events::id)
            .do_update()
            .set(audit_events::details.eq(excluded(audit_events::details)))
    )
    .execute(inner))
    .map(drop)
}
