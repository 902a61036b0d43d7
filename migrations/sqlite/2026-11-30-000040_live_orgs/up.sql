-- Deleted orgs stay for good. The indexes that live ones are found by leave them out, so that they cost
-- nothing: not to count a partner's orgs or those of a key, and not to list them.
CREATE INDEX orgs_live ON orgs (id) WHERE status <> 'deleted';
CREATE INDEX orgs_live_partner ON orgs (partner_id, id, status) WHERE status <> 'deleted';
CREATE INDEX orgs_live_maker ON orgs (created_by_key_id, partner_id, id) WHERE status <> 'deleted';
CREATE INDEX orgs_live_external_id ON orgs (external_id, partner_id, id)
    WHERE external_id IS NOT NULL AND status <> 'deleted';
CREATE INDEX orgs_live_expires ON orgs (expires_at, id)
    WHERE expires_at IS NOT NULL AND status <> 'deleted';

-- Lists of deleted ones have their own. An org is added to these once, when it is gone.
CREATE INDEX orgs_deleted_partner ON orgs (partner_id, id) WHERE status = 'deleted';
CREATE INDEX orgs_deleted_slug ON orgs (slug, id) WHERE status = 'deleted';
CREATE INDEX orgs_deleted_external_id ON orgs (external_id, partner_id, id)
    WHERE external_id IS NOT NULL AND status = 'deleted';

DROP INDEX orgs_partner_id_status;
DROP INDEX orgs_maker;
DROP INDEX orgs_external_id;
DROP INDEX orgs_expires;
-- The slugs' own table tells which live org has one.
DROP INDEX orgs_slug;

-- Whether the org that has the label is not deleted.
ALTER TABLE org_labels ADD COLUMN live BOOLEAN NOT NULL DEFAULT TRUE;

UPDATE org_labels SET live = FALSE
WHERE org_id IN (SELECT id FROM orgs WHERE status = 'deleted');

CREATE INDEX org_labels_live_value ON org_labels (partner_id, label_key, label_value, live, org_id);

DROP INDEX org_labels_value;
