//! The bodies of requests as schemas, member for member what the readers know.

use serde_json::{Value, json};
use utoipa::openapi::{
    Object, ObjectBuilder, OneOfBuilder, RefOr, Schema,
    extensions::Extensions,
    schema::{AdditionalProperties, Type},
};

use super::forms::{self, OrNull};

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A new partner.
    NewPartner,
    /// Changes to a partner.
    PartnerChanges,
    /// A new key.
    NewKey,
    /// Changes to a key.
    KeyChanges,
    /// A new org.
    NewOrg,
    /// A longer lease.
    Renewal,
    /// A new workspace.
    NewWorkspace,
    /// A new billing state.
    NewBilling,
    /// A new webhook endpoint.
    NewWebhookEndpoint,
    /// Nothing, or an empty object.
    Empty,
}

impl Body {
    /// All of them.
    pub(super) const ALL: &[Self] = &[
        Self::NewPartner,
        Self::PartnerChanges,
        Self::NewKey,
        Self::KeyChanges,
        Self::NewOrg,
        Self::Renewal,
        Self::NewWorkspace,
        Self::NewBilling,
        Self::NewWebhookEndpoint,
        Self::Empty,
    ];

    /// The name of its schema.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NewPartner => "NewPartner",
            Self::PartnerChanges => "PartnerChanges",
            Self::NewKey => "NewPartnerKey",
            Self::KeyChanges => "PartnerKeyChanges",
            Self::NewOrg => "NewOrg",
            Self::Renewal => "Renewal",
            Self::NewWorkspace => "NewWorkspace",
            Self::NewBilling => "NewBilling",
            Self::NewWebhookEndpoint => "NewWebhookEndpoint",
            Self::Empty => "Nothing",
        }
    }

    /// Whether the request is refused without it.
    pub(super) const fn is_required(self) -> bool {
        match self {
            Self::Empty => false,
            Self::NewPartner
            | Self::PartnerChanges
            | Self::NewKey
            | Self::KeyChanges
            | Self::NewOrg
            | Self::Renewal
            | Self::NewWorkspace
            | Self::NewBilling
            | Self::NewWebhookEndpoint => true,
        }
    }

    /// Its schema.
    pub(super) fn schema(self) -> Schema {
        match self {
            Self::NewPartner => new_partner().build("A partner to be made."),
            Self::PartnerChanges => partner_changes().build(
                "A merge patch (RFC 7396): what is left out stays, `null` puts the default back.",
            ),
            Self::NewKey => new_key().build("A key to be issued."),
            Self::KeyChanges => key_changes().build(
                "A merge patch (RFC 7396): what is left out stays, `null` puts the default back.",
            ),
            Self::NewOrg => new_org().build("An org to be created."),
            Self::Renewal => Members::new()
                .required("ttl_seconds", forms::ttl())
                .build("For how long an org's lease is renewed."),
            Self::NewWorkspace => Members::new()
                .required("name", forms::name())
                .optional("slug", forms::slug())
                .build("A workspace to be created. Without a slug, one is made of the name."),
            Self::NewBilling => new_billing(),
            Self::NewWebhookEndpoint => Members::new()
                .required("url", forms::uri())
                .required("events", forms::list(forms::event_kind(), Some(1), None))
                .build("A webhook endpoint to be made."),
            Self::Empty => Members::new().build("Nothing is asked for beside the path."),
        }
    }

    /// A request that is right.
    pub(super) fn example(self) -> Value {
        match self {
            Self::NewPartner => json!({
                "name": "Acme Marketplace",
                "plan": "partner",
                "rate_limit": {"limit": 6000, "window_seconds": 60},
                "max_orgs": 500,
                "labels": {"region": "eu"},
            }),
            Self::PartnerChanges => {
                json!({"plan": "enterprise", "max_orgs": null, "labels": {"region": null}})
            }
            Self::NewKey => json!({
                "name": "acme-ci-pipeline",
                "scopes": ["orgs:create", "orgs:list"],
                "org_id": null,
            }),
            Self::KeyChanges => {
                json!({"scopes": ["orgs:list"], "allowed_cidrs": ["192.0.2.0/24"], "disabled": false})
            }
            Self::NewOrg => json!({
                "name": "acme-corp",
                "slug": "acme-corp",
                "plan": "standard",
                "labels": {"run_id": "123"},
                "ttl_seconds": 3600,
            }),
            Self::Renewal => json!({"ttl_seconds": 3600}),
            Self::NewWorkspace => json!({"name": "QA", "slug": "qa-team"}),
            Self::NewBilling => json!({
                "subscription": {"status": "past_due", "cancel_at": "2026-06-30T00:00:00Z"},
                "plan": "standard",
            }),
            Self::NewWebhookEndpoint => json!({
                "url": "https://hooks.acme.example/molecule",
                "events": ["org.ready", "org.failed"],
            }),
            Self::Empty => json!({}),
        }
    }
}

/// The members of an object; there are no others.
struct Members(ObjectBuilder);

impl Members {
    fn new() -> Self {
        Self(
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false))),
        )
    }

    /// A member that must be there and not `null`.
    fn required(self, name: &str, form: impl Into<RefOr<Schema>>) -> Self {
        Self(self.0.property(name, form).required(name))
    }

    /// A member that may be missing or `null`.
    fn optional(self, name: &str, form: impl OrNull) -> Self {
        self.may_have(name, form.or_null())
    }

    /// A member that may be missing and not `null`.
    fn may_have(self, name: &str, form: impl Into<RefOr<Schema>>) -> Self {
        Self(self.0.property(name, form))
    }

    /// Of these two members one at the most says anything.
    fn not_both(self, one: (&str, Type), other: (&str, Type)) -> Self {
        let said = ObjectBuilder::new()
            .property(one.0, ObjectBuilder::new().schema_type(one.1))
            .property(other.0, ObjectBuilder::new().schema_type(other.1))
            .required(one.0)
            .required(other.0)
            .build();
        // The builder has no `not`; what it takes for extensions is written as it is.
        let not = Extensions::from_iter([("not", json!(said))]);
        Self(self.0.extensions(Some(not)))
    }

    fn object(self, says: &str) -> Object {
        self.0.description(Some(says)).build()
    }

    fn build(self, says: &str) -> Schema {
        Schema::Object(self.object(says))
    }
}

fn rate_limit() -> Object {
    Members::new()
        .required("limit", forms::whole(1, 100_000_000))
        .required("window_seconds", forms::whole(1, 86_400))
        .object("A burst of `limit`, refilled evenly within the window.")
}

fn new_partner() -> Members {
    Members::new()
        .required("name", forms::name())
        .optional("plan", forms::partner_plan())
        .optional("rate_limit", rate_limit())
        .optional("max_orgs", forms::org_count())
        .optional("labels", forms::labels())
}

fn partner_changes() -> Members {
    Members::new()
        .may_have("name", forms::name())
        .optional("plan", forms::partner_plan())
        .optional("rate_limit", rate_limit())
        .optional("max_orgs", forms::org_count())
        .optional("labels", forms::label_changes())
}

fn new_key() -> Members {
    Members::new()
        .required("name", forms::name())
        .required("scopes", forms::scopes())
        .optional("org_id", forms::id::<ids::OrgId>())
        .optional("partner_id", forms::id::<ids::PartnerId>())
        .optional("org_plans", forms::plans())
        .optional("rate_limit", rate_limit())
        .optional("expires_at", forms::time())
        .optional("expires_in_days", forms::whole(1, 3650))
        .not_both(
            ("expires_at", Type::String),
            ("expires_in_days", Type::Integer),
        )
        .optional("allowed_cidrs", forms::networks())
        .optional("max_live_orgs", forms::org_count())
        .optional("on_revoke", forms::on_revoke())
        .optional("labels", forms::labels())
}

fn key_changes() -> Members {
    Members::new()
        .may_have("name", forms::name())
        .may_have("scopes", forms::scopes())
        .optional("org_plans", forms::plans())
        .optional("rate_limit", rate_limit())
        .optional("expires_at", forms::time())
        .optional("allowed_cidrs", forms::networks())
        .optional("max_live_orgs", forms::org_count())
        .optional("on_revoke", forms::on_revoke())
        .optional("disabled", forms::boolean())
        .optional("labels", forms::label_changes())
}

fn new_org() -> Members {
    Members::new()
        .required("name", forms::name())
        .required("slug", forms::slug())
        .required("plan", forms::plan())
        .optional("external_id", forms::name())
        .optional("labels", forms::labels())
        .optional("ttl_seconds", forms::ttl())
}

/// A subscription's members, which may stand in an object of their own or beside `plan`.
fn subscription(members: Members) -> Members {
    members
        .required("status", forms::subscription_status())
        .optional("current_period_start", forms::time())
        .optional("current_period_end", forms::time())
        .optional("cancel_at", forms::time())
}

fn new_billing() -> Schema {
    let nested = Members::new()
        .required(
            "subscription",
            subscription(Members::new()).build("The subscription."),
        )
        .optional("plan", forms::plan())
        .build("The subscription in an object of its own.");
    let flat = subscription(Members::new())
        .optional("plan", forms::plan())
        .build("The subscription's members beside `plan`.");
    OneOfBuilder::new()
        .description(Some("A new billing state."))
        .item(nested)
        .item(flat)
        .build()
        .into()
}

#[cfg(test)]
mod tests;
