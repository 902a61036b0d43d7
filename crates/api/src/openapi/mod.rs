//! The description of the API, OpenAPI 3.1, made from the code that it describes.
//!
//! The server's own table of routes says which calls there are and who may make them; [`operations`]
//! says what each is for; the views say what answers look like, and the readers, by tests, what
//! requests do. This module refuses to know how a document is served or shown.

mod answers;
mod document;
mod examples;
pub(crate) mod forms;
mod glossary;
mod headers;
pub mod operations;
mod parameters;
mod refusals;
mod requests;

use scopes::Scope;

pub use self::{
    answers::Shape,
    document::document,
    headers::Header,
    operations::{Operation, Success, Tag},
    parameters::Param,
    refusals::example as problem_example,
    requests::Body,
};

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

/// The names as the server's table writes them.
impl Method {
    /// `GET`.
    pub const GET: Self = Self::Get;
    /// `POST`.
    pub const POST: Self = Self::Post;
    /// `PUT`.
    pub const PUT: Self = Self::Put;
    /// `PATCH`.
    pub const PATCH: Self = Self::Patch;
    /// `DELETE`.
    pub const DELETE: Self = Self::Delete;

    /// The method on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether its requests have a body.
    pub(crate) const fn has_body(self) -> bool {
        match self {
            Self::Post | Self::Put | Self::Patch => true,
            Self::Get | Self::Delete => false,
        }
    }
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anyone, without a credential.
    Anyone,
    /// An admin key.
    Admin,
    /// A partner key that has one of these scopes.
    Partner(&'static [Scope]),
    /// Any credential.
    Any,
}

impl Who {
    /// The same in a few words.
    #[must_use]
    pub fn phrase(self) -> String {
        match self {
            Self::Anyone => "anyone".to_owned(),
            Self::Admin => "admin".to_owned(),
            Self::Any => "admin or partner key".to_owned(),
            Self::Partner(scopes) => scopes
                .iter()
                .map(|scope| format!("`{scope}`"))
                .collect::<Vec<_>>()
                .join(" or "),
        }
    }
}

/// One call of the API: a line of the server's table with its description.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// The method.
    pub method: Method,
    /// The path, with names for the parts that vary.
    pub path: &'static str,
    /// Who may make it.
    pub who: Who,
    /// How it stands in the audit log, if it does.
    pub action: Option<&'static str>,
    /// What it is for.
    pub operation: &'static Operation,
}

/// What a scope allows, in a sentence.
#[must_use]
pub const fn scope_allows(scope: Scope) -> &'static str {
    match scope {
        Scope::OrgsCreate => {
            "Creating orgs; reading and polling the orgs that this very key created; renewing any of \
             the partner's."
        }
        Scope::OrgsList => "Listing, reading and polling the partner's orgs and their workspaces.",
        Scope::OrgsDelete => "Deleting orgs, one or by label.",
        Scope::WorkspacesCreate => "Creating workspaces in orgs.",
        Scope::BillingRead => "Reading the billing state of orgs.",
        Scope::AuditRead => "Reading the partner's audit events.",
        Scope::WebhooksManage => {
            "Making, reading, trying and deleting the partner's webhook endpoints."
        }
    }
}
