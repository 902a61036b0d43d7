-- Lists find the keys that stay without those of trust rules, of which there are many and each is listed for a day.
-- A key of a rule that has made an org is never deleted; its time to be pruned is the end of time, so that it is
-- still told from a key that stays.
UPDATE partner_keys SET prune_after = 9223372036854775807
WHERE prune_after IS NULL AND substr(created_by, 1, 4) = 'tru_';

CREATE INDEX partner_keys_lasting ON partner_keys (id) WHERE prune_after IS NULL;
CREATE INDEX partner_keys_lasting_partner ON partner_keys (partner_id, id) WHERE prune_after IS NULL;

-- A deleted rule stays, and costs those that are there nothing.
CREATE INDEX trust_rules_live ON trust_rules (id) WHERE NOT deleted;
CREATE INDEX trust_rules_live_partner ON trust_rules (partner_id, id) WHERE NOT deleted;
DROP INDEX trust_rules_partner;
