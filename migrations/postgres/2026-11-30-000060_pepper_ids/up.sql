-- The pepper that each digest was made with; nobody knows it of those that are there, until they are used.
ALTER TABLE partner_keys ADD COLUMN pepper_id TEXT;
ALTER TABLE admin_keys ADD COLUMN pepper_id TEXT;
