DROP INDEX partner_keys_orgs_to_go;

ALTER TABLE partner_keys DROP COLUMN orgs_to_go_since;
ALTER TABLE partner_keys DROP COLUMN on_revoke;
ALTER TABLE partner_keys DROP COLUMN max_live_orgs;

DROP INDEX orgs_maker;
DROP INDEX orgs_status_due;
DROP INDEX orgs_expires;

ALTER TABLE orgs DROP COLUMN expires_at;
