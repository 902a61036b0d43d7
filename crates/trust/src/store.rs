//! What a store of trust rules must offer.

use ids::{Page, PageRequest, PartnerId, TrustRuleId};
use time::OffsetDateTime;

use crate::{TokenDigest, TrustRule};

/// Queries of a store of trust rules.
pub trait TrustRuleQueries {
    /// The store's error.
    type Error;

    /// One rule.
    fn trust_rule(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, Self::Error>;

    /// Rules, newest first: of one partner, or all.
    fn trust_rules(
        &mut self,
        partner: Option<PartnerId>,
        page: PageRequest,
    ) -> Result<Page<TrustRule>, Self::Error>;

    /// How many rules a partner has.
    fn trust_rule_count(&mut self, partner: PartnerId) -> Result<usize, Self::Error>;

    /// A rule, whether it is deleted or not, of which keys are still to be revoked.
    fn trust_rule_with_keys_to_revoke(&mut self) -> Result<Option<TrustRuleId>, Self::Error>;
}

/// Writes of a store of trust rules; all within the caller's transaction.
pub trait TrustRuleStore: TrustRuleQueries {
    /// Adds a rule. The caller has made sure that its partner exists.
    fn trust_rule_insert(&mut self, rule: &TrustRule) -> Result<(), Self::Error>;

    /// One rule, locked against other writers and against exchanges until the transaction ends.
    fn trust_rule_for_update(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, Self::Error>;

    /// One rule, locked against changes until the transaction ends, while others may use it too.
    fn trust_rule_for_use(&mut self, id: TrustRuleId) -> Result<Option<TrustRule>, Self::Error>;

    /// Writes all of a rule but its id, its partner and the time of its making.
    fn trust_rule_update(&mut self, rule: &TrustRule) -> Result<(), Self::Error>;

    /// Deletes a rule: no query finds it any more. `false` when there never was one; deleting it again changes nothing.
    fn trust_rule_delete(&mut self, id: TrustRuleId) -> Result<bool, Self::Error>;

    /// Notes whether keys of a rule, deleted or not, are still to be revoked.
    fn trust_rule_set_keys_to_revoke(
        &mut self,
        id: TrustRuleId,
        pending: bool,
    ) -> Result<(), Self::Error>;

    /// Notes that a token was exchanged, until a time from which it is refused anyway; `false` when it was noted
    /// before. It waits for whoever notes the same one at the same time.
    fn token_use(
        &mut self,
        token: &TokenDigest,
        until: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// Deletes up to `limit` notes of tokens that are refused by `now`; how many.
    fn token_uses_prune(&mut self, now: OffsetDateTime, limit: usize)
    -> Result<usize, Self::Error>;
}
