//! Trust rules.

use api_macros::{Query, Request, Response};
use ids::{Change, Name, PartnerId, PlanName, TrustRuleId};
use orgs::Ttl;
use ratelimit::RateLimit;
use scopes::ScopeSet;
use serde::Serialize;
use serde_json::{Map, Value, json};
use trust::{
    Issuer, IssuerPolicy, TokenTtl, TrustRule, TrustRuleChanges as Changes, TrustRuleDraft,
};

mod claims;

use self::claims::{ClaimsMap, ClaimsPatch, RefusalsMap, RefusalsPatch};
use crate::{
    RateLimitView, Time,
    wire::{
        AnySchema, ClientType, Components, FromJson, NotNull, OrgCount, OrgPlans, Read, Whole,
        WireType, parsed, string,
    },
};

/// What issuers of rules are checked against.
pub type TrustRulePolicy = IssuerPolicy;

/// For how long a key lasts, in seconds.
type TtlSeconds = Whole<60, 3600>;

/// A rule by which tokens of pipelines are exchanged for keys.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "TrustRule")]
pub struct TrustRuleView {
    /// The id of the rule. A pipeline names it in `trust_rule`.
    id: TrustRuleId,
    /// A name that says which pipeline it is for. The keys have the same name.
    #[api(example = "acme-deploy")]
    name: Name,
    /// The partner whose keys are made.
    partner_id: PartnerId,
    /// Who signs the tokens, as they say in `iss`. Compared byte by byte.
    #[api(as = Issuer)]
    issuer: String,
    /// Whom the tokens are for, as they say in `aud`. Compared byte by byte.
    #[api(as = Audience)]
    audience: String,
    /// The claims that a token must have, each with the value or one of the values given here. Values are compared as a
    /// whole. For GitHub Actions one of them must be `repository_owner_id` or `repository_id`, for gitlab.com
    /// `namespace_id` or `project_id`.
    #[api(as = ClaimsMap)]
    claims: Map<String, Value>,
    /// The claims by which a token is refused, when one has a value given here. For GitHub Actions the default refuses
    /// the events `pull_request_target` and `workflow_run`, which run with your rights on what strangers send; a rule
    /// that names `event_name` here replaces it.
    #[api(as = RefusalsMap)]
    refuse: Map<String, Value>,
    /// What the keys may do.
    #[api(example = ["orgs:create", "orgs:delete"])]
    scopes: ScopeSet,
    /// The plans whose orgs the keys may create, change and delete; `null` for all plans.
    #[api(as = Option<OrgPlans>)]
    org_plans: Option<Vec<PlanName>>,
    /// The most orgs created with one key that may exist at the same time; `null` for no maximum.
    #[api(as = Option<OrgCount>)]
    max_live_orgs: Option<u64>,
    /// The longest lease, in seconds, of the orgs created with the keys; `null` for no maximum.
    #[api(as = Option<Ttl>, example = 3600)]
    max_ttl_seconds: Option<u32>,
    /// The rate limit of each key; `null` for the default of keys.
    rate_limit: Option<RateLimitView>,
    /// For how long a key lasts, in seconds. It ends with the token that it was exchanged for, if that is earlier.
    #[api(as = TtlSeconds, example = 900)]
    token_ttl_seconds: u32,
    /// Whether tokens are exchanged. Disabling a rule revokes the keys that it has made.
    #[api(example = true)]
    enabled: bool,
    /// The time at which the rule was created.
    created_at: Time,
}

impl From<TrustRule> for TrustRuleView {
    fn from(rule: TrustRule) -> Self {
        Self {
            id: rule.id,
            name: rule.name,
            partner_id: rule.partner_id,
            issuer: rule.issuer.to_string(),
            audience: rule.audience,
            claims: rule.claims.to_json(),
            refuse: rule.refuse.to_json(),
            scopes: rule.scopes,
            org_plans: rule.org_plans,
            max_live_orgs: rule.max_live_orgs,
            max_ttl_seconds: rule.max_ttl_seconds,
            rate_limit: rule.rate_limit.map(RateLimitView::from),
            token_ttl_seconds: rule.token_ttl.seconds(),
            enabled: rule.enabled,
            created_at: Time(rule.created_at),
        }
    }
}

/// A trust rule to create.
#[derive(Request)]
#[api(like = TrustRuleView, context = IssuerPolicy)]
pub struct NewTrustRule {
    #[api(example = "acme-deploy")]
    name: Name,
    partner_id: RulePartner,
    issuer: Issuer,
    audience: Audience,
    claims: ClaimsMap,
    refuse: Option<RefusalsMap>,
    #[api(example = ["orgs:create", "orgs:delete"])]
    scopes: ScopeSet,
    org_plans: Option<OrgPlans>,
    max_live_orgs: Option<OrgCount>,
    #[api(example = 3600)]
    max_ttl_seconds: Option<Ttl>,
    rate_limit: Option<RateLimit>,
    token_ttl_seconds: Option<TtlSeconds>,
    enabled: Option<bool>,
}

impl From<NewTrustRule> for TrustRuleDraft {
    fn from(asked: NewTrustRule) -> Self {
        Self {
            name: asked.name,
            partner_id: asked.partner_id.0,
            issuer: asked.issuer,
            audience: asked.audience.0,
            claims: asked.claims.0,
            refuse: asked.refuse.map(|refuse| refuse.0).unwrap_or_default(),
            scopes: asked.scopes,
            org_plans: asked.org_plans.map(|plans| plans.0),
            max_live_orgs: asked.max_live_orgs.map(|count| count.0),
            max_ttl_seconds: asked.max_ttl_seconds.map(Ttl::seconds),
            rate_limit: asked.rate_limit,
            token_ttl: asked.token_ttl_seconds.map(token_ttl).unwrap_or_default(),
            enabled: asked.enabled.unwrap_or(true),
        }
    }
}

/// Seconds within the bounds of their type.
fn token_ttl(seconds: TtlSeconds) -> TokenTtl {
    let seconds = u32::try_from(seconds.0).ok();
    seconds.and_then(TokenTtl::from_seconds).unwrap_or_default()
}

/// Changes to a trust rule, as a merge patch (RFC 7396): a field that is left out stays as it is, `null` restores the
/// default. The members of `claims` and `refuse` are merged too: `null` takes a claim out.
#[derive(Request)]
#[api(like = TrustRuleView, context = IssuerPolicy)]
pub struct TrustRuleChanges {
    name: NotNull<Name>,
    issuer: NotNull<Issuer>,
    audience: NotNull<Audience>,
    claims: NotNull<ClaimsPatch>,
    refuse: Change<RefusalsPatch>,
    scopes: NotNull<ScopeSet>,
    org_plans: Change<OrgPlans>,
    max_live_orgs: Change<OrgCount>,
    #[api(example = null)]
    max_ttl_seconds: Change<Ttl>,
    rate_limit: Change<RateLimit>,
    #[api(example = 300)]
    token_ttl_seconds: Change<TtlSeconds>,
    #[api(example = false)]
    enabled: Change<bool>,
}

impl From<TrustRuleChanges> for Changes {
    fn from(changes: TrustRuleChanges) -> Self {
        Self {
            name: changes.name.0,
            issuer: changes.issuer.0,
            audience: changes.audience.0.map(|audience| audience.0),
            claims: changes.claims.0.map(|claims| claims.0),
            refuse: changes.refuse.map(|refuse| refuse.0),
            scopes: changes.scopes.0,
            org_plans: changes.org_plans.map(|plans| plans.0),
            max_live_orgs: changes.max_live_orgs.map(|count| count.0),
            max_ttl_seconds: changes.max_ttl_seconds.map(Ttl::seconds),
            rate_limit: changes.rate_limit,
            token_ttl: changes.token_ttl_seconds.map(token_ttl),
            enabled: changes.enabled,
        }
    }
}

/// Which trust rules to list.
#[derive(Query)]
pub struct TrustRuleFilters {
    /// Only rules of this partner.
    partner_id: Option<PartnerId>,
}

impl TrustRuleFilters {
    /// The partner whose rules are asked for.
    #[must_use]
    pub const fn partner_id(&self) -> Option<PartnerId> {
        self.partner_id
    }
}

impl WireType for Issuer {
    fn schema(_: &mut Components) -> AnySchema {
        // `http` is for tests alone, where the operator has said so.
        let url = string().pattern(Some("^https://[!-~]+$"));
        url.max_length(Some(512)).into()
    }

    fn example() -> Value {
        json!("https://token.actions.githubusercontent.com")
    }
}

impl ClientType for Issuer {
    type As = String;
}

impl FromJson<IssuerPolicy> for Issuer {
    fn from_json(value: Value, policy: &IssuerPolicy) -> Read<Self> {
        parsed(|text| Self::new(text, *policy))(value)
    }
}

/// The partner of a rule, which must be named; a client holds it as text.
struct RulePartner(PartnerId);

impl WireType for RulePartner {
    fn schema(components: &mut Components) -> AnySchema {
        PartnerId::schema(components)
    }

    fn example() -> Value {
        PartnerId::example()
    }
}

impl ClientType for RulePartner {
    type As = String;
}

impl<C> FromJson<C> for RulePartner {
    fn from_json(value: Value, context: &C) -> Read<Self> {
        PartnerId::from_json(value, context).map(Self)
    }
}

/// Whom tokens are for.
struct Audience(String);

impl WireType for Audience {
    fn schema(components: &mut Components) -> AnySchema {
        Name::schema(components)
    }

    fn example() -> Value {
        json!("https://cp.moleculesai.app")
    }
}

impl ClientType for Audience {
    type As = String;
}

impl<C> FromJson<C> for Audience {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        // The bounds of a name are those of an audience.
        parsed(|text| Name::new(text).map(|name| Self(name.to_string())))(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request as _, wire::tests};

    #[track_caller]
    fn check(change: Value, pointers: &[&str]) {
        let mut body = json!({
            "name": "ci", "partner_id": "ptn_01J9ZK5H8D3M6Q7R1S2T4V5W6X",
            "issuer": "https://ci.example", "audience": "cp", "claims": {"sub": "x"}, "scopes": [],
        });
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body = body.to_string();
        let read = NewTrustRule::from_body(body.as_bytes(), &IssuerPolicy::Https);
        assert_eq!(tests::pointers(read), pointers, "{body}");
    }

    #[test]
    fn errors_point_to_the_field() {
        check(json!({}), &[]);
        check(
            json!({"refuse": {"event_name": []}, "token_ttl_seconds": 3600}),
            &[],
        );
        check(json!({"issuer": "http://ci.example"}), &["/issuer"]);
        check(json!({"audience": ""}), &["/audience"]);
        check(json!({"claims": {}}), &["/claims"]);
        check(json!({"claims": []}), &["/claims"]);
        check(json!({"claims": {"a/b": ["x", {}]}}), &["/claims/a~1b/1"]);
        check(json!({"claims": {"aud": "x"}}), &["/claims/aud"]);
        check(json!({"refuse": {"x": 1.5}}), &["/refuse/x"]);
        check(json!({"token_ttl_seconds": 59}), &["/token_ttl_seconds"]);
        check(json!({"token_ttl_seconds": 3601}), &["/token_ttl_seconds"]);
        check(
            json!({"id": "x", "created_at": null}),
            &["/created_at", "/id"],
        );
        check(
            json!({"enabled": "yes", "max_live_orgs": -1}),
            &["/max_live_orgs", "/enabled"],
        );
    }
}
