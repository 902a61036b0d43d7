ALTER TABLE admin_keys ADD COLUMN role TEXT NOT NULL DEFAULT 'operator';
ALTER TABLE admin_keys ADD COLUMN expires_at BIGINT;
ALTER TABLE admin_keys ADD COLUMN allowed_cidrs TEXT;
