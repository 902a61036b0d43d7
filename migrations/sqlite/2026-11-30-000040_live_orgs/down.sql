CREATE INDEX org_labels_value ON org_labels (partner_id, label_key, label_value);

DROP INDEX org_labels_live_value;

ALTER TABLE org_labels DROP COLUMN live;

CREATE INDEX orgs_slug ON orgs (slug);
CREATE INDEX orgs_external_id ON orgs (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX orgs_expires ON orgs (status, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX orgs_maker ON orgs (created_by_key_id, status);
CREATE INDEX orgs_partner_id_status ON orgs (partner_id, id, status);

DROP INDEX orgs_deleted_external_id;
DROP INDEX orgs_deleted_slug;
DROP INDEX orgs_deleted_partner;
DROP INDEX orgs_live_expires;
DROP INDEX orgs_live_external_id;
DROP INDEX orgs_live_maker;
DROP INDEX orgs_live_partner;
DROP INDEX orgs_live;
