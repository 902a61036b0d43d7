//! An example of each answer.

use serde_json::{Map, Value, json};

use super::answers::{Shape, page_of};

const ORG: &str = "org_01J9ZK6V3QG8W0T5N4R2M7XACD";
const PARTNER: &str = "ptn_01J9ZK5H8D3M6Q7R1S2T4V5W6X";
const KEY: &str = "pak_01J9ZK60AB1CD2EF3GH4JK5MN6";
const ENDPOINT: &str = "whe_01J9ZK7H5J6K7M8N9P0Q1R2S3T";
const ADMIN: &str = "adm_01J9ZJ00000000000000000000";
const CREATED: &str = "2026-04-23T08:00:00Z";
const READY: &str = "2026-04-23T08:00:04Z";
const LOGIN: &str = "https://app.moleculesai.app/login?org=acme-corp";

/// An answer of this shape; `None` where there is no JSON to show.
pub(super) fn example(shape: Shape) -> Option<Value> {
    Some(match shape {
        Shape::Partner => partner(),
        Shape::Partners => page_of(partner()),
        Shape::Key => key().into(),
        Shape::Keys => page_of(key().into()),
        Shape::IssuedKey => {
            let mut issued = key();
            issued.insert(
                "key".to_owned(),
                json!("mol_pk_05Kc1YtE0OgkAb3vTq7Zr906QnLw2xXb8HdRjUfMs4PyGa1cVe"),
            );
            issued.into()
        }
        Shape::Org => org(),
        Shape::Orgs => page_of(org()),
        Shape::DeletedOrgs => json!({"data": [org()]}),
        Shape::OrgState => state(),
        Shape::Workspace => workspace(),
        Shape::Workspaces => page_of(workspace()),
        Shape::Billing => billing(),
        Shape::Event => event(),
        Shape::Events => page_of(event()),
        Shape::WebhookEndpoint => endpoint().into(),
        Shape::WebhookEndpoints => page_of(endpoint().into()),
        Shape::IssuedWebhookEndpoint => {
            let mut issued = endpoint();
            issued.insert(
                "secret".to_owned(),
                json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            );
            issued.into()
        }
        Shape::WebhookDelivery => delivery(),
        Shape::WebhookDeliveries => page_of(delivery()),
        Shape::Whoami => whoami(),
        Shape::Health => json!({"status": "ok"}),
        Shape::Nothing | Shape::Metrics | Shape::Page | Shape::Document => return None,
    })
}

/// The example org as it stands right after its creation.
pub(super) fn new_org() -> Value {
    let mut org = org();
    if let Some(members) = org.as_object_mut() {
        members.insert("status".to_owned(), json!("provisioning"));
        members.insert("ready_at".to_owned(), Value::Null);
    }
    org
}

/// The example org while it is taken away.
pub(super) fn going_org() -> Value {
    let mut org = org();
    if let Some(members) = org.as_object_mut() {
        members.insert("status".to_owned(), json!("deprovisioning"));
    }
    org
}

/// The orgs that are deleted by label.
pub(super) fn deleted_orgs() -> Value {
    json!({"data": [{"id": ORG, "slug": "acme-corp", "status": "deprovisioning"}]})
}

fn partner() -> Value {
    json!({
        "id": PARTNER,
        "name": "Acme Marketplace",
        "plan": "partner",
        "rate_limit": {"limit": 6000, "window_seconds": 60},
        "max_orgs": 500,
        "labels": {"region": "eu"},
        "created_at": CREATED,
    })
}

fn key() -> Map<String, Value> {
    let members = json!({
        "id": KEY,
        "name": "acme-ci-pipeline",
        "partner_id": PARTNER,
        "org_id": null,
        "scopes": ["orgs:create", "orgs:list"],
        "org_plans": null,
        "rate_limit": {"limit": 600, "window_seconds": 60},
        "expires_at": null,
        "allowed_cidrs": null,
        "max_live_orgs": null,
        "on_revoke": "keep",
        "labels": {},
        "key_prefix": "mol_pk_05Kc1",
        "disabled": false,
        "status": "active",
        "created_at": CREATED,
        "created_by": ADMIN,
        "last_used_at": null,
        "revoked_at": null,
    });
    object(members)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn endpoint() -> Map<String, Value> {
    object(json!({
        "id": ENDPOINT,
        "partner_id": PARTNER,
        "url": "https://hooks.acme.example/molecule",
        "events": ["org.ready", "org.failed"],
        "status": "active",
        "created_at": CREATED,
        "disabled_at": null,
        "old_secret_expires_at": null,
    }))
}

fn delivery() -> Value {
    json!({
        "id": "whd_01J9ZK7P2Q3R4S5T6V7W8X9Y0Z",
        "endpoint_id": ENDPOINT,
        "type": "org.ready",
        "status": "pending",
        "attempts": 1,
        "last_answer": {
            "at": READY,
            "status_code": 503,
            "excerpt": "try later",
            "error": "answered 503: a message counts as taken when the answer is 2xx",
        },
        "next_attempt_at": "2026-04-23T08:00:09.25Z",
        "created_at": READY,
        "delivered_at": null,
    })
}

fn org() -> Value {
    json!({
        "id": ORG,
        "name": "acme-corp",
        "slug": "acme-corp",
        "plan": "standard",
        "status": "ready",
        "partner_id": PARTNER,
        "created_by_key_id": KEY,
        "external_id": null,
        "labels": {"run_id": "123"},
        "login_url": LOGIN,
        "created_at": CREATED,
        "ready_at": READY,
        "expires_at": null,
        "deleted_at": null,
        "failure": null,
    })
}

fn state() -> Value {
    json!({
        "id": ORG,
        "slug": "acme-corp",
        "status": "ready",
        "created_at": CREATED,
        "updated_at": READY,
        "login_url": LOGIN,
        "steps": [
            {
                "name": "provision",
                "status": "succeeded",
                "attempts": 1,
                "started_at": CREATED,
                "finished_at": READY,
            },
            {
                "name": "workspace",
                "status": "succeeded",
                "attempts": 1,
                "started_at": READY,
                "finished_at": READY,
            },
        ],
        "failure": null,
    })
}

fn workspace() -> Value {
    json!({
        "id": "ws_01J9ZK7M0N1P2Q3R4S5T6V7W8X",
        "org_id": ORG,
        "name": "QA",
        "slug": "qa-team",
        "created_at": READY,
    })
}

fn billing() -> Value {
    json!({
        "org_id": ORG,
        "plan": "standard",
        "subscription": {
            "status": "active",
            "current_period_start": CREATED,
            "current_period_end": "2026-05-23T08:00:00Z",
            "cancel_at": null,
        },
    })
}

fn event() -> Value {
    json!({
        "id": "evt_01J9ZK6V4R8S9T0V1W2X3Y4Z5A",
        "occurred_at": CREATED,
        "actor": {"type": "partner_key", "id": KEY, "partner_id": PARTNER},
        "action": "org.create",
        "target": {"type": "org", "id": ORG},
        "outcome": "success",
        "status_code": 201,
        "method": "POST",
        "route": "/cp/orgs",
        "request_id": "req_01J9ZK6V3QG8W0T5N4R2M7XACD",
        "ip": "192.0.2.17",
        "user_agent": "curl/8.14.1",
        "details": {"name": "acme-corp", "plan": "standard", "slug": "acme-corp"},
    })
}

fn whoami() -> Value {
    json!({
        "credential": {
            "type": "partner_key",
            "id": KEY,
            "name": "acme-ci-pipeline",
            "scopes": ["orgs:create", "orgs:list"],
            "org_id": null,
            "org_plans": null,
            "max_live_orgs": null,
            "allowed_cidrs": null,
            "expires_at": null,
        },
        "partner": partner(),
        "limits": [{"name": "key", "limit": 600, "window_seconds": 60, "remaining": 599}],
    })
}
