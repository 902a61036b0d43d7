ALTER TABLE partner_keys ADD COLUMN revocation_reason TEXT;
