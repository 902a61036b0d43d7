//! `molctl admin trust-rule …`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use molecule_client::{
    NewRateLimit, NewTrustRule, PartnerId, TrustRuleChanges, TrustRuleFilters, TrustRuleId,
};
use serde_json::{Map, Value};

use super::{
    super::{Much, changed, word},
    rate_limit,
};
use crate::{context::Context, failure::Failure, table::Column};

const RULES: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("PARTNER", "/partner_id"),
    ("ISSUER", "/issuer"),
    ("SCOPES", "/scopes"),
    ("ENABLED", "/enabled"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum TrustRule {
    /// Create a trust rule.
    Create(Box<Create>),
    /// List trust rules, newest first.
    List {
        /// Only rules of this partner.
        #[arg(long)]
        partner: Option<PartnerId>,
        #[command(flatten)]
        much: Much,
    },
    /// Show one trust rule.
    Get {
        /// The id of the rule.
        rule: TrustRuleId,
    },
    /// Change a trust rule. What is not named stays as it is.
    Update(Box<Update>),
    /// Delete a trust rule. The keys that it has made are revoked.
    Delete {
        /// The id of the rule.
        rule: TrustRuleId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// A name that says which pipeline it is for. The keys have the same name.
    name: String,
    /// The partner whose keys are made.
    #[arg(long)]
    partner: PartnerId,
    /// Who signs the tokens, such as https://token.actions.githubusercontent.com.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Whom the tokens are for.
    #[arg(long)]
    audience: String,
    /// A claim that a token must have, as name=value. Several of one name allow any of the values.
    #[arg(long, required = true, value_parser = claim, value_name = "NAME=VALUE")]
    claim: Vec<(String, String)>,
    /// What the keys may do, such as orgs:create. It can be repeated.
    #[arg(long, required = true)]
    scope: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The id of the rule.
    rule: TrustRuleId,
    /// The new name.
    #[arg(long)]
    name: Option<String>,
    /// Who signs the tokens.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Whom the tokens are for.
    #[arg(long)]
    audience: Option<String>,
    /// A claim that a token must have, as name=value. Several of one name allow any of the values.
    #[arg(long, value_parser = claim, value_name = "NAME=VALUE")]
    claim: Vec<(String, String)>,
    /// A claim that a token need not have any more. It can be repeated.
    #[arg(long, value_name = "NAME")]
    remove_claim: Vec<String>,
    /// What the keys may do from now on. It can be repeated.
    #[arg(long)]
    scope: Vec<String>,
    /// Exchange no tokens until the rule is enabled again. The keys that it has made are revoked.
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Exchange tokens again.
    #[arg(long)]
    enable: bool,
    #[command(flatten)]
    fields: Fields,
    /// What to put back to its default. It can be repeated.
    #[arg(long, value_name = "FIELD")]
    clear: Vec<Clear>,
}

#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// A claim by which a token is refused, as name=value. It can be repeated.
    #[arg(long, value_parser = claim, value_name = "NAME=VALUE")]
    refuse: Vec<(String, String)>,
    /// A plan whose orgs the keys may create, change and delete. It can be repeated.
    #[arg(long, value_name = "PLAN")]
    org_plan: Vec<String>,
    /// The most orgs created with one key that may exist at the same time.
    #[arg(long, value_name = "N")]
    max_live_orgs: Option<u64>,
    /// The longest lease, in seconds, of the orgs created with the keys.
    #[arg(long, value_name = "SECONDS")]
    max_ttl_seconds: Option<u32>,
    /// The limit of each key, as limit/seconds.
    #[arg(long, value_parser = rate_limit)]
    rate_limit: Option<NewRateLimit>,
    /// For how long a key lasts, in seconds: 60 to 3600.
    #[arg(long, value_name = "SECONDS")]
    token_ttl_seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clear {
    Refuse,
    OrgPlans,
    MaxLiveOrgs,
    MaxTtlSeconds,
    RateLimit,
    TokenTtlSeconds,
}

/// A claim as `name=value`, split.
fn claim(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text
        .split_once('=')
        .ok_or("must be name=value, such as repository_id=1296269")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Claims as the API takes them: one value, or a list where a name stands several times.
fn claims(pairs: &[(String, String)]) -> Map<String, Value> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in pairs {
        by_name.entry(name).or_default().push(value);
    }
    let members = by_name.into_iter().map(|(name, values)| {
        let value = match &*values {
            [one] => Value::from(*one),
            several => several.iter().copied().collect(),
        };
        (name.to_owned(), value)
    });
    members.collect()
}

/// A list, if it names anything.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

impl TrustRule {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (admin, output) = (client.admin(), context.output);
        match self {
            Self::Create(create) => output.one(&admin.create_trust_rule(&create.build()).await?),
            Self::List { partner, much } => {
                let filters = TrustRuleFilters {
                    partner_id: partner,
                };
                let rules = admin.trust_rules(&filters);
                output.list(RULES, rules, much.limit()).await
            }
            Self::Get { rule } => output.one(&admin.trust_rule(rule).await?),
            Self::Update(update) => {
                let changes = update.build();
                output.one(&admin.change_trust_rule(update.rule, &changes).await?)
            }
            Self::Delete { rule } => {
                admin.delete_trust_rule(rule).await?;
                output.note(&format!("The trust rule {rule} is deleted."));
                Ok(())
            }
        }
    }
}

impl Create {
    fn build(self) -> NewTrustRule {
        let fields = self.fields;
        NewTrustRule {
            name: self.name,
            partner_id: self.partner.to_string(),
            issuer: self.issuer,
            audience: self.audience,
            claims: claims(&self.claim),
            refuse: (!fields.refuse.is_empty()).then(|| claims(&fields.refuse)),
            scopes: self.scope.into_iter().map(word).collect(),
            org_plans: some(fields.org_plan),
            max_live_orgs: fields.max_live_orgs,
            max_ttl_seconds: fields.max_ttl_seconds,
            rate_limit: fields.rate_limit,
            token_ttl_seconds: fields.token_ttl_seconds,
            enabled: None,
        }
    }
}

impl Update {
    fn build(&self) -> TrustRuleChanges {
        let (clear, fields) = (&*self.clear, &self.fields);
        let mut patch = claims(&self.claim);
        let removed = self.remove_claim.iter();
        patch.extend(removed.map(|name| (name.clone(), Value::Null)));
        let refuse = (!fields.refuse.is_empty()).then(|| claims(&fields.refuse));
        TrustRuleChanges {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            claims: (!patch.is_empty()).then_some(patch),
            refuse: changed(clear, Clear::Refuse, refuse),
            scopes: some(self.scope.iter().cloned().map(word).collect()),
            org_plans: changed(clear, Clear::OrgPlans, some(fields.org_plan.clone())),
            max_live_orgs: changed(clear, Clear::MaxLiveOrgs, fields.max_live_orgs),
            max_ttl_seconds: changed(clear, Clear::MaxTtlSeconds, fields.max_ttl_seconds),
            rate_limit: changed(clear, Clear::RateLimit, fields.rate_limit.clone()),
            token_ttl_seconds: changed(clear, Clear::TokenTtlSeconds, fields.token_ttl_seconds),
            enabled: (self.disable || self.enable).then_some(Some(self.enable)),
        }
    }
}
