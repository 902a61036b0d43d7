//! Partners on the wire, and what they share with keys.

use ids::{Labels, Name, PartnerId};
use keys::{Change, LabelChanges, Partner, PartnerChanges, PartnerDraft, PartnerPlan};
use ratelimit::RateLimit;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    BodyError, FieldError, Fields, Time,
    fields::{object, pairs, parsed, text, whole},
    openapi::forms::of,
};

/// A limit on the wire.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = RateLimit)]
pub struct RateLimitView {
    /// The burst.
    #[schema(schema_with = of::limit)]
    pub limit: u32,
    /// The time in which it refills, in seconds.
    #[schema(schema_with = of::window_seconds)]
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

/// A partner on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Partner)]
pub struct PartnerView {
    /// Its id.
    #[schema(schema_with = of::partner_id)]
    pub id: PartnerId,
    /// Its name.
    #[schema(schema_with = of::name)]
    pub name: Name,
    /// What it has bought.
    #[schema(schema_with = of::partner_plan)]
    pub plan: &'static str,
    /// A budget shared by all of its keys.
    pub rate_limit: Option<RateLimitView>,
    /// How many orgs it may have.
    #[schema(schema_with = of::maybe_count)]
    pub max_orgs: Option<u64>,
    /// Labels.
    #[schema(schema_with = of::labels)]
    pub labels: Labels,
    /// When it was made.
    #[schema(schema_with = of::time)]
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

/// Reads the request for a partner.
///
/// # Errors
/// When it is not JSON, or values are missing or wrong.
pub fn partner_draft(body: &[u8]) -> Result<PartnerDraft, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.required("name", parsed(Name::new));
    let plan = fields
        .optional("plan", plan)
        .unwrap_or(PartnerDraft::DEFAULT_PLAN);
    let rate_limit = fields.optional("rate_limit", rate_limit);
    let max_orgs = fields.optional("max_orgs", max_orgs());
    let labels = fields.optional("labels", labels).unwrap_or_default();
    fields
        .build(|| {
            Some(PartnerDraft {
                name: name?,
                plan,
                rate_limit,
                max_orgs,
                labels,
            })
        })
        .map_err(BodyError::Invalid)
}

/// Reads a merge patch of a partner.
///
/// # Errors
/// When it is not JSON, or values are wrong.
pub fn partner_changes(body: &[u8]) -> Result<PartnerChanges, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let changes = PartnerChanges {
        name: fields.replaced("name", parsed(Name::new)),
        plan: fields.change("plan", plan),
        rate_limit: fields.change("rate_limit", rate_limit),
        max_orgs: fields.change("max_orgs", max_orgs()),
        labels: label_changes(&mut fields),
    };
    fields.build(|| Some(changes)).map_err(BodyError::Invalid)
}

fn plan(value: Value) -> Result<PartnerPlan, Vec<FieldError>> {
    parsed(|text| text.parse::<PartnerPlan>())(value)
}

/// Reads how many orgs a partner may have; as many as a column of 63 bits can hold.
pub(crate) fn max_orgs() -> impl FnOnce(Value) -> Result<u64, Vec<FieldError>> {
    whole(0, 1_000_000_000)
}

/// Reads a limit.
pub(crate) fn rate_limit(value: Value) -> Result<RateLimit, Vec<FieldError>> {
    object(|mut fields| {
        let narrow = |number: u64| u32::try_from(number).ok();
        let limit = fields
            .required("limit", whole(1, 100_000_000))
            .and_then(narrow);
        let window = fields
            .required("window_seconds", whole(1, 86_400))
            .and_then(narrow);
        fields.build(|| RateLimit::new(limit?, window?).ok())
    })(value)
}

/// Reads labels.
pub(crate) fn labels(value: Value) -> Result<Labels, Vec<FieldError>> {
    Labels::new(pairs(text)(value)?).map_err(|error| label_error(&error))
}

fn label_error(error: &ids::InvalidLabels) -> Vec<FieldError> {
    let pointer = match error {
        ids::InvalidLabels::TooMany => String::new(),
        ids::InvalidLabels::Key(key) | ids::InvalidLabels::Value(key) => {
            let key: String = key.chars().take(100).collect();
            format!("/{}", key.replace('~', "~0").replace('/', "~1"))
        }
    };
    vec![FieldError::new(pointer, error.to_string())]
}

/// Reads a merge patch of labels; each that is set is checked here, and the keys of those that go.
pub(crate) fn label_changes(fields: &mut Fields) -> Change<LabelChanges> {
    fields.change("labels", |value| {
        let nullable = |value: Value| {
            if value.is_null() {
                Ok(None)
            } else {
                text(value).map(Some)
            }
        };
        let changes = pairs(nullable)(value)?;
        let set = changes
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        Labels::new(set).map_err(|error| label_error(&error))?;
        changes
            .iter()
            .try_for_each(|(key, _)| Labels::check_key(key))
            .map_err(|error| label_error(&error))?;
        Ok(changes)
    })
}
