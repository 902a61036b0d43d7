ALTER TABLE partner_keys DROP COLUMN pepper_id;
ALTER TABLE admin_keys DROP COLUMN pepper_id;
DELETE FROM meta WHERE name = 'peppers';
