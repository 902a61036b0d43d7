//! Trust rules.

use ids::{Change, Name, PartnerId, PlanName, TrustRuleId};
use ratelimit::RateLimit;
use scopes::ScopeSet;
use time::{Duration, OffsetDateTime};

use crate::{ClaimPatch, Claims, InvalidClaims, Issuer, Refusals};

/// The most rules of one partner.
pub const MAX_RULES: usize = 100;
/// The shortest time for which a key is given, in seconds.
pub const MIN_TOKEN_TTL: u32 = 60;
/// The longest.
pub const MAX_TOKEN_TTL: u32 = 3600;
/// Events of GitHub that run a repository's own workflow, with its rights, on what strangers send.
const GITHUB_REFUSED_EVENTS: &[&str] = &["pull_request_target", "workflow_run"];

/// How long a key lasts that a token was exchanged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTtl(u32);

impl TokenTtl {
    /// So many seconds; `None` when they are not within the bounds.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        if seconds >= MIN_TOKEN_TTL && seconds <= MAX_TOKEN_TTL {
            Some(Self(seconds))
        } else {
            None
        }
    }

    /// The seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::seconds(self.0.into())
    }
}

impl Default for TokenTtl {
    fn default() -> Self {
        Self(900)
    }
}

/// A rule by which tokens of pipelines are trusted, and what the keys are like that they are exchanged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRule {
    /// Its id.
    pub id: TrustRuleId,
    /// Its name, which its keys have too.
    pub name: Name,
    /// Whose keys are made.
    pub partner_id: PartnerId,
    /// Who signs the tokens.
    pub issuer: Issuer,
    /// Whom the tokens are for.
    pub audience: String,
    /// The claims that a token must have.
    pub claims: Claims,
    /// The claims by which it is refused.
    pub refuse: Refusals,
    /// What the keys may do.
    pub scopes: ScopeSet,
    /// The plans of the orgs that the keys may create.
    pub org_plans: Option<Vec<PlanName>>,
    /// How many orgs of each key's making there may be at once.
    pub max_live_orgs: Option<u64>,
    /// How many seconds the lease of each org of a key's making lasts at the most.
    pub max_ttl_seconds: Option<u32>,
    /// How often each key may be used.
    pub rate_limit: Option<RateLimit>,
    /// How long a key lasts.
    pub token_ttl: TokenTtl,
    /// Whether tokens are exchanged.
    pub enabled: bool,
    /// When it was created.
    pub created_at: OffsetDateTime,
}

/// Why a rule is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// A claim that can't be taken over is not pinned.
    #[error("must pin {} for this issuer: names can be taken over by others, these ids can't", .0.join(" or "))]
    NothingPinned(&'static [&'static str]),
    /// The claims are wrong.
    #[error(transparent)]
    Claims(InvalidClaims),
    /// The refusals are wrong.
    #[error(transparent)]
    Refuse(InvalidClaims),
}

/// A rule that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRuleDraft {
    /// Its name.
    pub name: Name,
    /// Whose keys are made.
    pub partner_id: PartnerId,
    /// Who signs the tokens.
    pub issuer: Issuer,
    /// Whom the tokens are for.
    pub audience: String,
    /// The claims that a token must have.
    pub claims: Claims,
    /// The claims by which it is refused.
    pub refuse: Refusals,
    /// What the keys may do.
    pub scopes: ScopeSet,
    /// The plans of the orgs that the keys may create.
    pub org_plans: Option<Vec<PlanName>>,
    /// How many orgs of each key's making there may be at once.
    pub max_live_orgs: Option<u64>,
    /// How many seconds the lease of each org of a key's making lasts at the most.
    pub max_ttl_seconds: Option<u32>,
    /// How often each key may be used.
    pub rate_limit: Option<RateLimit>,
    /// How long a key lasts.
    pub token_ttl: TokenTtl,
    /// Whether tokens are exchanged.
    pub enabled: bool,
}

impl TrustRuleDraft {
    /// The rule, made now.
    ///
    /// # Errors
    /// When it would trust too much.
    pub fn into_rule(self, id: TrustRuleId, now: OffsetDateTime) -> Result<TrustRule, InvalidRule> {
        let rule = TrustRule {
            id,
            name: self.name,
            partner_id: self.partner_id,
            issuer: self.issuer,
            audience: self.audience,
            claims: self.claims,
            refuse: self.refuse,
            scopes: self.scopes,
            org_plans: self.org_plans,
            max_live_orgs: self.max_live_orgs,
            max_ttl_seconds: self.max_ttl_seconds,
            rate_limit: self.rate_limit,
            token_ttl: self.token_ttl,
            enabled: self.enabled,
            created_at: now,
        };
        rule.completed()
    }
}

/// A change to a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustRuleChanges {
    /// Its name.
    pub name: Option<Name>,
    /// Who signs the tokens.
    pub issuer: Option<Issuer>,
    /// Whom the tokens are for.
    pub audience: Option<String>,
    /// The claims that a token must have.
    pub claims: Option<ClaimPatch>,
    /// The claims by which it is refused.
    pub refuse: Change<ClaimPatch>,
    /// What the keys may do.
    pub scopes: Option<ScopeSet>,
    /// The plans of the orgs that the keys may create.
    pub org_plans: Change<Vec<PlanName>>,
    /// How many orgs of each key's making there may be at once.
    pub max_live_orgs: Change<u64>,
    /// How many seconds the lease of each org of a key's making lasts at the most.
    pub max_ttl_seconds: Change<u32>,
    /// How often each key may be used.
    pub rate_limit: Change<RateLimit>,
    /// How long a key lasts.
    pub token_ttl: Change<TokenTtl>,
    /// Whether tokens are exchanged.
    pub enabled: Change<bool>,
}

impl TrustRule {
    /// The rule after a change.
    ///
    /// # Errors
    /// When it would trust too much, or have too many claims.
    pub fn changed(self, changes: TrustRuleChanges) -> Result<Self, InvalidRule> {
        let mut rule = self;
        if let Some(name) = changes.name {
            rule.name = name;
        }
        if let Some(issuer) = changes.issuer {
            rule.issuer = issuer;
        }
        if let Some(audience) = changes.audience {
            rule.audience = audience;
        }
        if let Some(patch) = changes.claims {
            rule.claims = rule.claims.patched(patch).map_err(InvalidRule::Claims)?;
        }
        match changes.refuse {
            Change::Keep => {}
            Change::Clear => rule.refuse = Refusals::default(),
            Change::Set(patch) => {
                rule.refuse = rule.refuse.patched(patch).map_err(InvalidRule::Refuse)?;
            }
        }
        if let Some(scopes) = changes.scopes {
            rule.scopes = scopes;
        }
        changes.org_plans.apply(&mut rule.org_plans);
        changes.max_live_orgs.apply(&mut rule.max_live_orgs);
        changes.max_ttl_seconds.apply(&mut rule.max_ttl_seconds);
        changes.rate_limit.apply(&mut rule.rate_limit);
        changes.token_ttl.apply_or_default(&mut rule.token_ttl);
        match changes.enabled {
            Change::Keep => {}
            Change::Clear => rule.enabled = true,
            Change::Set(enabled) => rule.enabled = enabled,
        }
        rule.completed()
    }

    /// The rule with the refusals that its issuer has by default. One that names the claim itself, even with an empty
    /// list, is taken as it is.
    fn completed(mut self) -> Result<Self, InvalidRule> {
        let required = self.issuer.required_claims();
        if !required.is_empty() && !self.claims.name_any(required) {
            return Err(InvalidRule::NothingPinned(required));
        }
        if self.issuer.is_github() {
            self.refuse
                .default_to("event_name", GITHUB_REFUSED_EVENTS, &self.claims);
        }
        Ok(self)
    }
}

#[cfg(test)]
pub(crate) mod tests;
