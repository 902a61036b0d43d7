ALTER TABLE partner_keys DROP COLUMN revocation_reason;
