ALTER TABLE partner_keys DROP COLUMN max_ttl_seconds;
