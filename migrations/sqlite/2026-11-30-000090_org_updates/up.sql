-- A JSON object that the provisioner is given.
ALTER TABLE orgs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
-- What the provisioner changes while the status is 'updating'.
ALTER TABLE orgs ADD COLUMN pending_change TEXT;
