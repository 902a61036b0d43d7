//! Trust rules in memory, and the tokens that were exchanged.

use ids::{Page, PageRequest, PartnerId, TrustRuleId};
use stores::StoreError;
use time::OffsetDateTime;
use trust::{TokenDigest, TrustRule, TrustRuleQueries, TrustRuleStore};

use super::session::{MemoryTx, Session, TrustRuleRow};

impl<Mode> TrustRuleQueries for Session<Mode> {
    type Error = StoreError;

    fn trust_rule(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, StoreError> {
        let row = self.state.trust_rules.get(&id).filter(|row| !row.deleted);
        Ok(row.map(|row| row.rule.clone()))
    }

    fn trust_rules(
        &mut self,
        partner: Option<PartnerId>,
        page: PageRequest,
    ) -> Result<Page<TrustRule>, StoreError> {
        let wanted =
            |row: &TrustRuleRow| !row.deleted && partner.is_none_or(|id| row.rule.partner_id == id);
        let page = self.state.trust_rules.page(page, wanted);
        Ok(page.map(|row| row.rule))
    }

    fn trust_rule_count(&mut self, partner: PartnerId) -> Result<usize, StoreError> {
        let rows = self.state.trust_rules.rows();
        Ok(rows
            .filter(|row| !row.deleted && row.rule.partner_id == partner)
            .count())
    }

    fn trust_rule_with_keys_to_revoke(&mut self) -> Result<Option<TrustRuleId>, StoreError> {
        let mut rows = self.state.trust_rules.rows();
        let row = rows.find(|row| row.keys_to_revoke);
        Ok(row.map(|row| row.rule.id))
    }
}

impl TrustRuleStore for MemoryTx {
    fn trust_rule_insert(&mut self, rule: &TrustRule) -> Result<(), StoreError> {
        let row = TrustRuleRow {
            rule: rule.clone(),
            deleted: false,
            keys_to_revoke: false,
        };
        self.state.trust_rules.insert(rule.id, row)
    }

    fn trust_rule_for_update(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, StoreError> {
        self.trust_rule(id)
    }

    fn trust_rule_for_use(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, StoreError> {
        self.trust_rule(id)
    }

    fn trust_rule_update(&mut self, rule: &TrustRule) -> Result<(), StoreError> {
        let row = self.state.trust_rules.get_mut(&rule.id);
        if let Some(row) = row.filter(|row| !row.deleted) {
            row.rule = TrustRule {
                partner_id: row.rule.partner_id,
                created_at: row.rule.created_at,
                ..rule.clone()
            };
        }
        Ok(())
    }

    fn trust_rule_delete(&mut self, id: TrustRuleId) -> Result<bool, StoreError> {
        let row = self.state.trust_rules.get_mut(&id);
        Ok(row.map(|row| row.deleted = true).is_some())
    }

    fn trust_rule_set_keys_to_revoke(
        &mut self,
        id: TrustRuleId,
        pending: bool,
    ) -> Result<(), StoreError> {
        if let Some(row) = self.state.trust_rules.get_mut(&id) {
            row.keys_to_revoke = pending;
        }
        Ok(())
    }

    fn token_use(
        &mut self,
        token: &TokenDigest,
        until: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let uses = &mut self.state.token_uses;
        let is_new = uses.get(token).is_none();
        if is_new {
            uses.put(*token, until);
        }
        Ok(is_new)
    }

    fn token_uses_prune(&mut self, now: OffsetDateTime, limit: usize) -> Result<usize, StoreError> {
        let uses = &mut self.state.token_uses;
        let past = uses.rows().filter(|until| **until <= now).count();
        if past <= limit {
            uses.retain(|until| *until > now);
            return Ok(past);
        }
        let mut ends: Vec<OffsetDateTime> = uses.rows().copied().collect();
        ends.sort_unstable();
        let last = ends.get(limit.saturating_sub(1)).copied();
        uses.retain(|until| last.is_none_or(|last| *until > last));
        Ok(limit)
    }
}
