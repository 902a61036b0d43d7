//! Partners, and the rate limits that keys have too.

use api_macros::{Request, Response};
use ids::{Labels, Name, PartnerId};
use keys::{Change, Partner, PartnerChanges as Changes, PartnerDraft, PartnerPlan};
use ratelimit::RateLimit;
use serde::Serialize;
use serde_json::Value;

use crate::{
    Time,
    wire::{
        AnySchema, Burst, ClientType, Components, FieldError, FromJson, LabelPatch, NotNull,
        OrgCount, Read, WindowSeconds, WireType,
    },
};

/// A burst of requests that refills evenly.
#[derive(Clone, Copy, Debug, Serialize, Response)]
#[api(name = "RateLimit")]
pub struct RateLimitView {
    /// The number of requests that the window has.
    #[api(as = Burst, example = 600)]
    pub limit: u32,
    /// The seconds in which the limit refills.
    #[api(as = WindowSeconds, example = 60)]
    pub window_seconds: u32,
}

impl From<RateLimit> for RateLimitView {
    fn from(limit: RateLimit) -> Self {
        Self {
            limit: limit.limit().get(),
            window_seconds: limit.window_seconds().get(),
        }
    }
}

/// A rate limit that is asked for.
#[derive(Request)]
#[api(like = RateLimitView)]
struct NewRateLimit {
    limit: Burst,
    window_seconds: WindowSeconds,
}

impl WireType for RateLimit {
    fn schema(components: &mut Components) -> AnySchema {
        NewRateLimit::schema(components)
    }

    fn example() -> Value {
        RateLimitView::example()
    }
}

impl ClientType for RateLimit {
    type As = new_rate_limit_client::NewRateLimit;
}

impl<C> FromJson<C> for RateLimit {
    fn from_json(value: Value, context: &C) -> Read<Self> {
        let asked = NewRateLimit::from_json(value, context)?;
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self::new(narrow(asked.limit.0), narrow(asked.window_seconds.0)).map_err(FieldError::here)
    }
}

/// An account that owns keys, and the orgs created with them.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Partner")]
pub struct PartnerView {
    /// The id of the partner.
    pub id: PartnerId,
    /// The name of the partner.
    #[api(example = "Acme Marketplace")]
    pub name: Name,
    /// The plan that the partner has bought. Only `partner` and `enterprise` include keys.
    #[api(as = PartnerPlan, example = "partner")]
    pub plan: &'static str,
    /// A rate limit that all keys of the partner share, beside their own; `null` for none.
    #[api(example = {"limit": 6000, "window_seconds": 60})]
    pub rate_limit: Option<RateLimitView>,
    /// The most orgs that the partner may have, not counting deleted ones; `null` for no maximum.
    #[api(as = Option<OrgCount>, example = 500)]
    pub max_orgs: Option<u64>,
    /// Up to 16 labels of your choice.
    #[api(example = {"region": "eu"})]
    pub labels: Labels,
    /// The time at which the partner was created.
    pub created_at: Time,
}

impl From<Partner> for PartnerView {
    fn from(partner: Partner) -> Self {
        Self {
            id: partner.id,
            name: partner.name,
            plan: partner.plan.as_str(),
            rate_limit: partner.rate_limit.map(RateLimitView::from),
            max_orgs: partner.max_orgs,
            labels: partner.labels,
            created_at: Time(partner.created_at),
        }
    }
}

/// A partner to create.
#[derive(Request)]
#[api(like = PartnerView)]
pub struct NewPartner {
    #[api(example = "Acme Marketplace")]
    name: Name,
    #[api(example = "partner")]
    plan: Option<PartnerPlan>,
    #[api(example = {"limit": 6000, "window_seconds": 60})]
    rate_limit: Option<RateLimit>,
    #[api(example = 500)]
    max_orgs: Option<OrgCount>,
    #[api(example = {"region": "eu"})]
    labels: Option<Labels>,
}

impl From<NewPartner> for PartnerDraft {
    fn from(asked: NewPartner) -> Self {
        Self {
            name: asked.name,
            plan: asked.plan.unwrap_or(Self::DEFAULT_PLAN),
            rate_limit: asked.rate_limit,
            max_orgs: asked.max_orgs.map(|count| count.0),
            labels: asked.labels.unwrap_or_default(),
        }
    }
}

/// Changes to a partner, as a merge patch (RFC 7396): a field that is left out stays as it is, `null` restores
/// the default.
#[derive(Request)]
#[api(like = PartnerView)]
pub struct PartnerChanges {
    name: NotNull<Name>,
    #[api(example = "enterprise")]
    plan: Change<PartnerPlan>,
    rate_limit: Change<RateLimit>,
    #[api(example = null)]
    max_orgs: Change<OrgCount>,
    /// Changes to the labels: a value sets a label, `null` removes it.
    #[api(example = {"region": null})]
    labels: Change<LabelPatch>,
}

impl From<PartnerChanges> for Changes {
    fn from(changes: PartnerChanges) -> Self {
        Self {
            name: changes.name.0,
            plan: changes.plan,
            rate_limit: changes.rate_limit,
            max_orgs: changes.max_orgs.map(|count| count.0),
            labels: changes.labels.map(|labels| labels.0),
        }
    }
}
