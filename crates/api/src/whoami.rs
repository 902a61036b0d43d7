//! What a credential learns of itself.

use ids::OrgId;
use scopes::ScopeSet;
use serde::Serialize;

use crate::{PartnerView, Time};

/// The credential that asks.
#[derive(Clone, Debug, Serialize)]
pub struct CredentialView {
    /// `partner_key` or `admin`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do; `null` for an admin key, which has no scopes.
    pub scopes: Option<ScopeSet>,
    /// The org it is bound to.
    pub org_id: Option<OrgId>,
    /// When it ends by itself.
    pub expires_at: Option<Time>,
}

/// One limit and what is left of it.
#[derive(Clone, Debug, Serialize)]
pub struct LimitView {
    /// Its name, as in the `RateLimit` header.
    pub name: &'static str,
    /// The burst.
    pub limit: u32,
    /// The time in which it refills, in seconds.
    pub window_seconds: u32,
    /// What is left after this call.
    pub remaining: u32,
}

/// The answer to `GET /cp/whoami`.
#[derive(Clone, Debug, Serialize)]
pub struct WhoamiView {
    /// The credential.
    pub credential: CredentialView,
    /// The partner who holds it; `null` for an admin key.
    pub partner: Option<PartnerView>,
    /// The limits that this call counted against.
    pub limits: Vec<LimitView>,
}
