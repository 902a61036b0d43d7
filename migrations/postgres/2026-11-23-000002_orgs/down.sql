ALTER TABLE partner_keys DROP CONSTRAINT partner_keys_org_id_fkey;

DROP TABLE subscriptions;
DROP TABLE workspaces;
DROP TABLE org_steps;
DROP TABLE slugs;
DROP TABLE org_labels;
DROP TABLE orgs;
