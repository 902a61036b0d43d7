//! What is written by hand about an operation, beside its handler.

use serde_json::{Value, json};

use super::{Header, Params};
use crate::{
    ErrorCode,
    wire::{AnyObject, AnySchema, Components, ListItem, RequestBody, WireType},
};

/// A chapter of the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Orgs, for partners.
    Orgs,
    /// Partner keys.
    PartnerKeys,
    /// Trust rules, and the exchange of tokens for keys.
    TrustRules,
    /// Audit events.
    Audit,
    /// Webhook endpoints.
    Webhooks,
    /// What is sent to them. A tag of its own: generators make a file of each.
    Messages,
    /// The credential of the caller.
    Credential,
    /// Partners.
    Partners,
    /// Orgs, for admins.
    AdminOrgs,
    /// The description of the API.
    Reference,
    /// Health, metrics and instances.
    Operations,
}

impl Tag {
    /// All of them, in the order in which they are read.
    pub const ALL: &[Self] = &[
        Self::Orgs,
        Self::PartnerKeys,
        Self::TrustRules,
        Self::Audit,
        Self::Webhooks,
        Self::Messages,
        Self::Credential,
        Self::Partners,
        Self::AdminOrgs,
        Self::Reference,
        Self::Operations,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orgs => "Orgs",
            Self::PartnerKeys => "Partner keys",
            Self::TrustRules => "Keyless pipelines",
            Self::Audit => "Audit",
            Self::Webhooks => "Webhooks",
            Self::Messages => "Webhook messages",
            Self::Credential => "Credential",
            Self::Partners => "Partners",
            Self::AdminOrgs => "Orgs, for admins",
            Self::Reference => "Reference",
            Self::Operations => "Operations",
        }
    }

    /// Its description.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Orgs => "Create orgs, poll until they are ready, and delete them.",
            Self::PartnerKeys => {
                "Create, change, rotate and revoke the keys of partners. A key can read, rotate and revoke itself."
            }
            Self::TrustRules => {
                "Exchange the token that a pipeline has of its provider for a key of minutes, by rules of the operator."
            }
            Self::Audit => "Every request with a known credential leaves one audit event.",
            Self::Webhooks => "Receive messages about orgs and keys.",
            Self::Messages => "What is sent to webhook endpoints.",
            Self::Credential => "The credential of the caller, and what it may do.",
            Self::Partners => "The accounts that own keys and orgs.",
            Self::AdminOrgs => "The orgs of all partners: suspend, resume, retry and bill them.",
            Self::Reference => "This description, for programs and for people.",
            Self::Operations => "Health checks, metrics and instances, for the operator.",
        }
    }
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    pub(super) name: fn() -> String,
    pub(super) schema: fn(&mut Components) -> AnySchema,
    pub(super) example: fn() -> Value,
    pub(super) required: bool,
    /// Whether it is a form, and not JSON.
    pub(super) is_form: bool,
}

impl Body {
    /// A form that must be sent.
    #[must_use]
    pub const fn form<T: RequestBody>() -> Self {
        Self {
            is_form: true,
            ..Self::of::<T>()
        }
    }

    /// A body that must be sent.
    #[must_use]
    pub const fn of<T: RequestBody>() -> Self {
        Self {
            is_form: false,
            name: T::name,
            schema: T::schema,
            example: T::example,
            required: true,
        }
    }

    /// A body that may be left out.
    #[must_use]
    pub const fn optional<T: RequestBody>() -> Self {
        Self {
            required: false,
            ..Self::of::<T>()
        }
    }
}

/// The body of a response.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    pub(super) media_type: &'static str,
    pub(super) schema: fn(&mut Components) -> AnySchema,
    pub(super) example: Option<fn() -> Value>,
    /// Whether it is one page of a list.
    pub(super) is_list: bool,
}

impl Content {
    /// An object.
    #[must_use]
    pub const fn json<T: WireType>() -> Self {
        Self {
            media_type: "application/json",
            schema: T::schema,
            example: Some(T::example),
            is_list: false,
        }
    }

    /// One page of a list.
    #[must_use]
    pub const fn list<T: ListItem>() -> Self {
        Self {
            is_list: true,
            ..Self::json::<crate::ListView<T>>()
        }
    }

    /// An OpenAPI document.
    pub const DOCUMENT: Self = Self {
        example: None,
        ..Self::json::<AnyObject>()
    };
    /// Metrics in the text format of Prometheus.
    pub const METRICS: Self = Self::text("text/plain; version=0.0.4");
    /// A page for people.
    pub const PAGE: Self = Self::text("text/html; charset=utf-8");

    const fn text(media_type: &'static str) -> Self {
        Self {
            media_type,
            schema: String::schema,
            example: None,
            is_list: false,
        }
    }
}

/// A response of a request that succeeds.
#[derive(Clone, Copy, Debug)]
pub struct Success {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) content: Option<Content>,
    pub(super) headers: &'static [Header],
    /// Fields that the example has another value in.
    pub(super) changes: &'static [(&'static str, Option<&'static str>)],
}

impl Success {
    /// A response with a body.
    #[must_use]
    pub const fn new(status: u16, description: &'static str, content: Content) -> Self {
        Self {
            content: Some(content),
            ..Self::empty(status, description)
        }
    }

    /// A response without a body.
    #[must_use]
    pub const fn empty(status: u16, description: &'static str) -> Self {
        Self {
            status,
            description,
            content: None,
            headers: &[],
            changes: &[],
        }
    }

    /// The same with headers that only some responses have.
    #[must_use]
    pub const fn headers(self, headers: &'static [Header]) -> Self {
        Self { headers, ..self }
    }

    /// The same with other values in its example.
    #[must_use]
    pub const fn example(self, changes: &'static [(&'static str, Option<&'static str>)]) -> Self {
        Self { changes, ..self }
    }

    pub(super) fn example_value(&self) -> Option<Value> {
        let mut example = self.content?.example?();
        if let Some(members) = example.as_object_mut() {
            for (name, value) in self.changes {
                members.insert((*name).to_owned(), json!(value));
            }
        }
        Some(example)
    }
}

/// The description of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name, for generated clients.
    pub id: &'static str,
    /// Its chapter.
    pub tag: Tag,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else a caller needs to know.
    pub detail: &'static str,
    /// The parameters of its query, and request headers that only some operations have. Every list has those
    /// of its pages.
    pub query: &'static [Params],
    /// The body of its requests.
    pub body: Option<Body>,
    /// The responses of requests that succeed.
    pub responses: &'static [Success],
    /// The error codes beside those that every operation of its kind has.
    pub errors: &'static [ErrorCode],
}

impl Operation {
    /// An operation without parameters, body or errors of its own.
    #[must_use]
    pub const fn new(
        id: &'static str,
        tag: Tag,
        summary: &'static str,
        responses: &'static [Success],
    ) -> Self {
        Self {
            id,
            tag,
            summary,
            detail: "",
            query: &[],
            body: None,
            responses,
            errors: &[],
        }
    }

    /// Whether it responds with one page of a list.
    pub(super) fn is_list(&self) -> bool {
        let contents = self
            .responses
            .iter()
            .filter_map(|response| response.content);
        contents.into_iter().any(|content| content.is_list)
    }
}
