//! Audit events.

use std::sync::Arc;

use api_macros::Response;
use audit::{Action, Actor, ActorId, Details, Event, EventListRequest, Outcome, TargetKind};
use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId};
use serde::Serialize;

use crate::{
    Query, QueryError, Time, parse_time,
    wire::{ActorIdText, ActorType, AnyObject, Present, Whole},
};

/// The caller of an audited request, or the system.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Actor")]
struct ActorView {
    /// The kind of caller.
    #[serde(rename = "type")]
    #[api(as = ActorType)]
    kind: &'static str,
    /// The id of the key; `null` for the system.
    #[api(as = Present<ActorIdText>)]
    id: Option<String>,
    /// The partner that the caller acted for; `null` for an admin.
    #[api(as = Present<PartnerId>)]
    partner_id: Option<PartnerId>,
}

/// The resource that an audit event is about.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Target")]
struct TargetView {
    /// The kind of resource.
    #[serde(rename = "type")]
    #[api(as = TargetKind, example = "org")]
    kind: &'static str,
    /// The id of the resource; `null` for a list.
    #[api(example = "org_01J9ZK6V3QG8W0T5N4R2M7XACD")]
    id: Option<String>,
}

/// An audit event: a request, or a change made by the system.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "AuditEvent")]
pub struct EventView {
    /// The id of the event.
    id: EventId,
    /// The time at which it happened.
    occurred_at: Time,
    /// The caller, or the system.
    actor: ActorView,
    /// The action that was requested.
    #[api(as = Action, example = "org.create")]
    action: &'static str,
    /// The resource that the action is about.
    target: TargetView,
    /// The outcome of the action.
    #[api(as = Outcome)]
    outcome: &'static str,
    /// The HTTP status of the response; `null` for the system.
    #[api(as = Option<Whole<100, 599>>, example = 201)]
    status_code: Option<u16>,
    /// The method of the request.
    #[api(example = "POST")]
    method: Option<String>,
    /// The route that the request matched.
    #[api(example = "/cp/orgs")]
    route: Option<String>,
    /// The id of the request, its `X-Request-Id`.
    #[api(example = "req_01J9ZK6V3QG8W0T5N4R2M7XACD")]
    request_id: Option<String>,
    /// The address of the client; `null` if it is unknown.
    #[api(example = "192.0.2.17")]
    ip: Option<String>,
    /// The `User-Agent` of the request.
    #[api(example = "curl/8.14.1")]
    user_agent: Option<String>,
    /// Further details; never a secret.
    #[api(as = AnyObject, example = {"name": "acme-corp", "plan": "standard", "slug": "acme-corp"})]
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
