ALTER TABLE audit_events DROP COLUMN key_prefix;
ALTER TABLE replies DROP COLUMN issued_at;
DROP TABLE key_rotations;
ALTER TABLE partner_keys DROP COLUMN rotated;
