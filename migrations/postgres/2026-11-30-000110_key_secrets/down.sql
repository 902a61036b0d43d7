ALTER TABLE audit_events DROP COLUMN key_prefix;
ALTER TABLE replies DROP COLUMN issued_at;
DROP TABLE key_rotations;
ALTER TABLE partner_keys DROP COLUMN rotated;
DROP INDEX partner_keys_digest;
ALTER TABLE partner_keys ADD CONSTRAINT partner_keys_digest_key UNIQUE (digest);
