//! The OpenAPI 3.1 document, generated from the code that it describes.
//!
//! The server's table of routes says which operations there are and who may call them, and each has an
//! [`Operation`] beside its handler; the structs of requests and responses give the schemas. This module
//! must not know how a document is served or shown.

mod document;
mod errors;
mod headers;
mod messages;
mod operation;
mod parameters;
mod samples;

use scopes::Scope;

pub use self::{
    document::document,
    errors::example as problem_example,
    headers::Header,
    operation::{Body, Content, Operation, Success, Tag},
    parameters::Params,
};

/// The method of an operation.
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

    /// The method in a request.
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

/// Who may call an operation.
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
    /// The caller in a few words.
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

/// An operation of the API: a line of the server's table of routes with its description.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// The method.
    pub method: Method,
    /// The path, with names for the parts that vary.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// Its name in the audit log, if it is audited.
    pub action: Option<&'static str>,
    /// Its description.
    pub operation: &'static Operation,
}

/// What a scope allows.
#[must_use]
pub const fn scope_allows(scope: Scope) -> &'static str {
    match scope {
        Scope::OrgsCreate => {
            "Create orgs; read and poll the orgs created with this key; renew the lease of any org of the \
             partner."
        }
        Scope::OrgsUpdate => "Change orgs: their names, labels, plans and options.",
        Scope::OrgsList => "List, read and poll the orgs of the partner and their workspaces.",
        Scope::OrgsDelete => "Delete orgs, one by one or by label.",
        Scope::OrgsSecrets => "Read and rotate the secrets of orgs.",
        Scope::WorkspacesCreate => "Create workspaces in orgs.",
        Scope::BillingRead => "Read the billing state of orgs.",
        Scope::AuditRead => "Read the audit events of the partner.",
        Scope::WebhooksManage => {
            "Create, read, test and delete the webhook endpoints of the partner."
        }
    }
}
