//! What is expected of each operation, by its `operationId`: written from the contract, not from the
//! document that it is compared with.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::kit::tokens::random;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Admin keys.
    Admin,
    /// Partner keys with one of these scopes.
    Scopes(&'static [&'static str]),
    /// Every credential.
    Any,
    /// Everybody, without a credential and unrecorded; the response is of this content type.
    Open(&'static str),
}

/// What the id in the path is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The path has no id.
    Nothing,
    Partner,
    /// For an admin, any key; for a partner key, itself.
    Key,
    TrustRule,
    Org,
    /// A webhook endpoint, with a delivery where one is named.
    Endpoint,
    /// An audit event.
    Event,
    /// A code of a problem.
    Problem,
}

/// One operation.
#[derive(Debug)]
pub struct Row {
    pub id: &'static str,
    pub who: Who,
    pub of: Of,
    /// The recorded action; none where nothing is recorded.
    pub action: &'static str,
    /// The response to whoever may call it.
    pub success: u16,
    /// A valid request body.
    pub body: fn() -> Value,
    /// A query that the path needs.
    pub query: &'static str,
}

const fn row(
    id: &'static str,
    who: Who,
    of: Of,
    action: &'static str,
    success: u16,
    body: fn() -> Value,
) -> Row {
    Row {
        id,
        who,
        of,
        action,
        success,
        body,
        query: "",
    }
}

impl Row {
    const fn with_query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }
}

const fn open(id: &'static str, content: &'static str, of: Of) -> Row {
    row(id, Open(content), of, "", 200, nothing)
}

fn leaks() -> Value {
    json!({"tokens": ["nonsense"]})
}

fn nothing() -> Value {
    Value::Null
}

fn name() -> Value {
    json!({"name": "another name"})
}

fn partner() -> Value {
    json!({"name": "a partner", "plan": "partner"})
}

fn key() -> Value {
    json!({"name": "a key", "scopes": ["orgs:list"]})
}

thread_local! {
    /// The partner of the trust rules that this test makes.
    pub static RULE_PARTNER: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A rule of [`RULE_PARTNER`].
pub fn rule() -> Value {
    let partner = RULE_PARTNER.with_borrow(String::clone);
    json!({
        "name": "a rule", "partner_id": partner, "issuer": "https://ci.example", "audience": "cp",
        "claims": {"sub": "acme"}, "scopes": ["orgs:list"],
    })
}

fn org() -> Value {
    json!({"name": "an org", "slug": format!("m-{:x}", random()), "plan": "free"})
}

fn workspace() -> Value {
    json!({"name": "QA", "slug": format!("w-{:x}", random())})
}

fn renewal() -> Value {
    json!({"ttl_seconds": 3600})
}

fn endpoint() -> Value {
    json!({"url": "https://hooks.invalid/", "events": ["org.ready"]})
}

fn events() -> Value {
    json!({"events": ["org.failed"]})
}

fn redelivery() -> Value {
    json!({"since": "2026-04-23T08:00:00Z", "status": "failed"})
}

fn subscription() -> Value {
    json!({"subscription": {"status": "trialing"}})
}

use Of::{Endpoint, Event, Key, Nothing, Org, Partner, Problem, TrustRule};
use Who::{Admin, Any, Open, Scopes};

const LIST: Who = Scopes(&["orgs:list"]);
const WEBHOOKS: Who = Scopes(&["webhooks:manage"]);
const READ: Who = Scopes(&["orgs:list", "orgs:create"]);
const JSON: &str = "application/json";

/// Every operation of the API. Those come last that end what the others need.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    open("healthz", JSON, Nothing),
    open("readyz", JSON, Nothing),
    open("metrics", "text/plain", Nothing),
    open("getOpenApi", JSON, Nothing),
    open("getReference", "text/html", Nothing),
    open("getGuide", "text/html", Nothing),
    open("getProblem", "text/html", Problem),
    row("reportLeaks", Open(""), Nothing, "", 202, leaks),
    row("reportLeaksFromGithub", Open("application/problem+json"), Nothing, "", 404, nothing),
    row("createPartner", Admin, Nothing, "partner.create", 201, partner),
    row("listPartners", Admin, Nothing, "partner.list", 200, nothing),
    row("getPartner", Admin, Partner, "partner.read", 200, nothing),
    row("updatePartner", Admin, Partner, "partner.update", 200, name),
    row("createPartnerKey", Admin, Nothing, "key.create", 201, key),
    row("listPartnerKeys", Any, Nothing, "key.list", 200, nothing),
    row("getPartnerKey", Any, Key, "key.read", 200, nothing),
    row("updatePartnerKey", Admin, Key, "key.update", 200, name),
    // Without a form, whoever asks; what a form is answered has tests of its own.
    row("exchangeToken", Open(JSON), Nothing, "token.exchange", 400, nothing),
    row("createTrustRule", Admin, Nothing, "trust_rule.create", 201, rule),
    row("listTrustRules", Admin, Nothing, "trust_rule.list", 200, nothing),
    row("getTrustRule", Admin, TrustRule, "trust_rule.read", 200, nothing),
    row("updateTrustRule", Admin, TrustRule, "trust_rule.update", 200, name),
    row("listAllOrgs", Admin, Nothing, "org.list", 200, nothing),
    row("getAnyOrg", Admin, Org, "org.read", 200, nothing),
    row("setOrgSubscription", Admin, Org, "billing.update", 200, subscription),
    row("suspendOrg", Admin, Org, "org.suspend", 200, nothing),
    row("resumeOrg", Admin, Org, "org.resume", 200, nothing),
    // The org is ready, so there is nothing to try again; whoever may not ask does not learn that.
    row("retryOrg", Admin, Org, "org.retry", 409, nothing),
    row("listAllAuditEvents", Admin, Nothing, "audit.list", 200, nothing),
    row("getAnyAuditEvent", Admin, Event, "audit.read", 200, nothing),
    row("listInstances", Admin, Nothing, "instance.list", 200, nothing),
    row("createOrg", Scopes(&["orgs:create"]), Nothing, "org.create", 201, org),
    row("listOrgs", LIST, Nothing, "org.list", 200, nothing),
    row("getOrg", READ, Org, "org.read", 200, nothing),
    row("updateOrg", Scopes(&["orgs:update"]), Org, "org.update", 200, name),
    row("getOrgStatus", READ, Org, "org.status", 200, nothing),
    // The org has no lease; whoever may not ask does not learn that.
    row("renewOrg", Scopes(&["orgs:create"]), Org, "org.renew", 409, renewal),
    row("deleteOrgs", Scopes(&["orgs:delete"]), Nothing, "org.delete", 202, nothing)
        .with_query("?label=run:none"),
    row("getOrgSecrets", Scopes(&["orgs:secrets"]), Org, "org.secrets.read", 200, nothing),
    row("rotateOrgSecrets", Scopes(&["orgs:secrets"]), Org, "org.secrets.rotate", 202, nothing),
    row("listPlans", Any, Nothing, "plan.list", 200, nothing),
    row("createWorkspace", Scopes(&["workspaces:create"]), Org, "workspace.create", 201, workspace),
    row("listWorkspaces", LIST, Org, "workspace.list", 200, nothing),
    row("getOrgBilling", Scopes(&["billing:read"]), Org, "billing.read", 200, nothing),
    row("listAuditEvents", Scopes(&["audit:read"]), Nothing, "audit.list", 200, nothing),
    row("getAuditEvent", Scopes(&["audit:read"]), Event, "audit.read", 200, nothing),
    row("createWebhookEndpoint", WEBHOOKS, Nothing, "webhook.create", 201, endpoint),
    row("listWebhookEndpoints", WEBHOOKS, Nothing, "webhook.list", 200, nothing),
    row("getWebhookEndpoint", WEBHOOKS, Endpoint, "webhook.read", 200, nothing),
    row("updateWebhookEndpoint", WEBHOOKS, Endpoint, "webhook.update", 200, events),
    row("redeliverFailedWebhooks", WEBHOOKS, Endpoint, "delivery.redeliver", 202, redelivery),
    row("rotateWebhookSecret", WEBHOOKS, Endpoint, "webhook.rotate", 200, nothing),
    row("testWebhookEndpoint", WEBHOOKS, Endpoint, "webhook.test", 200, nothing),
    row("listWebhookDeliveries", WEBHOOKS, Endpoint, "delivery.list", 200, nothing),
    row("redeliverWebhook", WEBHOOKS, Endpoint, "delivery.redeliver", 200, nothing),
    row("whoami", Any, Nothing, "credential.read", 200, nothing),
    row("deleteOrg", Scopes(&["orgs:delete"]), Org, "org.delete", 202, nothing),
    row("deleteWebhookEndpoint", WEBHOOKS, Endpoint, "webhook.delete", 204, nothing),
    row("rotatePartnerKey", Any, Key, "key.rotate", 201, nothing),
    // None is running.
    row("finishRotationOfPartnerKey", Any, Key, "key.rotate_finish", 409, nothing),
    row("cancelRotationOfPartnerKey", Any, Key, "key.rotate_cancel", 409, nothing),
    row("deleteTrustRule", Admin, TrustRule, "trust_rule.delete", 204, nothing),
    row("revokePartnerKey", Any, Key, "key.revoke", 204, nothing),
];
