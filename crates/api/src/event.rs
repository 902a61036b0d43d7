//! Audit events.

use api_macros::{Query, Response};
use audit::{Action, Actor, ActorId, Details, Event, EventListRequest, Outcome, TargetKind};
use ids::{EventId, OrgId, PartnerId};
use serde::Serialize;

use crate::{
    Time,
    wire::{ActorType, AnyObject, KeyPrefix, Present, RequestIdText, Whole},
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
    #[api(as = Present<ActorId>)]
    id: Option<String>,
    /// The partner that the caller acted for; `null` for an admin.
    #[api(as = Present<PartnerId>)]
    partner_id: Option<PartnerId>,
    /// The first characters of the secret that a partner key used; `null` for others, and for events from before
    /// this was recorded.
    #[api(as = Present<KeyPrefix>)]
    key_prefix: Option<String>,
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
                key_prefix: request
                    .as_ref()
                    .and_then(|request| request.key_prefix.as_deref())
                    .map(str::to_owned),
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

/// Which events to list.
#[derive(Query)]
pub struct EventFilters {
    /// Only events of requests with this key.
    key_id: Option<ActorId>,
    /// Only events of requests with keys of this partner, and of changes to its orgs. For admins.
    #[api(admin)]
    partner_id: Option<PartnerId>,
    /// Only events about this org.
    org_id: Option<OrgId>,
    /// Only events with this action.
    action: Option<Action>,
    /// Only events with this outcome.
    outcome: Option<Outcome>,
    /// Only the events of the request with this `X-Request-Id`.
    request_id: Option<RequestIdText>,
    /// Only events at this time or later.
    since: Option<Time>,
    /// Only events before this time.
    until: Option<Time>,
}

impl From<EventFilters> for EventListRequest {
    fn from(filters: EventFilters) -> Self {
        Self {
            actor: filters.key_id,
            partner_id: filters.partner_id,
            org_id: filters.org_id,
            action: filters.action,
            outcome: filters.outcome,
            request_id: filters.request_id.map(|id| id.0.into()),
            since: filters.since.map(|time| time.0),
            until: filters.until.map(|time| time.0),
        }
    }
}
