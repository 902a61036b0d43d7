CREATE INDEX trust_rules_partner ON trust_rules (partner_id, id);
DROP INDEX trust_rules_live_partner;
DROP INDEX trust_rules_live;
DROP INDEX partner_keys_lasting_partner;
DROP INDEX partner_keys_lasting;

UPDATE partner_keys SET prune_after = NULL WHERE prune_after = 9223372036854775807;
