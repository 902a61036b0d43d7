DROP TABLE org_secrets;
ALTER TABLE orgs DROP COLUMN secret_names;
ALTER TABLE orgs DROP COLUMN outputs;
