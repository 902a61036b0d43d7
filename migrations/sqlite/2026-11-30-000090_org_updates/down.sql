ALTER TABLE orgs DROP COLUMN pending_change;
ALTER TABLE orgs DROP COLUMN options;
