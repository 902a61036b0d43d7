ALTER TABLE admin_keys DROP COLUMN allowed_cidrs;
ALTER TABLE admin_keys DROP COLUMN expires_at;
ALTER TABLE admin_keys DROP COLUMN role;
