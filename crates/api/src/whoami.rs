//! What a credential learns of itself.

use ids::{OrgId, PlanName};
use scopes::ScopeSet;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{PartnerView, Time, openapi::forms::of};

/// The credential that asks.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialView {
    /// `partner_key` or `admin`.
    #[serde(rename = "type")]
    #[schema(schema_with = of::credential_type)]
    pub kind: &'static str,
    /// Its id.
    #[schema(schema_with = of::credential_id)]
    pub id: String,
    /// Its name.
    #[schema(schema_with = of::name)]
    pub name: String,
    /// What it may do; `null` for an admin key, which has no scopes.
    #[schema(schema_with = of::maybe_scopes)]
    pub scopes: Option<ScopeSet>,
    /// The org it is bound to.
    #[schema(schema_with = of::maybe_org_id)]
    pub org_id: Option<OrgId>,
    /// The plans of the orgs that it may create, change and delete; `null` for all.
    #[schema(schema_with = of::maybe_plans)]
    pub org_plans: Option<Vec<PlanName>>,
    /// How many orgs made with it may be there at the same time.
    #[schema(schema_with = of::maybe_count)]
    pub max_live_orgs: Option<u64>,
    /// The networks that it can be used from; `null` for all.
    #[schema(schema_with = of::maybe_networks)]
    pub allowed_cidrs: Option<Vec<String>>,
    /// When it ends by itself.
    #[schema(schema_with = of::maybe_time)]
    pub expires_at: Option<Time>,
}

/// One limit and what is left of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
pub struct LimitView {
    /// Its name, as in the `RateLimit` header.
    #[schema(schema_with = of::limit_name)]
    pub name: &'static str,
    /// The burst.
    #[schema(schema_with = of::limit)]
    pub limit: u32,
    /// The time in which it refills, in seconds.
    #[schema(schema_with = of::window_seconds)]
    pub window_seconds: u32,
    /// What is left after this call.
    #[schema(schema_with = of::remaining)]
    pub remaining: u32,
}

/// The answer to `GET /cp/whoami`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Whoami)]
pub struct WhoamiView {
    /// The credential.
    pub credential: CredentialView,
    /// The partner who holds it; `null` for an admin key.
    pub partner: Option<PartnerView>,
    /// The limits that this call counted against.
    pub limits: Vec<LimitView>,
}
