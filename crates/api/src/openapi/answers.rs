//! What calls are answered with, when they are answered as they wish.

use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        AllOfBuilder, Components, Content, ObjectBuilder, Ref, RefOr, Schema,
        content::ContentBuilder,
        schema::{AdditionalProperties, Type},
    },
};

use super::forms::{self, OrNull as _};
use crate::{
    BillingView, DeletedOrgsView, DeliveryView, EndpointView, EventView, KeyView, OrgView,
    PartnerView, Problem, StatusView, WhoamiView, WorkspaceView,
};

/// The body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// None.
    Nothing,
    /// A partner.
    Partner,
    /// Partners.
    Partners,
    /// A key.
    Key,
    /// Keys.
    Keys,
    /// A key with its secret.
    IssuedKey,
    /// An org.
    Org,
    /// Orgs.
    Orgs,
    /// Orgs that are deleted together.
    DeletedOrgs,
    /// The status of an org.
    OrgState,
    /// A workspace.
    Workspace,
    /// Workspaces.
    Workspaces,
    /// A billing state.
    Billing,
    /// An audit event.
    Event,
    /// Audit events.
    Events,
    /// A webhook endpoint.
    WebhookEndpoint,
    /// Webhook endpoints.
    WebhookEndpoints,
    /// A webhook endpoint with its secret.
    IssuedWebhookEndpoint,
    /// A delivery to a webhook endpoint.
    WebhookDelivery,
    /// Deliveries to a webhook endpoint.
    WebhookDeliveries,
    /// The caller.
    Whoami,
    /// That the server is well.
    Health,
    /// Numbers, in the text format of Prometheus.
    Metrics,
    /// A page for people.
    Page,
    /// An OpenAPI document.
    Document,
}

impl Shape {
    /// Those that have a schema of their own.
    #[cfg(test)]
    pub(super) const NAMED: &[Self] = &[
        Self::Partner,
        Self::Partners,
        Self::Key,
        Self::Keys,
        Self::IssuedKey,
        Self::Org,
        Self::Orgs,
        Self::DeletedOrgs,
        Self::OrgState,
        Self::Workspace,
        Self::Workspaces,
        Self::Billing,
        Self::Event,
        Self::Events,
        Self::WebhookEndpoint,
        Self::WebhookEndpoints,
        Self::IssuedWebhookEndpoint,
        Self::WebhookDelivery,
        Self::WebhookDeliveries,
        Self::Whoami,
        Self::Health,
    ];

    /// The name of its schema, if it has one of its own.
    pub(super) const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Partner => "Partner",
            Self::Partners => "PartnerList",
            Self::Key => "PartnerKey",
            Self::Keys => "PartnerKeyList",
            Self::IssuedKey => "IssuedPartnerKey",
            Self::Org => "Org",
            Self::Orgs => "OrgList",
            Self::DeletedOrgs => "DeletedOrgs",
            Self::OrgState => "OrgState",
            Self::Workspace => "Workspace",
            Self::Workspaces => "WorkspaceList",
            Self::Billing => "Billing",
            Self::Event => "AuditEvent",
            Self::Events => "AuditEventList",
            Self::WebhookEndpoint => "WebhookEndpoint",
            Self::WebhookEndpoints => "WebhookEndpointList",
            Self::IssuedWebhookEndpoint => "IssuedWebhookEndpoint",
            Self::WebhookDelivery => "WebhookDelivery",
            Self::WebhookDeliveries => "WebhookDeliveryList",
            Self::Whoami => "Whoami",
            Self::Health => "Health",
            Self::Nothing | Self::Metrics | Self::Page | Self::Document => return None,
        })
    }

    /// Whether it is one page of a list.
    pub(super) fn is_list(self) -> bool {
        LISTS.iter().any(|list| list.0 == self)
    }

    /// The media type and what it holds; `None` where there is no body.
    pub(super) fn content(self, example: Option<Value>) -> Option<(&'static str, Content)> {
        let (kind, schema): (_, RefOr<Schema>) = match (self.name(), self) {
            (Some(name), _) => ("application/json", Ref::from_schema_name(name).into()),
            (None, Self::Metrics) => ("text/plain; version=0.0.4", forms::text().into()),
            (None, Self::Page) => ("text/html; charset=utf-8", forms::text().into()),
            (None, Self::Document) => ("application/json", forms::of::details().into()),
            (None, _) => return None,
        };
        let content = ContentBuilder::new()
            .schema(Some(schema))
            .example(example)
            .build();
        Some((kind, content))
    }
}

/// Lists and their items.
const LISTS: &[(Shape, &str)] = &[
    (Shape::Partners, "Partner"),
    (Shape::Keys, "PartnerKey"),
    (Shape::Orgs, "Org"),
    (Shape::Workspaces, "Workspace"),
    (Shape::Events, "AuditEvent"),
    (Shape::WebhookEndpoints, "WebhookEndpoint"),
    (Shape::WebhookDeliveries, "WebhookDelivery"),
];

/// The schemas of all answers.
pub(super) fn schemas() -> Components {
    let mut found = Vec::new();
    add::<PartnerView>(&mut found);
    add::<KeyView>(&mut found);
    add::<OrgView>(&mut found);
    add::<DeletedOrgsView>(&mut found);
    add::<StatusView>(&mut found);
    add::<WorkspaceView>(&mut found);
    add::<BillingView>(&mut found);
    add::<EventView>(&mut found);
    add::<EndpointView>(&mut found);
    add::<DeliveryView>(&mut found);
    add::<WhoamiView>(&mut found);
    add::<Problem>(&mut found);
    let mut components = Components::new();
    for (name, mut schema) in found {
        require_all(&name, &mut schema);
        components.schemas.insert(name, schema);
    }
    for (shape, item) in LISTS {
        if let Some(name) = shape.name() {
            components
                .schemas
                .insert(name.to_owned(), list_of(item).into());
        }
    }
    components
        .schemas
        .insert("IssuedPartnerKey".to_owned(), issued_key());
    components
        .schemas
        .insert("IssuedWebhookEndpoint".to_owned(), issued_endpoint());
    components
        .schemas
        .insert("Health".to_owned(), health().into());
    components
}

/// Adds the schema of a view and those that it refers to.
fn add<V: ToSchema>(found: &mut Vec<(String, RefOr<Schema>)>) {
    found.push((V::name().into_owned(), V::schema()));
    V::schemas(found);
}

/// Absent values are `null` and not left out, save the two lists of a problem document.
fn require_all(name: &str, schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else {
        return;
    };
    let optional = ["errors", "violated-policies"];
    let is_required = |member: &&String| name != "Problem" || !optional.contains(&member.as_str());
    object.required = object
        .properties
        .keys()
        .filter(is_required)
        .cloned()
        .collect();
}

fn list_of(item: &str) -> Schema {
    let cursor = forms::matching("^[A-Za-z0-9_-]+$").or_null();
    let list = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("One page of a list, newest first."))
        .property(
            "data",
            forms::list(
                Ref::from_schema_name(item),
                None,
                Some(crate::list::MAX_LIMIT),
            ),
        )
        .property("has_more", forms::boolean())
        .property("next_cursor", cursor)
        .required("data")
        .required("has_more")
        .required("next_cursor");
    Schema::Object(list.build())
}

fn issued_key() -> RefOr<Schema> {
    let secret = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("key", forms::matching("^mol_pk_[0-9A-Za-z]{50}$"))
        .required("key");
    AllOfBuilder::new()
        .description(Some("A new key with its secret in `key`, shown this once."))
        .item(Ref::from_schema_name("PartnerKey"))
        .item(secret)
        .into()
}

fn issued_endpoint() -> RefOr<Schema> {
    let secret = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property(
            "secret",
            forms::matching("^whsec_[0-9A-Za-z+/]{32,86}={0,2}$"),
        )
        .required("secret");
    AllOfBuilder::new()
        .description(Some(
            "A webhook endpoint with its secret in `secret`, shown this once.",
        ))
        .item(Ref::from_schema_name("WebhookEndpoint"))
        .item(secret)
        .into()
}

fn health() -> Schema {
    let health = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        .property("status", forms::one_of(["ok"]))
        .required("status");
    Schema::Object(health.build())
}

/// A list that holds this one item.
pub(super) fn page_of(item: Value) -> Value {
    json!({"data": [item], "has_more": false, "next_cursor": null})
}
