DROP INDEX orgs_creator;
DROP INDEX partner_keys_of_rule;
DROP INDEX partner_keys_prune_after;
ALTER TABLE partner_keys DROP COLUMN prune_after;
