-- The keys that are bound to an org refer to it, and the orgs to the keys that made them.
UPDATE partner_keys SET org_id = NULL;

DROP TABLE subscriptions;
DROP TABLE workspaces;
DROP TABLE org_steps;
DROP TABLE slugs;
DROP TABLE org_labels;
DROP TABLE orgs;
