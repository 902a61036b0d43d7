//! The credential of the caller.

use api_macros::Response;
use audit::ActorId;
use ids::{Name, OrgId, PlanName};
use keys::{AdminRole, Networks};
use scopes::ScopeSet;
use serde::Serialize;

use crate::{
    PartnerView, Time,
    wire::{
        Burst, CredentialType, LimitName, OrgCount, OrgPlans, Present, QuotaName, Whole,
        WindowSeconds,
    },
};

/// The credential of the caller.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Credential")]
pub struct CredentialView {
    /// The kind of key.
    #[serde(rename = "type")]
    #[api(as = CredentialType)]
    pub kind: &'static str,
    /// The id of the key.
    #[api(as = ActorId)]
    pub id: String,
    /// The name of the key.
    #[api(as = Name, example = "acme-ci-pipeline")]
    pub name: String,
    /// What an admin key may do: an `operator` everything, an `auditor` only reads; `null` for a partner key.
    #[api(as = Option<AdminRole>)]
    pub role: Option<&'static str>,
    /// What the key may do; `null` for an admin key, which has no scopes.
    #[api(as = Present<ScopeSet>)]
    pub scopes: Option<ScopeSet>,
    /// The only org that the key has access to; `null` for all orgs of the partner.
    pub org_id: Option<OrgId>,
    /// The plans whose orgs the key may create, change and delete; `null` for all plans.
    #[api(as = Option<OrgPlans>)]
    pub org_plans: Option<Vec<PlanName>>,
    /// The most orgs created with the key that may exist at the same time; `null` for no maximum.
    #[api(as = Option<OrgCount>)]
    pub max_live_orgs: Option<u64>,
    /// The networks from which the key may be used, in CIDR notation; `null` for all.
    #[api(as = Option<Networks>)]
    pub allowed_cidrs: Option<Vec<String>>,
    /// The time from which the key is refused; `null` for a key that does not expire.
    pub expires_at: Option<Time>,
}

/// A rate limit, and what remains of it.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Limit")]
pub struct LimitView {
    /// The name of the limit, as in the header `RateLimit`.
    #[api(as = LimitName)]
    pub name: &'static str,
    /// The number of requests that the window has.
    #[api(as = Burst, example = 600)]
    pub limit: u32,
    /// The seconds in which the limit refills.
    #[api(as = WindowSeconds, example = 60)]
    pub window_seconds: u32,
    /// The number of requests that remain after this one.
    #[api(as = Whole<0, 100_000_000>, example = 599)]
    pub remaining: u32,
}

/// A quota, and how much of it is used.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Quota")]
pub struct QuotaView {
    /// What is counted: the orgs of the partner, or those created with the key, that are not deleted.
    #[api(as = QuotaName)]
    pub name: &'static str,
    /// How many there may be.
    #[api(as = OrgCount, example = 100)]
    pub limit: u64,
    /// How many there are.
    #[api(as = OrgCount, example = 7)]
    pub used: u64,
}

/// The caller: its credential, its partner, its rate limits and its quotas.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Whoami")]
pub struct WhoamiView {
    /// The credential of the caller.
    pub credential: CredentialView,
    /// The partner that the key belongs to; `null` for an admin key.
    #[api(as = Present<PartnerView>)]
    pub partner: Option<PartnerView>,
    /// The rate limits that this request counted against.
    pub limits: Vec<LimitView>,
    /// The quotas of the partner and of the key, as far as there are any. A key that acts within one org has none.
    pub quotas: Vec<QuotaView>,
}
