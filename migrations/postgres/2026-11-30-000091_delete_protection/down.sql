ALTER TABLE orgs DROP COLUMN delete_protection;
