ALTER TABLE partner_keys ADD COLUMN max_ttl_seconds BIGINT;
