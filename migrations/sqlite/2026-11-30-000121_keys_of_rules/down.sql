DROP INDEX orgs_live_maker;
CREATE INDEX orgs_live_maker ON orgs (created_by_key_id, partner_id, id) WHERE status <> 'deleted';
DROP INDEX orgs_creator;
DROP INDEX partner_keys_of_rule;
DROP INDEX partner_keys_prune_after;
ALTER TABLE partner_keys DROP COLUMN prune_after;
