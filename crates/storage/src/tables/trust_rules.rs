//! Trust rules, and the tokens that were exchanged.

use diesel::{
    QueryResult,
    dsl::{self, count_star},
    prelude::*,
};
use ids::{Page, PageRequest, PartnerId, TrustRuleId, TypedId as _};
use scopes::ScopeSet;
use serde_json::{Map, Value};
use stores::StoreError;
use time::OffsetDateTime;
use trust::{
    Claims, InvalidClaims, Issuer, Refusals, TokenDigest, TokenTtl, TrustRule, TrustRuleQueries,
    TrustRuleStore,
};

use super::{
    locks::{load_unlocked, lock},
    values,
};
use crate::{
    connection::{
        AnyBackend, AnyConnection, on_both,
        prepared::{self, Prepared},
    },
    session::{Session, Writing},
};

diesel::table! {
    trust_rules (id) {
        id -> Text,
        partner_id -> Text,
        name -> Text,
        issuer -> Text,
        audience -> Text,
        claims -> Text,
        refuse -> Text,
        scopes -> Text,
        org_plans -> Nullable<Text>,
        max_live_orgs -> Nullable<BigInt>,
        max_ttl_seconds -> Nullable<BigInt>,
        rate_limit -> Nullable<BigInt>,
        rate_window -> Nullable<BigInt>,
        token_ttl_seconds -> BigInt,
        enabled -> Bool,
        created_at -> BigInt,
        deleted -> Bool,
        keys_to_revoke -> Bool,
    }
}

diesel::table! {
    token_uses (digest) {
        digest -> Binary,
        used_until -> BigInt,
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = trust_rules)]
struct RuleRow {
    id: String,
    partner_id: String,
    #[diesel(embed)]
    settings: SettingsRow,
    created_at: i64,
}

/// What an admin may change.
#[derive(AsChangeset, Queryable, Selectable, Insertable)]
#[diesel(table_name = trust_rules)]
#[diesel(treat_none_as_null = true)]
struct SettingsRow {
    name: String,
    issuer: String,
    audience: String,
    claims: String,
    refuse: String,
    scopes: String,
    org_plans: Option<String>,
    max_live_orgs: Option<i64>,
    max_ttl_seconds: Option<i64>,
    rate_limit: Option<i64>,
    rate_window: Option<i64>,
    token_ttl_seconds: i64,
    enabled: bool,
}

impl From<&TrustRule> for RuleRow {
    fn from(rule: &TrustRule) -> Self {
        let (rate_limit, rate_window) = values::limit_columns(rule.rate_limit);
        Self {
            id: rule.id.to_string(),
            partner_id: rule.partner_id.to_string(),
            settings: SettingsRow {
                name: rule.name.to_string(),
                issuer: rule.issuer.to_string(),
                audience: rule.audience.clone(),
                claims: Value::Object(rule.claims.to_json()).to_string(),
                refuse: Value::Object(rule.refuse.to_json()).to_string(),
                scopes: rule.scopes.to_string(),
                org_plans: rule.org_plans.as_deref().map(values::plans_text),
                max_live_orgs: rule
                    .max_live_orgs
                    .map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
                max_ttl_seconds: rule.max_ttl_seconds.map(i64::from),
                rate_limit,
                rate_window,
                token_ttl_seconds: rule.token_ttl.seconds().into(),
                enabled: rule.enabled,
            },
            created_at: values::micros(rule.created_at),
        }
    }
}

/// Claims from an object as JSON.
fn claims<T>(
    text: &str,
    read: impl FnOnce(&Map<String, Value>) -> Result<T, InvalidClaims>,
) -> Result<T, StoreError> {
    let corrupt = values::corrupt("the claims of a trust rule");
    let members: Map<String, Value> = serde_json::from_str(text).map_err(|_| corrupt.clone())?;
    read(&members).map_err(|_| corrupt)
}

impl TryFrom<RuleRow> for TrustRule {
    type Error = StoreError;

    fn try_from(row: RuleRow) -> Result<Self, StoreError> {
        let settings = row.settings;
        let ttl: u32 = values::number(settings.token_ttl_seconds, "the time of a rule's keys")?;
        Ok(Self {
            id: values::id(&row.id, "the id of a trust rule")?,
            partner_id: values::id(&row.partner_id, "the partner of a trust rule")?,
            name: values::name(settings.name, "the name of a trust rule")?,
            issuer: Issuer::stored(settings.issuer),
            audience: settings.audience,
            claims: claims(&settings.claims, Claims::read)?,
            refuse: claims(&settings.refuse, Refusals::read)?,
            scopes: ScopeSet::parse_list(&settings.scopes)
                .map_err(|_| values::corrupt("the scopes of a trust rule"))?,
            org_plans: settings
                .org_plans
                .map(|text| values::plans(&text, "the plans of a trust rule"))
                .transpose()?,
            max_live_orgs: settings
                .max_live_orgs
                .map(|count| values::number(count, "the orgs of a rule's keys"))
                .transpose()?,
            max_ttl_seconds: settings
                .max_ttl_seconds
                .map(|seconds| values::number(seconds, "the leases of a rule's orgs"))
                .transpose()?,
            rate_limit: values::limit(
                (settings.rate_limit, settings.rate_window),
                "the limit of a rule's keys",
            )?,
            token_ttl: TokenTtl::from_seconds(ttl)
                .ok_or(values::corrupt("the time of a rule's keys"))?,
            enabled: settings.enabled,
            created_at: values::time(row.created_at, "the time of a trust rule")?,
        })
    }
}

/// The condition of the indexes that have no deleted rules, in which no value may be bound.
fn is_live() -> dsl::not<trust_rules::deleted> {
    dsl::not(trust_rules::deleted)
}

impl<M> TrustRuleQueries for Session<M> {
    type Error = StoreError;

    fn trust_rule(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, StoreError> {
        let row = self.run(|connection| {
            let found = trust_rules::table
                .find(id.to_string())
                .filter(trust_rules::deleted.eq(false))
                .select(prepared::columns::<RuleRow>());
            prepared::first_by_type::<_, RuleRow>(connection, found)
        })?;
        row.map(TrustRule::try_from).transpose()
    }

    fn trust_rules(
        &mut self,
        partner: Option<PartnerId>,
        page: PageRequest,
    ) -> Result<Page<TrustRule>, StoreError> {
        let mut query = trust_rules::table
            .filter(is_live())
            .order(trust_rules::id.desc())
            .limit(values::rows_for(page))
            .select(RuleRow::as_select())
            .into_boxed::<AnyBackend>();
        if let Some(partner) = partner {
            query = query.filter(trust_rules::partner_id.eq(partner.to_string()));
        }
        if let Some(after) = values::after::<TrustRuleId>(page) {
            query = query.filter(trust_rules::id.lt(after));
        }
        let rows: Vec<RuleRow> = self.run(|connection| query.load(connection))?;
        let items: Vec<TrustRule> = rows
            .into_iter()
            .map(TrustRule::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(items, page.limit, None, |rule| rule.id.ulid()))
    }

    fn trust_rule_count(&mut self, partner: PartnerId) -> Result<usize, StoreError> {
        let count: i64 = self.run(|connection| {
            trust_rules::table
                .filter(trust_rules::partner_id.eq(partner.to_string()))
                .filter(is_live())
                .select(count_star())
                .get_result(connection)
        })?;
        values::number(count, "the number of trust rules")
    }

    fn trust_rule_with_keys_to_revoke(&mut self) -> Result<Option<TrustRuleId>, StoreError> {
        let id: Option<String> = self.run(|connection| {
            trust_rules::table
                .filter(trust_rules::keys_to_revoke)
                .order(trust_rules::id)
                .select(trust_rules::id)
                .first(connection)
                .optional()
        })?;
        values::optional_id(id.as_deref(), "the id of a trust rule")
    }
}

impl TrustRuleStore for Session<Writing> {
    fn trust_rule_insert(&mut self, rule: &TrustRule) -> Result<(), StoreError> {
        let row = RuleRow::from(rule);
        let new = (
            trust_rules::deleted.eq(false),
            trust_rules::keys_to_revoke.eq(false),
        );
        self.run(|connection| {
            diesel::insert_into(trust_rules::table)
                .values((&row, new))
                .execute(connection)
        })?;
        Ok(())
    }

    fn trust_rule_for_update(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, StoreError> {
        let row = trust_rules::table
            .find(id.to_string())
            .select(trust_rules::id);
        self.run(|connection| lock!(connection, row.for_no_key_update()))?;
        self.trust_rule(id)
    }

    fn trust_rule_for_use(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, StoreError> {
        // Unlike `FOR KEY SHARE`, this keeps changes out as well: no key is made by a rule as it was.
        let row = trust_rules::table
            .find(id.to_string())
            .select(trust_rules::id);
        self.run(|connection| lock!(connection, row.for_share()))?;
        self.trust_rule(id)
    }

    fn trust_rule_update(&mut self, rule: &TrustRule) -> Result<(), StoreError> {
        let row = RuleRow::from(rule);
        let place = trust_rules::table
            .find(&row.id)
            .filter(trust_rules::deleted.eq(false));
        self.run(|connection| diesel::update(place).set(&row.settings).execute(connection))?;
        Ok(())
    }

    fn trust_rule_delete(&mut self, id: TrustRuleId) -> Result<bool, StoreError> {
        let place = trust_rules::table.find(id.to_string());
        let deleted = diesel::update(place).set(trust_rules::deleted.eq(true));
        let rows = self.run(|connection| deleted.execute(connection))?;
        Ok(rows > 0)
    }

    fn trust_rule_set_keys_to_revoke(
        &mut self,
        id: TrustRuleId,
        pending: bool,
    ) -> Result<(), StoreError> {
        let place = trust_rules::table.find(id.to_string());
        self.run(|connection| {
            diesel::update(place)
                .set(trust_rules::keys_to_revoke.eq(pending))
                .execute(connection)
        })?;
        Ok(())
    }

    fn token_use(
        &mut self,
        token: &TokenDigest,
        until: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let until = values::micros(until);
        self.run(|connection| insert_use(connection, &token.0, until))
    }

    fn token_uses_prune(&mut self, now: OffsetDateTime, limit: usize) -> Result<usize, StoreError> {
        let past = token_uses::table
            .filter(token_uses::used_until.le(values::micros(now)))
            .order(token_uses::used_until)
            .limit(values::row_count(limit))
            .select(token_uses::digest);
        let past: Vec<Vec<u8>> =
            self.run(|connection| load_unlocked!(connection, past, for_update))?;
        let pruned = past.len();
        for digest in past {
            let gone = diesel::delete(token_uses::table.find(digest));
            self.run(|connection| prepared::execute(connection, gone))?;
        }
        Ok(pruned)
    }
}

/// Notes the use of a token unless it is noted; whether it was added.
fn insert_use(connection: &mut AnyConnection, digest: &[u8], until: i64) -> QueryResult<bool> {
    let row = (
        token_uses::digest.eq(digest),
        token_uses::used_until.eq(until),
    );
    on_both!(connection, |inner| Prepared(
        diesel::insert_into(token_uses::table)
            .values(row)
            .on_conflict(token_uses::digest)
            .do_nothing()
    )
    .execute(inner))
    .map(|rows| rows > 0)
}
