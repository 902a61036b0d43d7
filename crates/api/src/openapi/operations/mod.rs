//! What each call is for: one constant for each line of the server's table, of the same name.

mod admin;
mod open;
mod partner;
mod webhooks;

pub use self::{admin::*, open::*, partner::*, webhooks::*};
use super::{Body, Header, Param, Shape};
use crate::ErrorCode;

/// A chapter of the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// What partners' integrations do with orgs.
    Orgs,
    /// Keys.
    PartnerKeys,
    /// Audit events.
    Audit,
    /// Webhook endpoints.
    Webhooks,
    /// The caller itself.
    Credential,
    /// Partners.
    Partners,
    /// Orgs as the operator deals with them.
    AdminOrgs,
    /// The API's own description.
    Reference,
    /// What whoever runs the server asks it.
    Operations,
}

impl Tag {
    /// All of them, in the order in which they are read.
    pub const ALL: &[Self] = &[
        Self::Orgs,
        Self::PartnerKeys,
        Self::Audit,
        Self::Webhooks,
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
            Self::Audit => "Audit",
            Self::Webhooks => "Webhooks",
            Self::Credential => "Credential",
            Self::Partners => "Partners",
            Self::AdminOrgs => "Orgs, for admins",
            Self::Reference => "Reference",
            Self::Operations => "Operations",
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Orgs => "Create orgs, poll until they are ready, and delete them.",
            Self::PartnerKeys => {
                "Issue, change and revoke the keys of partners. A key reads and revokes itself."
            }
            Self::Audit => "Every call by a known credential leaves one event.",
            Self::Webhooks => "Be told of what happens to orgs and keys.",
            Self::Credential => "What the credential is and may do.",
            Self::Partners => "The accounts that own keys and orgs.",
            Self::AdminOrgs => "All partners' orgs: pause, resume, retry and bill them.",
            Self::Reference => "This description, for programs and for people.",
            Self::Operations => "For whoever runs the server.",
        }
    }
}

/// A good answer.
#[derive(Clone, Copy, Debug)]
pub struct Success {
    /// Its status.
    pub status: u16,
    /// What it means.
    pub says: &'static str,
    /// Its body.
    pub shape: Shape,
    /// Headers that not every answer has.
    pub headers: &'static [Header],
}

const fn success(status: u16, says: &'static str, shape: Shape) -> Success {
    Success {
        status,
        says,
        shape,
        headers: &[],
    }
}

/// What a call is for.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name for programs.
    pub id: &'static str,
    /// The chapter it belongs to.
    pub tag: Tag,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else is to be known.
    pub detail: &'static str,
    /// The parameters of its query, and a header that it knows.
    pub query: &'static [Param],
    /// The body of its requests.
    pub body: Option<Body>,
    /// Its good answers.
    pub answers: &'static [Success],
    /// The codes of refusals beside those that every call of its kind can get.
    pub refusals: &'static [ErrorCode],
}

impl Operation {
    /// Whether it answers with one page of a list.
    pub(crate) fn is_list(&self) -> bool {
        self.answers.iter().any(|answer| answer.shape.is_list())
    }
}
