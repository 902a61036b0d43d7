//! Audit events on the wire.

use std::sync::Arc;

use audit::{Action, Actor, ActorId, Details, Event, EventListRequest, Outcome};
use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Query, QueryError, Time, openapi::forms::of, parse_time};

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Actor)]
struct ActorView {
    /// What kind of caller.
    #[serde(rename = "type")]
    #[schema(schema_with = of::actor_type)]
    kind: &'static str,
    /// Its id; `null` for the system.
    #[schema(schema_with = of::maybe_actor_id)]
    id: Option<String>,
    /// The partner it acted for.
    #[schema(schema_with = of::maybe_partner_id)]
    partner_id: Option<PartnerId>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Target)]
struct TargetView {
    /// What kind of thing.
    #[serde(rename = "type")]
    #[schema(schema_with = of::target_type)]
    kind: &'static str,
    /// Which one; `null` for a list.
    #[schema(schema_with = of::maybe_text)]
    id: Option<String>,
}

/// An audit event on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct EventView {
    /// Its id.
    #[schema(schema_with = of::event_id)]
    id: EventId,
    /// When it happened.
    #[schema(schema_with = of::time)]
    occurred_at: Time,
    /// Who did it.
    actor: ActorView,
    /// What was done or tried.
    #[schema(schema_with = of::action)]
    action: &'static str,
    /// To what.
    target: TargetView,
    /// How it ended.
    #[schema(schema_with = of::outcome)]
    outcome: &'static str,
    /// The status of the answer.
    #[schema(schema_with = of::maybe_status_code)]
    status_code: Option<u16>,
    /// The method of the request.
    #[schema(schema_with = of::maybe_text)]
    method: Option<String>,
    /// The route that it fitted.
    #[schema(schema_with = of::maybe_text)]
    route: Option<String>,
    /// The request's id.
    #[schema(schema_with = of::maybe_text)]
    request_id: Option<String>,
    /// The client's address; `null` as well where a proxy named one that can't be read.
    #[schema(schema_with = of::maybe_text)]
    ip: Option<String>,
    /// What the client says it is.
    #[schema(schema_with = of::maybe_text)]
    user_agent: Option<String>,
    /// Whatever else is worth knowing.
    #[schema(schema_with = of::details)]
    details: Details,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let (kind, id) = match event.actor {
            Actor::PartnerKey { id, .. } => ("partner_key", Some(id.to_string())),
            Actor::Admin { id } => ("admin", Some(id.to_string())),
            Actor::System { .. } => ("system", None),
        };
        let request = event.request;
        let part = |of: fn(&audit::Request) -> String| request.as_ref().map(of);
        Self {
            id: event.id,
            occurred_at: Time(event.occurred_at),
            actor: ActorView {
                kind,
                id,
                partner_id: event.actor.partner_id(),
            },
            action: event.action.as_str(),
            target: TargetView {
                kind: event.target.kind.as_str(),
                id: event.target.id.as_deref().map(str::to_owned),
            },
            outcome: event.outcome.as_str(),
            status_code: request.as_ref().map(|request| request.status_code),
            method: part(|request| request.method.to_string()),
            route: part(|request| request.route.to_string()),
            request_id: part(|request| request.id.to_string()),
            ip: request
                .as_ref()
                .and_then(|request| request.ip)
                .map(|ip| ip.to_string()),
            user_agent: request
                .as_ref()
                .and_then(|request| request.user_agent.as_deref())
                .map(str::to_owned),
            details: event.details,
        }
    }
}

/// A text that can't be the id of a request.
#[derive(Debug, thiserror::Error)]
#[error("must be 1 to 128 letters, digits or characters of \"._-\"")]
struct NoRequestId;

fn request_id(text: &str) -> Result<Arc<str>, NoRequestId> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text.into())
    } else {
        Err(NoRequestId)
    }
}

/// Reads which events to list. Only an admin key's query has `partner_id`.
///
/// # Errors
/// When a value is bad.
pub fn event_list_request(
    query: &mut Query,
    by_admin: bool,
) -> Result<EventListRequest, QueryError> {
    let actor = query.filter("key_id", |text| {
        let key = text.parse::<KeyId>().map(ActorId::Key);
        key.or_else(|error| {
            text.parse::<AdminKeyId>()
                .map(ActorId::Admin)
                .map_err(|_| error)
        })
    })?;
    let partner_id = if by_admin {
        query.filter("partner_id", str::parse::<PartnerId>)?
    } else {
        None
    };
    Ok(EventListRequest {
        actor,
        partner_id,
        org_id: query.filter("org_id", str::parse::<OrgId>)?,
        action: query.filter("action", str::parse::<Action>)?,
        outcome: query.filter("outcome", str::parse::<Outcome>)?,
        request_id: query.filter("request_id", request_id)?,
        since: query.filter("since", parse_time)?,
        until: query.filter("until", parse_time)?,
    })
}
